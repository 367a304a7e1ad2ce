"""The spool: one file per segment from its first fragment until the store has it. Local disk only.

What is in a file is `vault.segment`'s business; when it may go is the catalog's (W4). Small objects that wait for the store
(registry, manifests) are a `LocalStore` over the same folder. A process opens its own Spool: it holds a descriptor.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vault.errors import NotFound, UsageError
from vault.files import FILE_MODE, Buffer, find_syncfs, make_folder, store_error, sync_folder, write_all
from vault.grant import Grant
from vault.ids import CameraNumber, SegmentKey
from vault.source import FileSource

OBJECTS_FOLDER = "registry"
"""Folder of the spool that holds small objects for the store and no segment."""

_FOLDER = re.compile(r"c([0-9]{10})")
_FILE = re.compile(r"([0-9]{17})-([0-9]{10})-([0-9]{10})\.mp4")


@dataclass(frozen=True, slots=True)
class SpoolListing:
    """What lies in the spool: `keys` by camera and time, `odd` the paths (under the spool) that we did not write."""

    keys: tuple[SegmentKey, ...]
    odd: tuple[str, ...]


class Spool:
    """The folder of open, closing and closed-not-yet-settled segment files.

    Durability: nothing written is durable before `sync()` has returned; it covers names as well as bytes, of every camera.
    Threads: every method may be called from any thread; one file is written by one thread at a time.
    """

    def __init__(self, root: Path, *, use_syncfs: bool = True) -> None:
        """Open the spool in an existing folder. `use_syncfs=False` syncs file by file, as on a kernel before 5.8.

        Raises NotFound, StoreError.
        """
        self.root = root
        try:
            # Held open from here on: syncfs reports the write errors that came after its descriptor was opened.
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"{root}: no such spool folder; `streamvault init` makes it") from None
        except OSError as error:
            raise store_error(f"opening the spool {root}", error) from error
        self._syncfs = find_syncfs() if use_syncfs else None
        self._lock = threading.Lock()
        self._unsynced_folders: set[Path] = set()

    def close(self) -> None:
        """Let go of the folder. Files handed out stay with their owners."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def syncs_all_at_once(self) -> bool:
        """Whether `sync()` is one `syncfs`; else it needs the descriptors of the files written."""
        return self._syncfs is not None

    def path_of(self, key: SegmentKey) -> Path:
        """Where a segment's file is while it is in the spool."""
        return self.root / f"c{key.camera:010d}" / key.file_name

    def create(self, key: SegmentKey) -> int:
        """A new, empty file of mode 0600, open for reading and writing; the caller owns the descriptor.

        Raises StoreError (an existing file is never opened: a key is used once), StoreFull.
        """
        path = self.path_of(key)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                fd = os.open(path, flags, FILE_MODE)
            except FileNotFoundError:
                make_folder(path.parent)
                fd = os.open(path, flags, FILE_MODE)
                self._note(self.root)
        except OSError as error:
            raise store_error(f"creating the spool file {path}", error) from error
        self._note(path.parent)
        return fd

    def open_for_repair(self, key: SegmentKey, grant: Grant) -> int:
        """An existing file, open for reading and writing. Raises Refusal, NotFound, StoreError. The caller owns the descriptor."""
        grant.check_camera(key.camera)
        path = self.path_of(key)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"{path}: not in the spool") from None
        except OSError as error:
            raise store_error(f"opening the spool file {path}", error) from error
        # Whoever made it may have died before its name was synced.
        self._note(self.root)
        self._note(path.parent)
        return fd

    def open_source(self, key: SegmentKey, grant: Grant) -> FileSource:
        """A segment's file for reading. Raises Refusal where the grant is for another camera, NotFound (it may have moved to the
        store meanwhile), Damaged, StoreError."""
        grant.check_camera(key.camera)
        return FileSource(self.path_of(key))

    def remove(self, key: SegmentKey) -> None:
        """Drop a file; fine when it is gone. Raises StoreError.

        Not synced: a name that comes back after a power cut is a leftover, which the start drops again.
        """
        path = self.path_of(key)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            raise store_error(f"removing the spool file {path}", error) from error

    def scan(self, camera: CameraNumber | None = None) -> SpoolListing:
        """Everything in the spool, or of one camera. Only regular files with the very name we would give are segments;
        all else is reported as odd and left alone. Raises StoreError."""
        keys: list[SegmentKey] = []
        odd: list[str] = []
        try:
            for folder in self._folders(camera, odd):
                self._scan_folder(folder, keys, odd)
        except OSError as error:
            raise store_error(f"listing the spool {self.root}", error) from error
        keys.sort()
        return SpoolListing(tuple(keys), tuple(sorted(odd)))

    def last_camera(self) -> CameraNumber | None:
        """The highest number that ever had a file here: a camera's folder stays when it is empty. Raises StoreError."""
        try:
            return max((CameraNumber(int(folder.name[1:])) for folder in self._folders(None, [])), default=None)
        except OSError as error:
            raise store_error(f"listing the spool {self.root}", error) from error

    def list_keys(self, camera: CameraNumber | None = None) -> list[SegmentKey]:
        """The segments in the spool by camera, start, epoch and sequence. Raises StoreError."""
        return list(self.scan(camera).keys)

    def sync(self, fds: Iterable[int] = ()) -> None:
        """Make everything written so far durable, names included. Raises StoreError, StoreFull.

        One `syncfs` for all cameras: hundreds of `fdatasync` would be as many journal commits. It waits for whatever else is
        dirty on this file system too. Where there is none, `fds` are the files written since the last call.
        After an error the kernel may have dropped the pages it could not write, and a second call says nothing of them: what
        was written since the last good sync counts as lost until read back.
        """
        doing = f"syncing the spool {self.root}"
        with self._lock:
            folders, self._unsynced_folders = self._unsynced_folders, set()
        try:
            if self._syncfs is not None:
                self._syncfs(self._fd)
                return
            for fd in fds:
                os.fdatasync(fd)
            for folder in folders:
                sync_folder(folder)
        except OSError as error:
            with self._lock:
                self._unsynced_folders |= folders
            raise store_error(doing, error) from error

    def free_bytes(self) -> int:
        """What an unprivileged process may still write on the spool's file system. Raises StoreError."""
        try:
            status = os.fstatvfs(self._fd)
        except OSError as error:
            raise store_error(f"asking for free space in {self.root}", error) from error
        return status.f_bavail * status.f_frsize

    def size_bytes(self) -> int:
        """What lies in it, whatever it is: each file's length. Costs a look at every file. Raises StoreError."""
        total = 0
        folders = [self.root]
        try:
            while folders:
                with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                            continue
                        # Gone since the listing: it is in the store.
                        with contextlib.suppress(FileNotFoundError):
                            total += entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            raise store_error(f"measuring the spool {self.root}", error) from error
        return total

    def _note(self, folder: Path) -> None:
        if self._syncfs is None:
            with self._lock:
                self._unsynced_folders.add(folder)

    def _folders(self, camera: CameraNumber | None, odd: list[str]) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.root) as entries:
            for entry in entries:
                match = _FOLDER.fullmatch(entry.name)
                if match and int(match[1]) > 0 and entry.is_dir(follow_symlinks=False):
                    if camera is None or int(match[1]) == camera:
                        yield entry
                elif entry.name not in (OBJECTS_FOLDER, ".tmp", ".lock"):
                    odd.append(entry.name)

    def _scan_folder(self, folder: os.DirEntry[str], keys: list[SegmentKey], odd: list[str]) -> None:
        camera = CameraNumber(int(folder.name[1:]))
        with os.scandir(self.root / folder.name) as entries:
            for entry in entries:
                match = _FILE.fullmatch(entry.name)
                key: SegmentKey | None = None
                if match and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(UsageError):
                        key = SegmentKey(camera, *map(int, match.groups()))
                if key is not None and key.file_name == entry.name:
                    keys.append(key)
                else:
                    odd.append(f"{folder.name}/{entry.name}")


def append(fd: int, size_bytes: int, buffers: Sequence[Buffer]) -> int:
    """Append a whole fragment to a spool file that has `size_bytes`; returns the new size. The buffers stay the caller's.

    Raises StoreFull, StoreError; then the torn bytes are cut off again, so that the file still ends with its last whole
    fragment and the same fragment may be tried again. (Were that cut to fail too, recovery makes it.)
    """
    try:
        return write_all(fd, size_bytes, buffers)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size_bytes)
        raise store_error(f"appending {sum(map(len, buffers))} bytes to a spool file of {size_bytes}", error) from error


def overwrite(fd: int, offset: int, data: Buffer) -> None:
    """Write over bytes that are there already (the 16 bytes at close). Raises StoreError."""
    try:
        write_all(fd, offset, [data])
    except OSError as error:
        raise store_error(f"overwriting {len(data)} bytes at {offset} of a spool file", error) from error
