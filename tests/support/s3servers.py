"""Real S3 servers for tests, each on a free port of this machine with a folder of its own: MinIO, versitygw, and two that lie.

What the store does with them is tested elsewhere. The programs are built by `make servers`; where one lacks, its tests are
skipped, and in CI they fail.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from vault.clock import SystemClock
from vault.config import Store
from vault.store.accesskey import ENVIRONMENT, KeySource
from vault.store.s3 import S3Store
from vault.store.s3client import S3Client
from vault.timebase import format_us

ROOT = Path(__file__).parent.parent.parent
BUCKET = "footage"
KEYS = {ENVIRONMENT[0]: "tester", ENVIRONMENT[1]: "testersecret"}
START_SECONDS = 60


@dataclasses.dataclass
class Server:
    """A server that runs; `settings` is what the configuration of a store on it would say."""

    settings: Store
    process: subprocess.Popen[bytes]
    folder: Path
    start: Callable[[], subprocess.Popen[bytes]]

    def again(self) -> None:
        """Start it anew on its port and its folder, after its process was killed."""
        self.process = self.start()
        _wait(self.process, f"{self.settings.endpoint}/", self.folder / "log")

    @property
    def port(self) -> int:
        return int(self.settings.endpoint.rpartition(":")[2])


def need_server(program: str) -> str:
    """Path of a server's program in `.cache`, beside our Python or in PATH. Without it: a skip, in CI a failure."""
    places = [ROOT / ".cache" / "bin", ROOT / ".cache" / "liars" / "bin", Path(sys.executable).parent]
    path = shutil.which(program, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))
    if path is None:
        message = f"{program} is not there; `make servers` builds the S3 servers that tests use"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(
    program: str,
    folder: Path,
    *,
    bucket: str = BUCKET,
    lock: bool = False,
    tls: Path | None = None,
    arguments: tuple[str, ...] = (),
    data: Path | None = None,
) -> Iterator[Server]:
    """Start one, make its bucket (`lock`: with object lock), end it. `arguments` go behind the program's own; `tls` is a file
    with certificate and key (versitygw); `data` is where its objects go, None below `folder`."""
    path = need_server(program)
    port = free_port()
    address = f"127.0.0.1:{port}"
    data = data or folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True)
    environment = {
        "PATH": os.environ.get("PATH", ""), "HOME": str(folder), "CI": "true", "MINIO_BROWSER": "off", "MINIO_UPDATE": "off",
        "MINIO_ROOT_USER": KEYS[ENVIRONMENT[0]], "MINIO_ROOT_PASSWORD": KEYS[ENVIRONMENT[1]],
        "ROOT_ACCESS_KEY": KEYS[ENVIRONMENT[0]], "ROOT_SECRET_KEY": KEYS[ENVIRONMENT[1]],
    }  # fmt: skip
    commands: dict[str, list[str]] = {
        "minio": ["server", str(data), "--address", address, "--quiet", *arguments],
        "versitygw": [
            "--port", address, "--quiet", "--keep-alive", *(("--cert", str(tls), "--key", str(tls)) if tls else ()),
            "posix", *arguments, str(data),
        ],
        "moto_server": ["-H", "127.0.0.1", "-p", str(port), *arguments],
        "rclone": [
            "serve", "s3", "--addr", address, "--auth-key", f"{KEYS[ENVIRONMENT[0]]},{KEYS[ENVIRONMENT[1]]}",
            "--config", str(folder / "rclone.conf"), *arguments, str(data),
        ],
    }  # fmt: skip

    def begin() -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            return subprocess.Popen([path, *commands[program]], env=environment, stdout=log, stderr=log, cwd=folder)

    process = begin()
    try:
        _wait(process, f"{'https' if tls else 'http'}://{address}/", folder / "log")
        settings = Store(
            kind="s3", endpoint=f"{'https' if tls else 'http'}://{address}", bucket=bucket, tls_ca_file=str(tls or ""),
            timeout_seconds=20, request_seconds=60,
        )  # fmt: skip
        _make_bucket(settings, lock, folder / "log")
        running = Server(settings, process, folder, begin)
        yield running
        process = running.process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)


def key_source() -> KeySource:
    return KeySource(None, KEYS)


def term(store: S3Store, key: str) -> str:
    """Mode and instant as the server has them; empty where there is none."""
    answer = store.client.send("GET", store.prefix + key, query={"retention": ""})
    found = re.search(rb"<Mode>(\w+)</Mode>\s*<RetainUntilDate>([0-9T:-]+)", answer.data)
    return f"{found[1].decode()} {found[2].decode()}" if found else ""


def expected(until_us: int, mode: str = "GOVERNANCE") -> str:
    return f"{mode} {format_us(until_us)[:19]}"


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until it answers HTTP."""
    until = time.monotonic() + START_SECONDS
    with urllib3.PoolManager(retries=False, timeout=2, cert_reqs="CERT_NONE") as pool:
        while time.monotonic() < until:
            if process.poll() is not None:
                break
            with contextlib.suppress(urllib3.exceptions.HTTPError), warnings.catch_warnings(action="ignore"):
                # Anything but 503: MinIO says that until it is ready.
                if pool.request("GET", url).status != 503:
                    return
            time.sleep(0.05)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _make_bucket(settings: Store, lock: bool, log: Path) -> None:
    client = S3Client(settings, key_source(), SystemClock())
    try:
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock else {}
        answer = client.ask("making the bucket", lambda: client.send("PUT", headers=headers), (200, 409))
        assert answer.status == 200, log.read_text(errors="replace")[-2000:]
    finally:
        client.close()
