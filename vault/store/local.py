"""The store in a local folder: an object is the file of its key's path.

A put is a hard link where file and store share a file system, else a copy: temporary name, fsync, final name, fsync of the
directory. Finding out which is done once, at start, by trying. Names that begin with a dot (`.tmp`, `.lock`) are the store's own
and no objects.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from vault.digest import fd_copy
from vault.errors import Damaged, NotFound, StoreError, StoreMoved, StreamvaultError
from vault.files import FILE_MODE, find_syncfs, make_folder, read_error, store_error, sync_folder, write_all
from vault.source import FileSource
from vault.store.interface import Failure, Failures, NewObject, ObjectStat, check_key, check_prefix, other_bytes

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
"""Another file system, or one that has no hard links or no more of them for this file: copy instead."""

_TEMPORARY = ".put-"
_COPY_BYTES = 512 * 1024
_SYNC_TOGETHER = 4
"""From this many folders on, one syncfs instead of an fsync each: every fsync is a journal commit of its own."""

_TRIES = 20
"""Another process may remove an empty folder between our making it and our putting something into it, but not for ever."""


class LocalStore:
    """Objects below one folder, which must exist: a mount that is missing must not be taken for an empty store."""

    def __init__(self, root: Path, *, hard_links: bool = True) -> None:
        """Open a store; leftovers of puts that died are dropped. `hard_links=False` does without, as on exFAT.

        Raises StoreError.
        """
        self.root = root
        self._serial = itertools.count()
        self._lock = threading.Lock()
        self._durable: set[Path] = set()
        self._syncfs = find_syncfs()
        try:
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise store_error(f"opening the store {root} (is its file system mounted?)", error) from error
        try:
            make_folder(root / ".tmp")
            self._drop_leftovers()
            self._links = hard_links and self._can_link()
        except OSError as error:
            self.close()
            raise store_error(f"opening the store {root}", error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def at_once(self) -> int:
        return 1

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        for failure in self.put_files([NewObject(key, path, digest)]):
            raise failure.error

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        failures: Failures = []
        placed: list[str] = []
        for file in files:
            try:
                self._place_file(check_key(file.key), file.path, file.digest)
                placed.append(file.key)
            except StreamvaultError as error:
                failures.append(Failure(file.key, error))
            except OSError as error:
                failed = store_error(f"putting {file.path} as {file.key}", error)
                failed.__cause__ = error
                failures.append(Failure(file.key, failed))
        try:
            self._make_durable({(self.root / key).parent for key in placed})
        except OSError as error:
            # Which of them is on the disk is not known; all may be put again.
            failures += [Failure(key, store_error(f"making {key} durable in {self.root}", error)) for key in placed]
        return failures

    def put_bytes(self, key: str, data: bytes) -> None:
        check_key(key)
        try:
            with self._temporary() as (fd, temporary):
                write_all(fd, 0, [data])
                os.fsync(fd)
                self._give_name(temporary, key, fd)
            self._make_durable({(self.root / key).parent})
        except OSError as error:
            raise store_error(f"putting {len(data)} bytes as {key} into {self.root}", error) from error

    def raise_lock(self, key: str, until_us: int) -> None:
        check_key(key)

    def open(self, key: str) -> FileSource:
        path = self.root / check_key(key)
        self._still_there()
        if self.stat(key) is None:
            raise NotFound(f"{key}: no such object in the store {self.root}")
        return FileSource(path)

    def stat(self, key: str) -> ObjectStat | None:
        try:
            status = os.stat(self.root / check_key(key), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            self._still_there()
            return None
        except OSError as error:
            raise read_error(f"looking for {key} in the store {self.root}", error) from error
        if stat.S_ISDIR(status.st_mode):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{key}: something that is not a file stands in its place in the store {self.root}")
        return ObjectStat(key, status.st_size, status.st_mtime_ns // 1000)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        check_prefix(prefix)
        self._still_there()
        try:
            yield from self._walk(prefix.rpartition("/")[0], prefix)
        except OSError as error:
            raise store_error(f"listing {prefix or 'all'} in the store {self.root}", error) from error

    def delete(self, keys: Iterable[str]) -> Failures:
        self._still_there()
        failures: Failures = []
        gone: list[str] = []
        for key in keys:
            try:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(self.root / check_key(key))
                gone.append(key)
            except StreamvaultError as error:
                failures.append(Failure(key, error))
            except OSError as error:
                failures.append(Failure(key, store_error(f"deleting {key} from the store {self.root}", error)))
        try:
            self._make_durable(self._prune({(self.root / key).parent for key in gone}))
        except OSError as error:
            failures += [Failure(key, store_error(f"making the deletion of {key} durable", error)) for key in gone]
        return failures

    def _place_file(self, key: str, path: Path, digest: bytes | None) -> None:
        """Give a file its name in the store, not yet durably. Raises OSError and ours."""
        with FileSource(path) as source:
            # The caller has synced it long ago, as a rule, and then this writes nothing.
            os.fdatasync(source.fileno())
            if self._links:
                try:
                    self._name(path, key, source.fileno())
                    return
                except OSError as error:
                    if error.errno not in _NO_LINK:
                        raise
            with self._temporary() as (fd, temporary):
                if fd_copy(source.fileno(), fd) != digest and digest is not None:
                    raise Damaged(f"{key}: {path} does not have the hash it should have; it was not stored")
                os.fsync(fd)
                self._give_name(temporary, key, fd)

    def _give_name(self, temporary: Path, key: str, fd: int) -> None:
        """The final name for a temporary file, which must not be taken by other bytes."""
        if self._links:
            self._name(temporary, key, fd)
            return
        # A rename replaces silently, so looking and renaming must be one step for every process on this store.
        target = self.root / key
        with self._alone():
            if os.path.lexists(target):
                self._compare(target, key, fd)
                return
            self._with_folder(target, lambda: os.rename(temporary, target))

    def _name(self, path: Path, key: str, fd: int) -> None:
        target = self.root / key
        try:
            self._with_folder(target, lambda: os.link(path, target, follow_symlinks=False))
        except FileExistsError:
            self._compare(target, key, fd)

    def _with_folder(self, target: Path, step: Callable[[], None]) -> None:
        """Do a step that needs the target's folder, which another process may remove while it is empty."""
        for left in reversed(range(_TRIES)):
            try:
                step()
                return
            except FileNotFoundError:
                if not left:
                    raise
                self._still_there()
                for folder in reversed(self._chain(target.parent)):
                    with contextlib.suppress(FileNotFoundError):
                        make_folder(folder)

    def _compare(self, target: Path, key: str, fd: int) -> None:
        """Raises Damaged unless the object has the bytes of `fd`, StoreError when it is deleted at this moment."""
        try:
            known = FileSource(target)
        except NotFound:
            raise StoreError(f"{key}: was deleted while it was put again; put it once more if it is still wanted") from None
        with known:
            if os.path.sameopenfile(known.fileno(), fd):
                return
            if known.size != os.fstat(fd).st_size:
                raise Damaged(other_bytes(key))
            for offset in range(0, known.size, _COPY_BYTES):
                if os.pread(fd, _COPY_BYTES, offset) != os.pread(known.fileno(), _COPY_BYTES, offset):
                    raise Damaged(other_bytes(key))

    def _chain(self, folder: Path) -> tuple[Path, ...]:
        """The folder and those above it up to the store's, which is not in it."""
        return tuple(item for item in (folder, *folder.parents) if self.root in item.parents)

    def _make_durable(self, folders: set[Path]) -> None:
        """Sync the names in these folders, and the folders' own names the first time we meet them."""
        with self._lock:
            known = self._durable
            new = {item for folder in folders for item in self._chain(folder) if item not in known}
        wanted = folders | new | ({self.root} if new else set())
        if len(wanted) >= _SYNC_TOGETHER and self._syncfs is not None:
            self._syncfs(self._fd)
        else:
            for folder in wanted:
                # A folder that is gone was empty: what we put into it was deleted again. A file is in nobody's way.
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    sync_folder(folder)
        with self._lock:
            if len(self._durable) > 20_000:
                self._durable.clear()
            self._durable |= new

    def _prune(self, folders: set[Path]) -> set[Path]:
        """Remove folders left empty; returns those whose names changed and that are still there."""
        changed: set[Path] = set()
        for folder in folders:
            at = folder
            while at != self.root:
                try:
                    os.rmdir(at)
                except FileNotFoundError:
                    pass
                except OSError:
                    break
                with self._lock:
                    self._durable.discard(at)
                at = at.parent
            changed.add(at)
        return changed

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectStat]:
        entries: list[tuple[str, os.DirEntry[str]]] = []
        base = f"{folder}/" if folder else ""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.root / folder) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    entries.append((f"{base}{entry.name}/", entry))
                elif entry.is_file(follow_symlinks=False):
                    entries.append((f"{base}{entry.name}", entry))
        # A folder sorts with its slash, so that the keys come out in order over folders and files.
        for key, entry in sorted(entries, key=lambda item: item[0]):
            if entry.name.startswith("."):
                continue
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key[:-1], prefix)
            elif key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError, StreamvaultError):
                    status = entry.stat(follow_symlinks=False)
                    yield ObjectStat(check_key(key), status.st_size, status.st_mtime_ns // 1000)

    def _still_there(self) -> None:
        """Raises StoreMoved when the store's folder is no longer the one that was opened: mounted, unmounted or moved since. What
        is put there would be synced on the old one's file system."""
        try:
            if os.path.samestat(os.stat(self.root), os.fstat(self._fd)):
                return
        except OSError as error:
            raise store_error(f"the store {self.root} is away (is its file system mounted?)", error) from error
        raise StoreMoved(f"the store {self.root} is another folder than when it was opened; was its file system unmounted?")

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, Path]]:
        """A new file under a temporary name, locked so that nobody takes it for a leftover; the name is gone afterwards."""
        name = f"{_TEMPORARY}{os.getpid()}-{threading.get_native_id()}-{next(self._serial)}-{os.urandom(4).hex()}"
        path = self.root / ".tmp" / name
        with self._alone():
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield fd, path
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
            os.close(fd)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread of one process on this store; for moments."""
        fd = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _drop_leftovers(self) -> None:
        """Remove temporary files whose maker is dead: the kernel has let go of its lock."""
        with self._alone(), os.scandir(self.root / ".tmp") as entries:
            for entry in entries:
                if not entry.name.startswith(_TEMPORARY):
                    continue
                with contextlib.suppress(OSError):
                    fd = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(entry.path)
                    finally:
                        os.close(fd)

    def _can_link(self) -> bool:
        """Whether the store's file system has hard links, found out by making one."""
        with self._temporary() as (_, probe):
            linked = self.root / ".tmp" / f"{probe.name}-link"
            try:
                os.link(probe, linked)
            except OSError as error:
                if error.errno in _NO_LINK:
                    return False
                raise
            os.unlink(linked)
        return True
