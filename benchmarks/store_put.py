"""What it costs to put a camera-minute (30 MB) into an S3 bucket on loopback: CPU of this process and time, three ways.

The way the store does it; the same with the whole body signed (plain HTTP to another machine); and the client's own
`put_object`. Needs MinIO and versitygw in `.cache/bin`. What reading costs stands beside it.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

from minio import Minio

from tests.support.s3servers import KEYS, Server, key_source, server
from vault.clock import SystemClock
from vault.digest import bytes_digest
from vault.store.s3 import S3Store

SIZE_BYTES = 30_000_000
ROUNDS = 9


def measured(what: str, step: Callable[[int], None]) -> None:
    cpu, wall = [], []
    for number in range(ROUNDS):
        before = time.process_time(), time.perf_counter()
        step(number)
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    print(f"  {what:42} {statistics.median(cpu) * 1000:7.1f} ms CPU, {statistics.median(wall) * 1000:7.1f} ms; "
          f"{statistics.median(cpu) / 60 * 100:.3f} % of a core per 4 Mbit/s camera")  # fmt: skip


def compare(running: Server, path: Path, digest: bytes) -> None:
    settings = dataclasses.replace(running.settings, prefix="bench")
    with closing(S3Store(settings, key_source(), SystemClock())) as store:
        _ = store.features
        measured("put_file", lambda number: store.put_file(f"a/{number}", path, digest=digest))
        measured("put_file without its BLAKE3", lambda number: store.put_file(f"b/{number}", path))

        def read(number: int) -> None:
            with store.open(f"a/{number}") as source:
                for offset in range(0, SIZE_BYTES, 4 << 20):
                    source.read(offset, min(4 << 20, SIZE_BYTES - offset))

        measured("read in ranges of 4 MiB", read)

        def tail(number: int) -> None:
            with store.open(f"a/{number}") as source:
                source.read(SIZE_BYTES - 65536, 65536)

        measured("open and read the tail", tail)
    with (
        mock.patch("vault.store.s3client.is_loopback", return_value=False),
        closing(S3Store(settings, key_source(), SystemClock())) as signed,
    ):
        _ = signed.features
        measured("put_file, whole body signed", lambda number: signed.put_file(f"c/{number}", path, digest=digest))
    client = Minio(
        endpoint=settings.endpoint.removeprefix("http://"), access_key=KEYS["AWS_ACCESS_KEY_ID"],
        secret_key=KEYS["AWS_SECRET_ACCESS_KEY"], secure=False,
    )  # fmt: skip

    def put_object(number: int) -> None:
        with path.open("rb") as file:
            client.put_object(bucket_name=settings.bucket, object_name=f"d/{number}", data=file, length=SIZE_BYTES)

    measured("minio's put_object", put_object)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment"
        path.write_bytes(os.urandom(SIZE_BYTES))
        digest = bytes_digest(path.read_bytes())
        for program in ("versitygw", "minio"):
            print(program)
            with server(program, Path(folder) / program) as running:
                compare(running, path, digest)


if __name__ == "__main__":
    main()
