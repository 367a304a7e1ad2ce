"""Who holds LMDB's write lock, and since when: a stamp that each writer leaves, checked against the lock itself.

The lock is a robust, process-shared pthread mutex in `lock.mdb`. Its first word is the futex that the kernel works with:
the thread id of the owner, 0 when free (get_robust_list(2)). So *who* is read from the lock and is true even of a process
that was stopped a moment after it took the lock; *since when* is read from the stamp. Opening the environment proves once
that the word is where this module looks for it; where it is not, the stamp alone is believed.

Nothing here imports lmdb, kills or waits.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

STAMP_BYTES = 64
_STAMP = struct.Struct("<IIIQ32s")
_PID = struct.Struct("<I")
_PID_OFFSET = 4
_MAGIC = 0x57535631
_FUTEX_OFFSET = 64
_TID_MASK = 0x3FFFFFFF
_OWNER_DIED = 0x40000000


@dataclass(frozen=True, slots=True)
class WriteHolder:
    """A live process in a write transaction. `since_us` is monotonic, None when it has not stamped (yet)."""

    pid: int
    tid: int
    since_us: int | None
    label: str


class Stamp:
    """The shared 64 bytes of `writer.stamp`. Only the thread that holds the write lock writes them."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < STAMP_BYTES:
                os.ftruncate(handle, STAMP_BYTES)
            self._map = mmap.mmap(handle, STAMP_BYTES)
        finally:
            os.close(handle)

    def set(self, pid: int, tid: int, since_us: int, label: str) -> None:
        self._map[: _STAMP.size] = _STAMP.pack(_MAGIC, 0, tid, since_us, label.encode()[:32])
        _PID.pack_into(self._map, _PID_OFFSET, pid)

    def clear(self, pid: int, tid: int) -> None:
        """Withdraw our own stamp, after the lock is released, because the commit is what may take long.

        The next writer may stamp at this very moment. Only the process id is wiped, so its stamp is then whole or absent,
        and an absent one costs no more than the wait until `HolderWatch` has seen that holder for itself.
        """
        stamped = self.read()
        if stamped and stamped.pid == pid and stamped.tid == tid:
            _PID.pack_into(self._map, _PID_OFFSET, 0)

    def read(self) -> WriteHolder | None:
        first, second = self._map[: _STAMP.size], self._map[: _STAMP.size]
        magic, pid, tid, since_us, label = _STAMP.unpack(second)
        if first != second or magic != _MAGIC or not pid:
            return None
        return WriteHolder(pid, tid, since_us, label.rstrip(b"\0").decode(errors="replace"))

    def close(self) -> None:
        self._map.close()


def lock_owner(lock_file: int) -> int | None:
    """Thread id in the write mutex of an open `lock.mdb`, None when the lock is free or its owner is dead."""
    raw = os.pread(lock_file, 4, _FUTEX_OFFSET)
    word: int = struct.unpack("<I", raw)[0] if len(raw) == 4 else 0
    return None if word & _OWNER_DIED else (word & _TID_MASK) or None


def process_of(tid: int) -> int | None:
    """The process that a thread belongs to, None when it is gone (proc(5), `Tgid`)."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("Tgid:")), None)
    except (OSError, ValueError, IndexError):
        return None


def name_of(pid: int) -> str:
    """What a process is called (proc(5), `comm`). Never its command line, which may hold a camera's password."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "ended"


def current_holder(stamp: Stamp, lock_file: int | None) -> WriteHolder | None:
    """Who is in a write transaction at this moment. `lock_file` None: the lock cannot be read here, believe the stamp."""
    stamped = stamp.read()
    if lock_file is None:
        return stamped if stamped and process_of(stamped.tid) == stamped.pid else None
    tid = lock_owner(lock_file)
    if tid is None:
        return None
    pid = process_of(tid)
    if pid is None:
        return None
    if stamped and stamped.tid == tid and stamped.pid == pid:
        return stamped
    return WriteHolder(pid, tid, None, "")


class HolderWatch:
    """Tells a lock that is held too long from one that many hold in turn. The supervisor asks it every second.

    A holder that did not stamp counts from the first look that saw it.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None

    def held_us(self, holder: WriteHolder | None, mono_us: int) -> int:
        """For how long `holder`, as just read, has held the lock; 0 when nobody does."""
        if holder is None:
            self._seen = None
            return 0
        if holder.since_us is not None:
            self._seen = None
            return max(0, mono_us - holder.since_us)
        if self._seen is None or self._seen[0] != holder.tid:
            self._seen = (holder.tid, mono_us)
        return mono_us - self._seen[1]
