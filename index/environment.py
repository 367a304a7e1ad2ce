"""The LMDB environment: opening it by the rules, short transactions, space. The only module that imports lmdb.

The rules, each learnt from somebody's lost data: the 0.9 engine and file format whatever the library's default is; default
sync flags; never `writemap`; never on a network file system; one environment object a process; never across `fork`; the
file allocated ahead, with a fifth kept for transactions that free space, because a full disk or map cannot even delete.
What the tables hold is in `index/SCHEMA.md`; nothing here knows a row.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from index.filesystem import disk_space, preallocate, refuse_network
from index.holder import Stamp, WriteHolder, current_holder, lock_owner
from index.readers import Reader, parse_readers
from index.space import FIRST_BYTES, KEEP_FREE, Space
from vault.clock import Clock, SystemClock
from vault.errors import Busy, Damaged, StoreError, StoreFull, StreamvaultError, UsageError
from vault.files import store_error

MIB = 1024 * 1024
DEFAULT_MAP_BYTES = 256 * 1024 * MIB
"""Address space only: room for a billion rows; the file grows as it is used."""
MAX_READERS = 512
_ENGINE = 0


class Table(enum.IntEnum):
    """The sub-databases, in the order they are opened. Names and contents: `index/SCHEMA.md`."""

    META = 0
    SEGMENTS = 1
    PENDING = 2
    DOOMED = 3
    GAPS = 4
    EXPIRED = 5
    USAGE = 6
    EPOCHS = 7
    PARAMS = 8
    CLASSES = 9
    HOLDS = 10
    REGISTRY = 11
    NAMES = 12
    ALARMS = 13
    PINS = 14
    EXPIRYHOURS = 15
    EXPIRYSUMS = 16
    DUTIES = 17
    OUTBOX = 18
    ALARM_EVENTS = 19
    STALE = 20
    MANIFESTS = 21
    HOURS = 22
    RAISES = 23
    RELOCK = 24
    ATTEMPTS = 25
    EXPORTS = 26
    VISITS = 27
    REGISTER = 28


class ReadTxn:
    """A snapshot. Use it as a context manager, for milliseconds, and never across a yield to somebody else's code."""

    __slots__ = ("_dbs", "_txn")

    def __init__(self, txn: lmdb.Transaction[bytes], dbs: list[lmdb._Database]) -> None:
        self._txn = txn
        self._dbs = dbs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._txn.abort()
        if isinstance(error, lmdb.Error):
            raise converted(error) from error

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self._txn.get(key, db=self._dbs[table])

    def last_before(self, table: Table, key: bytes) -> tuple[bytes, bytes] | None:
        """The greatest item whose key is below `key`."""
        cursor = self._txn.cursor(self._dbs[table])
        found = cursor.prev() if cursor.set_range(key) else cursor.last()
        return cursor.item() if found else None

    def first_from(self, table: Table, key: bytes) -> tuple[bytes, bytes] | None:
        """The least item whose key is `key` or above."""
        cursor = self._txn.cursor(self._dbs[table])
        return cursor.item() if cursor.set_range(key) else None

    def before(self, table: Table, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Items below `key`, the greatest first."""
        cursor = self._txn.cursor(self._dbs[table])
        found = cursor.prev() if cursor.set_range(key) else cursor.last()
        return cursor.iterprev() if found else iter(())

    def scan(self, table: Table, first: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Items with `first` <= key < `stop`, in order. The table must not change while it runs."""
        cursor = self._txn.cursor(self._dbs[table])
        if not (cursor.set_range(first) if first else cursor.first()):
            return
        if stop is None:
            yield from cursor.iternext()
            return
        for item in cursor.iternext():
            if item[0] >= stop:
                return
            yield item

    def entries(self, table: Table) -> int:
        return self._txn.stat(self._dbs[table])["entries"]

    def pages(self, table: Table) -> int:
        """Pages in use by the table's tree."""
        stat = self._txn.stat(self._dbs[table])
        return stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]


class WriteTxn(ReadTxn):
    """The write transaction: all of it or nothing. Commits when the `with` block ends without an exception."""

    __slots__ = ("_before_commit", "_environment", "_tid")

    def __init__(self, txn: lmdb.Transaction[bytes], dbs: list[lmdb._Database], environment: Environment, tid: int) -> None:
        super().__init__(txn, dbs)
        self._environment = environment
        self._tid = tid
        self._before_commit: list[Callable[[WriteTxn], None]] = []

    def before_commit(self, work: Callable[[WriteTxn], None]) -> None:
        """Call `work` last of all, when the transaction is about to commit; what it raises aborts it."""
        self._before_commit.append(work)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
                self._txn.commit()
            else:
                self._txn.abort()
        except lmdb.Error as failure:
            raise converted(failure) from failure
        finally:
            self._environment.write_ended(self._tid)
        if isinstance(error, lmdb.Error):
            raise converted(error) from error

    def _finish(self) -> None:
        try:
            for work in self._before_commit:
                work(self)
        except BaseException:
            self._txn.abort()
            raise

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._dbs[table])

    def delete(self, table: Table, key: bytes) -> bool:
        """True when there was something to delete."""
        return self._txn.delete(key, db=self._dbs[table])


class Environment:
    """One a process. Thread-safe; a write waits for every other writer of the node.

    `create=False`: one that is not there is no empty one, which would give numbers of cameras anew, but lost.

    Raises Refused (network file system), Damaged (lost, not ours, or torn), UsageError (opened twice, used after fork or close).
    """

    def __init__(
        self, path: Path, map_bytes: int = DEFAULT_MAP_BYTES, clock: Clock | None = None, *, create: bool = True
    ) -> None:
        self.path = path
        self.map_bytes = map_bytes
        self._clock = clock or SystemClock()
        self._pid = os.getpid()
        self._writer: int | None = None
        self._data = path / "data.mdb"
        if create:
            with _ours(f"making the index {path}"):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not self._data.exists() or not self._data.stat().st_size:
            raise Damaged(f"{path}: the index is missing; run `streamvault index rebuild`")
        refuse_network(path)
        try:
            # The binding makes the folder too, and lets that error through as it is.
            with _ours(f"opening the index {path}"):
                self._env = lmdb.Environment(
                    str(path), map_size=map_bytes, max_dbs=len(Table), max_readers=MAX_READERS, mode=0o700, max_spare_txns=1, lib_version=_ENGINE
                )  # fmt: skip
        except lmdb.Error as error:
            raise converted(error, f"opening the index {path}") from error
        with _ours(f"opening the index {path}"), contextlib.ExitStack() as opened:
            opened.callback(self._env.close)
            self._stamp = Stamp(path / "writer.stamp")
            # Closing any descriptor of lock.mdb drops the process's fcntl locks on it, which are what shows our read
            # transactions to be alive. So this one is opened once and closed after the environment.
            self._lock_file = os.open(path / "lock.mdb", os.O_RDONLY | os.O_CLOEXEC)
            opened.pop_all()
        try:
            preallocate(self._data, min(FIRST_BYTES, map_bytes))
            self._dbs = [self._env.open_db(table.name.lower().encode()) for table in Table]
            self.page_bytes = self._env.stat()["psize"]
            self._file_bytes = self._data.stat().st_size
            self._lock_readable = self._prove_lock_word()
            self._env.reader_check()
        except BaseException as error:
            self.close()
            if isinstance(error, lmdb.Error):
                raise converted(error, f"opening the index {path}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Repeatable. In a forked child it does nothing: the files' locks are the parent's."""
        if self._pid and self._pid == os.getpid():
            self._pid = 0
            self._env.close()
            os.close(self._lock_file)
            self._stamp.close()

    def read(self) -> ReadTxn:
        if self._pid != os.getpid():
            raise self._misuse()
        try:
            return ReadTxn(self._env.begin(), self._dbs)
        except lmdb.Error as error:
            raise converted(error) from error

    def write(self, label: str, *, frees: bool = False) -> WriteTxn:
        """Waits for the write lock. `label` names the work in the stamp; `frees` is for work that leaves less behind.

        Raises StoreFull when less than the kept fifth is free and the work does not free space.
        """
        if self._pid != os.getpid():
            raise self._misuse()
        tid = threading.get_native_id()
        if self._writer == tid:
            raise UsageError(f"{label}: this thread already is in a write transaction on the index {self.path}")
        try:
            txn = self._env.begin(write=True)
        except lmdb.Error as error:
            raise converted(error) from error
        try:
            self._writer = tid
            self._stamp.set(self._pid, tid, self._clock.mono_us(), label)
            self._make_room(txn, frees)
        except BaseException:
            txn.abort()
            self.write_ended(tid)
            raise
        return WriteTxn(txn, self._dbs, self, tid)

    def write_ended(self, tid: int) -> None:
        """For the transaction to call, when its thread no longer holds the lock."""
        self._stamp.clear(self._pid, tid)
        if self._writer == tid:
            self._writer = None

    def holder(self) -> WriteHolder | None:
        """Who is in a write transaction now, in any process."""
        return current_holder(self._stamp, self._lock_file if self._lock_readable else None)

    def reader_check(self) -> int:
        """Free the reader slots of dead processes; how many there were. To be called each minute by one process."""
        try:
            return self._env.reader_check()
        except lmdb.Error as error:
            raise converted(error) from error

    def readers(self) -> list[Reader]:
        """Read transactions of all processes that hold a snapshot now, the oldest first."""
        try:
            return parse_readers(self._env.readers(), self._env.info()["last_txnid"])
        except lmdb.Error as error:
            raise converted(error) from error

    def space(self) -> Space:
        with self.read() as txn:
            live = sum(txn.pages(table) for table in Table)
        used = self._env.info()["last_pgno"] + 1
        return Space(
            self.map_bytes,
            self._data.stat().st_size,
            used * self.page_bytes,
            live * self.page_bytes,
            disk_space(self.path)[0],
        )

    def copy(self, target: Path) -> None:
        """A consistent, compacted copy into the empty folder `target`, while others read and write."""
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._env.copy(str(target), compact=True)
        except lmdb.Error as error:
            raise converted(error, f"copying the index to {target}") from error

    @property
    def last_change(self) -> int:
        """Rises with every transaction that changed something, of any process."""
        return int(self._env.info()["last_txnid"])

    @property
    def engine(self) -> str:
        return ".".join(str(part) for part in self._env.lib_version())

    def _prove_lock_word(self) -> bool:
        """See our own thread id in the lock while we hold it: then it is where `index.holder` reads it."""
        with self.write("open", frees=True):
            return lock_owner(self._lock_file) == threading.get_native_id()

    def _make_room(self, txn: lmdb.Transaction[bytes], frees: bool) -> None:
        used = (self._env.info()["last_pgno"] + 1) * self.page_bytes
        if used <= self._file_bytes - self._file_bytes // KEEP_FREE:
            return
        wanted = min(self.map_bytes, self._file_bytes + max(FIRST_BYTES, self._file_bytes // 4 // MIB * MIB))
        try:
            if wanted > self._file_bytes:
                preallocate(self._data, wanted)
            self._file_bytes = max(self._file_bytes, self._data.stat().st_size)
        except StoreFull:
            if not frees and self._live_bytes(txn) > self._file_bytes - self._file_bytes // KEEP_FREE:
                raise
            return
        if not frees and self._live_bytes(txn) > self.map_bytes - self.map_bytes // KEEP_FREE:
            raise StoreFull(
                f"the index {self.path} is full: over four fifths of its map of {self.map_bytes} bytes; "
                "set a larger map size, or let retention remove footage"
            )

    def _live_bytes(self, txn: lmdb.Transaction[bytes]) -> int:
        view = ReadTxn(txn, self._dbs)
        return sum(view.pages(table) for table in Table) * self.page_bytes

    def _misuse(self) -> UsageError:
        if not self._pid:
            return UsageError(f"the index {self.path} is closed")
        return UsageError(
            f"the index {self.path} was opened by process {self._pid} and is used by its fork {os.getpid()}: start processes by spawn"
        )


@contextlib.contextmanager
def _ours(doing: str) -> Iterator[None]:
    """Our error for an OSError."""
    try:
        yield
    except OSError as error:
        raise store_error(doing, error) from error


def converted(error: lmdb.Error, doing: str = "using the index") -> StreamvaultError:
    """Our error for LMDB's."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(f"{doing}: its map is full; set a larger map size, or let retention remove footage")
    if isinstance(error, lmdb.MapResizedError):
        return Busy(f"{doing}: another process opened it with a larger map; restart this one")
    if isinstance(error, lmdb.ReadersFullError):
        return Busy(f"{doing}: all {MAX_READERS} reader slots are taken; a reader is left open, or too many processes read")
    if isinstance(
        error, (lmdb.VersionMismatchError, lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError)
    ):
        return Damaged(f"{doing}: {error}; run `streamvault index rebuild`")
    if error.code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return StoreFull(f"{doing}: no space on its disk; free some")
    if "already open in this process" in str(error):
        return UsageError(f"{doing}: it is already open in this process; share that environment")
    return StoreError(f"{doing}: {error}")
