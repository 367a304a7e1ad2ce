"""Making a package in its working folder: media, payload, seal. What it holds is in `access/package/PACKAGE.md`.

    folder/media.jsonl      what is whole and hashed: a note behind each media file
    folder/ID/              the package, as it will be handed out

Each step may be repeated after a kill; what is complete and synced is kept. Nothing here knows the ledger, the index or the store:
the caller writes the completion between `close_payload` and `seal`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from access.package.custody import Custody, MediaFile, custody_json, export_id
from access.package.durable import append_line, remove_below
from access.package.report import Thumbnail, page
from access.package.seal import MANIFEST, seal
from vault.errors import Damaged, UsageError
from vault.files import FILE_MODE, Buffer, make_folder, replace_file, store_error, sync_folder, write_all
from vault.ledger.canonical import Value, canonical
from vault.ledger.ledger import Proof
from vault.signing.signer import Signer

MEDIA: Final = "data/media/"
NOTES: Final = "media.jsonl"
MAX_MEDIA: Final = 90_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}/[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_READ_BYTES = 1024 * 1024
_SMALL_BYTES = 128 * 1024
"""Below it another thread costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What the completion says of a package: SHA-256 (hex) of its payload manifest, bytes and count of the files that this lists."""

    manifest_sha256: str
    size_bytes: int
    files: int

    @property
    def facts(self) -> Mapping[str, Value]:
        """For the body of the ledger's DONE entry; the verifier looks for exactly these."""
        return {"sha256": self.manifest_sha256, "bytes": self.size_bytes, "files": self.files}


class MediaSink:
    """One media file being written. Its name appears at `close`; without that nothing of it is kept.

    `write` has done with the buffer when it returns. One thread at a time.
    """

    def __init__(self, package: Path, path: str, notes: Path) -> None:
        """Raises StoreError."""
        self.path = path
        self.size_bytes = 0
        self._notes = notes
        self._target = package / path
        self._part = self._target.with_name(self._target.name + ".part")
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, "export-hash")
        try:
            for folder in (package, package / "data", package / MEDIA, self._target.parent):
                make_folder(folder)
            # Not opened again: whatever holds the name may be something else's.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part)
            self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            self._thread.shutdown()
            raise store_error(f"opening {self._part}", error) from error

    def write(self, data: Buffer) -> None:
        """Append. Raises StoreFull, StoreError."""
        view = memoryview(data)
        try:
            if len(view) < _SMALL_BYTES:
                self._hash.update(view)
                self.size_bytes = write_all(self._fd, self.size_bytes, [view])
                return
            hashing = self._thread.submit(self._hash.update, view)
            try:
                self.size_bytes = write_all(self._fd, self.size_bytes, [view])
            finally:
                hashing.result()
        except OSError as error:
            raise store_error(f"writing {self._part}", error) from error

    def close(self) -> MediaFile:
        """Durable under its name, and noted. Raises StoreFull, StoreError."""
        made = MediaFile(self.path, self.size_bytes, self._hash.hexdigest())
        try:
            os.fsync(self._fd)
            os.rename(self._part, self._target)
            for folder in (self._target.parent, self._target.parent.parent, self._target.parent.parent.parent):
                sync_folder(folder)
            append_line(self._notes, canonical({"path": made.path, "bytes": made.size_bytes, "sha256": made.sha256}))
        except OSError as error:
            raise store_error(f"finishing {self._target}", error) from error
        finally:
            self._let_go()
        return made

    def discard(self) -> None:
        """Nothing of it stays; fine behind `close`."""
        if self._fd >= 0:
            self._let_go()
            with contextlib.suppress(OSError):
                os.unlink(self._part)

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard()


class PackageBuilder:
    """The package of one export in a working folder of its own. `export` names the package."""

    def __init__(self, folder: Path, export: str) -> None:
        """Makes the folder, whose parent must be there. Raises UsageError, StoreError."""
        self.folder = folder
        self.package = folder / export_id(export)
        self._notes = folder / NOTES
        try:
            make_folder(folder)
            make_folder(self.package)
            sync_folder(folder)
        except OSError as error:
            raise store_error(f"making the working folder {folder}", error) from error

    def media(self, name: str) -> MediaSink:
        """A new media file, `custody.media_name`; one that is there already is replaced. Raises UsageError, StoreError.

        Use it in `with`: what was not closed is thrown away.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name[:80]!r} is not a media file's name in a package")
        return MediaSink(self.package, MEDIA + name, self._notes)

    def finished_media(self) -> Mapping[str, MediaFile]:
        """By name, what was whole and hashed and is still there, with its size; `is_whole` reads its bytes. Raises StoreError."""
        found: dict[str, MediaFile] = {}
        try:
            lines = self._notes.read_bytes().split(b"\n") if self._notes.exists() else []
            for line in lines:
                # What a kill left of a note is none: that file is made again.
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    note = json.loads(line)
                    made = MediaFile(str(note["path"]), int(note["bytes"]), str(note["sha256"]))
                    found[made.path.removeprefix(MEDIA)] = made
            return {name: made for name, made in found.items() if self._is_there(made)}
        except OSError as error:
            raise store_error(f"reading the working folder {self.folder}", error) from error

    def is_whole(self, made: MediaFile, look: Callable[[int], None] = lambda size: None) -> bool:
        """Whether the bytes of a finished file are still those that were written: read from its beginning to its end. One that cannot
        be read is not whole. `look`: told of each piece how much it was; what it raises ends the reading."""
        return self._hash(made.path, look) == made.sha256

    def changed(self, payload_sha256: str, look: Callable[[int], None] = lambda size: None) -> str:
        """The path of a file of the closed payload that is no longer what it was then; empty where all are. `look` as in `is_whole`.

        A kill may have lain between, and a reboot: what was in memory then is read from the disk now.
        """
        try:
            manifest = (self.package / MANIFEST).read_bytes()
        except OSError:
            return MANIFEST
        if hashlib.sha256(manifest).hexdigest() != payload_sha256:
            return MANIFEST
        for line in manifest.decode().splitlines():
            sha256, _, path = line.partition("  ")
            if self._hash(path, look) != sha256:
                return path
        return ""

    def _hash(self, path: str, look: Callable[[int], None]) -> str:
        """SHA-256 of a file of the package, hex; empty where it cannot be read."""
        found = hashlib.sha256()
        buffer = memoryview(bytearray(_READ_BYTES))
        try:
            fd = os.open(self.package / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return ""
        try:
            while size := os.readv(fd, [buffer]):
                found.update(buffer[:size])
                look(size)
        except OSError:
            return ""
        finally:
            os.close(fd)
        return found.hexdigest()

    def _is_there(self, made: MediaFile) -> bool:
        try:
            return (self.package / made.path).stat().st_size == made.size_bytes
        except FileNotFoundError:
            return False

    def close_payload(self, custody: Custody, thumbnails: Sequence[Thumbnail] = ()) -> Payload:
        """Write what goes with the media, then the manifest; everything durable. The same custody gives the same bytes.

        Media that the custody does not name are removed. Raises UsageError, Damaged where it names one that is not finished, StoreFull, StoreError.
        """
        finished = self.finished_media()
        named = [item.file for camera in custody.cameras for item in camera.files]
        for made in named:
            if finished.get(made.path.removeprefix(MEDIA)) != made:
                raise Damaged(f"export {custody.export}: {made.path} is not the file that was written; export it again")
        if len(named) > MAX_MEDIA:
            raise UsageError(f"export {custody.export}: {len(named)} files are too many for one package, at most {MAX_MEDIA}")
        texts = {"data/custody.json": custody_json(custody), "data/report.html": page(custody, thumbnails)}
        try:
            make_folder(self.package / "data")
            for path, data in texts.items():
                replace_file(self.package / path, data)
            files = {made.path: (made.sha256, made.size_bytes) for made in named}
            files |= {path: (hashlib.sha256(data).hexdigest(), len(data)) for path, data in texts.items()}
            remove_below(self.package / "data", {self.package / path for path in files})
            manifest = "".join(f"{files[path][0]}  {path}\n" for path in sorted(files)).encode()
            replace_file(self.package / MANIFEST, manifest)
        except OSError as error:
            raise store_error(f"closing the payload of {self.package}", error) from error
        return Payload(hashlib.sha256(manifest).hexdigest(), sum(size for _, size in files.values()), len(files))

    def seal(self, proofs: Sequence[Proof], signer: Signer, succession: bytes = b"") -> Path:
        """Proofs and tag files, signed; the package's folder, ready for `container.deliver`. May be repeated with newer proofs.

        `proofs`: of the deed's entries in the ledger, all against one checkpoint (`seal.prove_together`). `succession`: how the
        installation's keys followed each other, as `key show` has it. Raises UsageError, StoreFull, StoreError.
        """
        try:
            seal(self.package, proofs, signer, succession)
        except OSError as error:
            raise store_error(f"sealing {self.package}", error) from error
        return self.package
