"""The store in an S3 bucket. An object's name is the configured prefix and its key; nothing else is kept about it.

Putting reads the file twice: once for its BLAKE3 and CRC32C, once to send it, both from page cache. The store is told the
CRC32C in a signed header and refuses what arrives otherwise (`XAmzContentChecksumMismatch`); one that does not check it gets the
MD5, and one that checks neither is read back. A key that is taken is refused by the store where it honours `If-None-Match: *`
(RFC 9110 §13.1.2), else looked for first; then the bytes there are compared with ours, so that a put whose answer was lost is
repeated without harm. Which of these a bucket really does is found out by trying, at the first put.

Deleting in a bucket with versioning deletes every version of an object: hidden is not gone. A bucket that is full takes nothing to
be tried out with, and deleting is what it needs: there the versions of each object are looked for.

Reading: the last bytes of an object come with opening it, in one request; a segment's tables stand there. They stay readable when
the object is deleted meanwhile; bytes before them are then Damaged, which pins and the grace of a deletion prevent.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import google_crc32c
from blake3 import blake3

from vault.clock import Clock
from vault.config import Store
from vault.errors import Damaged, NotFound, StoreError, StreamvaultError
from vault.source import FileSource, OpenSource
from vault.store.accesskey import KeySource
from vault.store.interface import Failure, Failures, NewObject, ObjectStat, check_key, check_prefix, other_bytes
from vault.store.s3client import DELETE_TOGETHER, Answer, S3Client
from vault.store.s3features import Checksum, Features, find_features
from vault.store.s3http import StoreAway
from vault.store.s3lock import Term
from vault.store.s3source import S3Source, open_object
from vault.timebase import US

PIECE_BYTES = 120 * 1024
"""Under 128 KB, above which a copy would be mapped and faulted in anew each time."""

FOLDER_TRIES = 20
_FOLDER_RACE = frozenset({"ExistingObjectIsDirectory", "ObjectParentIsFile"})
"""What a gateway over a file system (versitygw) says when another deletion takes away the folder that it has just made for this
object. No key of ours is the folder of another, so it passes; not for ever."""

Objects = list[tuple[str, str | None]]
"""Names with a version each. (`list` means something else inside a store.)"""

_local = threading.local()


@dataclass(frozen=True, slots=True)
class _Content:
    """Bytes to put: `pieces` gives them from the beginning each time it is called, each valid until the next."""

    size_bytes: int
    crc32c: str
    md5: str | None
    sha256: str | None
    pieces: Callable[[], Iterator[bytes | memoryview]]


class S3Store:
    """Objects below one prefix of one bucket."""

    def __init__(self, settings: Store, keys: KeySource, clock: Clock, *, features: Features | None = None) -> None:
        """`features`: what the bucket is known to do; None finds out. Nothing is sent yet. Raises ConfigError."""
        self.client = S3Client(settings, keys, clock)
        self.prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self._features = features
        self._finding = threading.Lock()
        self._connections = settings.connections
        self._term = Term(self.client, settings.object_lock, clock) if settings.object_lock != "off" else None

    def close(self) -> None:
        self.client.close()

    @property
    def features(self) -> Features:
        """What the bucket really does; the first call tries it out. Raises StoreError, and Refused where a lock is asked for
        that the bucket does not keep."""
        with self._finding:
            if self._features is None:
                if self._term is not None:
                    self._term.require(self.prefix)
                self._features = find_features(self.client, self.prefix)
            return self._features

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        check_key(key)
        with FileSource(path) as source:
            self._put(key, self._content(key, source.size, lambda: _file_pieces(source), digest), lock_until_us)

    @property
    def at_once(self) -> int:
        return self._connections

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        """One after the other. When the store does not answer, those not yet begun are not tried."""
        failures: Failures = []
        away: StoreAway | None = None
        for file in files:
            try:
                if away is not None:
                    raise StoreAway(f"putting {file.key}: not tried, since the store does not answer: {away}")
                self.put_file(file.key, file.path, digest=file.digest, lock_until_us=file.lock_until_us)
            except StreamvaultError as error:
                if away is None and isinstance(error, StoreAway):
                    away = error
                failures.append(Failure(file.key, error))
        return failures

    def put_bytes(self, key: str, data: bytes) -> None:
        check_key(key)
        self._put(key, self._content(key, len(data), lambda: iter((data,)), None))

    def raise_lock(self, key: str, until_us: int) -> None:
        check_key(key)
        if self._term is not None and self.features:
            self._term.raise_to(self.prefix + key, key, until_us)

    def open(self, key: str) -> OpenSource:
        return self._open(check_key(key))

    def stat(self, key: str) -> ObjectStat | None:
        name = self.prefix + check_key(key)
        doing = f"looking for {key}"
        answer = self.client.ask(doing, lambda: self.client.send("HEAD", name), (200, 404))
        if answer.status == 404:
            # An answer to HEAD has no words, and a bucket that is missing must not read as an empty one.
            self.client.ask(doing, self._bucket_there)
            return None
        try:
            modified = parsedate_to_datetime(answer.headers["last-modified"])
            return ObjectStat(key, int(answer.headers["content-length"]), round(modified.timestamp() * US))
        except (KeyError, ValueError) as error:
            raise StoreError(f"{doing}: the store {self.client.where} told no size or no time of it") from error

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        check_prefix(prefix)
        for item in self.client.list(self.prefix + prefix):
            key = item.key[len(self.prefix) :]
            # Names that are no keys (of the probe, of other people) are none of ours.
            if key and not key.startswith(".") and "/." not in key:
                yield ObjectStat(key, item.size_bytes, item.modified_us)

    def delete(self, keys: Iterable[str]) -> Failures:
        failures: Failures = []
        names: list[str] = []
        for key in keys:
            try:
                names.append(self.prefix + check_key(key))
            except StreamvaultError as error:
                failures.append(Failure(key, error))
        if not names:
            return failures
        objects = self._objects(names)
        for begin in range(0, len(objects), DELETE_TOGETHER):
            refused = self.client.delete(objects[begin : begin + DELETE_TOGETHER])
            failures += [Failure(name[len(self.prefix) :], error) for name, error in refused.items()]
        return failures

    def _objects(self, names: Sequence[str]) -> Objects:
        """What has to go for these names to be gone. Raises StoreError."""
        try:
            versioned = self.features.versioned
        except StoreAway:
            raise
        except StoreError:
            # A listing that goes wrong ends the deletion: a name alone would only be hidden where there are versions after all.
            objects: Objects = []
            for name in names:
                # The one that was put before the bucket kept versions is called `null`, and by its name alone it would only be hidden.
                objects += [(name, version) for version in self.client.versions(name)] or [(name, None)]
            return objects
        if not versioned:
            return [(name, None) for name in names]
        return [(name, version) for name in names for version in self.client.versions(name)]

    def _bucket_there(self) -> Answer:
        answer = self.client.send("HEAD")
        return Answer(answer.status, answer.headers, b"", "NoSuchBucket") if answer.status == 404 else answer

    def _open(self, key: str) -> S3Source:
        return open_object(self.client, self.prefix + key, key)

    def _content(
        self, key: str, size_bytes: int, pieces: Callable[[], Iterator[bytes | memoryview]], digest: bytes | None
    ) -> _Content:
        """One pass over the bytes for every hash that is wanted. Raises Damaged when they are not those of `digest`."""
        crc = 0
        identity = blake3(max_threads=1) if digest is not None else None
        md5 = hashlib.md5(usedforsecurity=False) if self.features.checksum is Checksum.MD5 else None
        sha256 = hashlib.sha256() if self.client.hashes_payload else None
        for piece in pieces():
            # The C code takes nothing but bytes; the copy costs a fifth of the sum itself at this size.
            crc = google_crc32c.extend(crc, bytes(piece))
            for hasher in (identity, md5, sha256):
                if hasher is not None:
                    hasher.update(piece)
        if identity is not None and identity.digest() != digest:
            raise Damaged(f"{key}: its file does not have the hash it should have; it was not stored")
        return _Content(
            size_bytes,
            _base64(crc.to_bytes(4, "big")),
            _base64(md5.digest()) if md5 else None,
            sha256.hexdigest() if sha256 else None,
            pieces,
        )

    def _put(self, key: str, content: _Content, lock_until_us: int = 0) -> None:
        """Raises Damaged when the key is taken by other bytes, StoreError."""
        name = self.prefix + key
        features = self.features
        headers = {"Content-Type": "application/octet-stream"}
        if features.checksum is Checksum.MD5 and content.md5:
            headers["Content-MD5"] = content.md5
        else:
            headers |= {"x-amz-checksum-crc32c": content.crc32c, "x-amz-sdk-checksum-algorithm": "CRC32C"}
        if features.conditional_put:
            headers["If-None-Match"] = "*"
        if self._term is not None:
            headers |= self._term.headers(lock_until_us)
        doing = f"putting {key} ({content.size_bytes} bytes)"
        first = True

        def attempt() -> Answer:
            nonlocal first
            # After an attempt without an answer the object may be there: sending it all again would be waste, and a server
            # that refuses before it has read a body may cut the connection before its refusal is read.
            if (not features.conditional_put or not first) and self.stat(key) is not None:
                return Answer(412, {}, b"")
            first = False
            for _ in range(FOLDER_TRIES):
                answer = self.client.send(
                    "PUT", name, headers=headers, body=content.pieces(), size_bytes=content.size_bytes, sha256=content.sha256
                )
                if answer.code not in _FOLDER_RACE:
                    break
            return answer

        def once() -> Answer:
            return self.client.ask(doing, attempt, (200, 412))

        answer = self._undamaged(doing, once)
        if answer.status == 412:
            self._compare(key, content)
            # It may have been put before its term was known, or before one was asked for.
            if self._term is not None and self._term.headers(lock_until_us):
                self._term.raise_to(name, key, lock_until_us)
        elif features.checksum is Checksum.NONE:
            self._read_back(key, content)

    def _undamaged(self, doing: str, once: Callable[[], Answer]) -> Answer:
        """One more try for a body that changed on its way: that was the network, and the file is what it was."""
        try:
            return once()
        except StoreError as error:
            if not any(word in str(error) for word in ("ChecksumMismatch", "BadDigest", "InvalidDigest")):
                raise
        try:
            return once()
        except StoreError as error:
            raise StoreError(f"{error}; the bytes change on their way there, look at the network in between") from error

    def _compare(self, key: str, content: _Content) -> None:
        if not self._same(key, content):
            raise Damaged(other_bytes(key))

    def _read_back(self, key: str, content: _Content) -> None:
        if not self._same(key, content):
            self.delete([key])
            raise StoreError(f"putting {key}: what the store {self.client.where} kept is not what was sent; it was deleted")

    def _same(self, key: str, content: _Content) -> bool:
        try:
            with self._open(key) as there:
                if there.size != content.size_bytes:
                    return False
                offset = 0
                for piece in content.pieces():
                    if there.read(offset, len(piece)) != piece:
                        return False
                    offset += len(piece)
        except (NotFound, Damaged) as error:
            raise StoreError(f"putting {key}: the object there went away while it was compared; put it again") from error
        return True


def _file_pieces(source: FileSource) -> Iterator[memoryview]:
    """The file, piece by piece in one buffer of the thread: above 128 KB each allocation would be faulted in anew."""
    buffer: bytearray | None = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = bytearray(PIECE_BYTES)
    view = memoryview(buffer)
    for offset in range(0, source.size, PIECE_BYTES):
        piece = view[: min(PIECE_BYTES, source.size - offset)]
        source.read_into(offset, piece)
        yield piece


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
