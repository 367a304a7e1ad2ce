"""Who reads the index, and for how long: a reader that stays keeps every page that was freed since from being used again.

LMDB keeps no time of when a snapshot was taken, only which one it is. So how long is found out by looking again, as with the
write lock (`index.holder`). Nothing here imports lmdb, kills or waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reader:
    """A read transaction: its process, a number of its thread, and how many transactions were committed since."""

    pid: int
    thread: str
    snapshot: int
    behind: int


def parse_readers(listing: str, last_transaction: int) -> list[Reader]:
    """The readers that hold a snapshot, the oldest first, from what `mdb_reader_list` prints: pid, thread, transaction."""
    found: list[Reader] = []
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0].isdecimal() and fields[2].isdecimal():
            snapshot = int(fields[2])
            found.append(Reader(int(fields[0]), fields[1], snapshot, max(0, last_transaction - snapshot)))
    return sorted(found, key=lambda reader: reader.snapshot)


class ReaderWatch:
    """Tells a reader that stays from one that comes again and again. To be asked every few seconds."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, int], int] = {}

    def held_us(self, readers: Iterable[Reader], mono_us: int) -> list[tuple[Reader, int]]:
        """Each reader with how long we have seen its snapshot: never more than it is."""
        readers = list(readers)
        keys = [(reader.pid, reader.thread, reader.snapshot) for reader in readers]
        self._seen = {key: self._seen.get(key, mono_us) for key in keys}
        return [(reader, mono_us - self._seen[key]) for reader, key in zip(readers, keys, strict=True)]
