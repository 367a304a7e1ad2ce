"""An object of a bucket as a source of ranged reads. Opening it brings its last bytes along, where a segment's tables stand."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from vault.errors import Damaged, NotFound, StoreError
from vault.store.s3client import Answer, S3Client

TAIL_BYTES = 128 * 1024
"""Covers the tables of a minute of one camera; a longer tail costs a second request."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class S3Source:
    """Safe for several threads. The bytes that came with opening stay readable when the object is deleted meanwhile; reading
    others then raises Damaged."""

    __slots__ = ("_client", "_key", "_name", "_size", "_tail", "_tail_offset")

    def __init__(self, client: S3Client, name: str, key: str, size: int, tail: bytes) -> None:
        self._client = client
        self._name = name
        self._key = key
        self._size = size
        self._tail = tail
        self._tail_offset = size - len(tail)

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Raises Damaged outside the object and when it has gone, StoreError."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise Damaged(f"{self._key}: wanted {length} bytes at {offset}, but it has {self._size}")
        if offset >= self._tail_offset:
            begin = offset - self._tail_offset
            return self._tail[begin : begin + length]
        doing = f"reading {length} bytes at {offset} of {self._key}"
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self._client.ask(
            doing, lambda: self._client.send("GET", self._name, headers=wanted, limit=max(length, 65536)), (206, 200, 404, 416)
        )
        if answer.code == "NoSuchKey":
            raise Damaged(f"{self._key}: the object has gone from the store {self._client.where} since it was opened")
        if answer.status in (404, 416):
            raise self._client.refusal(doing, answer)
        # Some send the right range and call it 200 (rclone); what its header says is what counts.
        expected = (offset, offset + length, self._size)
        found = content_range(answer) or (expected if answer.status == 200 and length == self._size else None)
        if found != expected or len(answer.data) != length:
            raise StoreError(f"{doing}: the store {self._client.where} sent another range than was asked for")
        return answer.data

    def close(self) -> None:
        """No connection is held between reads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_object(client: S3Client, name: str, key: str) -> S3Source:
    """Open the object `name`; `key` is for messages. One request. Raises NotFound, StoreError."""
    doing = f"opening {key}"
    wanted = {"Range": f"bytes=-{TAIL_BYTES}"}
    # A server that does not know a range from the end (RFC 9110 §14.1.2) sends the whole object, and that must have a bound.
    answer = client.ask(
        doing, lambda: client.send("GET", name, headers=wanted, limit=TAIL_BYTES), (200, 206, 404, 416)
    )  # fmt: skip
    if answer.code == "NoSuchKey":
        raise NotFound(f"{key}: no such object in the store {client.where}")
    if answer.status == 404:
        raise client.refusal(doing, answer)
    found = content_range(answer)
    if answer.data and (answer.status == 206 or (answer.ok and found)):
        if found is None or found[1] != found[2] or found[1] - found[0] != len(answer.data):
            raise StoreError(f"{doing}: the store {client.where} sent another range than was asked for")
        return S3Source(client, name, key, found[2], answer.data)
    if answer.status == 200:
        return S3Source(client, name, key, len(answer.data), answer.data)
    # An empty object has no last byte, so no range of it can be satisfied (RFC 9110 §15.5.17); MinIO answers 206 all the same,
    # with a Content-Range that is none.
    # Another server refuses a range from the end that is longer than the object.
    head = client.ask(doing, lambda: client.send("HEAD", name))
    size = head.headers.get("content-length", "")
    if not size.isdecimal():
        raise StoreError(f"{doing}: the store {client.where} told no size of it")
    source = S3Source(client, name, key, int(size), b"")
    return S3Source(client, name, key, int(size), source.read(0, int(size))) if 0 < int(size) <= TAIL_BYTES else source


def content_range(answer: Answer) -> tuple[int, int, int] | None:
    """First byte, byte behind the last, and length of the whole (RFC 9110 §14.4); None where nothing of it is said."""
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    return (int(match[1]), int(match[2]) + 1, int(match[3])) if match else None
