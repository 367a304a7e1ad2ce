"""When committed segments reach their minimum: counted by minimum, camera and hour, in the transactions that write the rows.

With it, finding what has expired costs what has expired, whatever is stored. A minimum of 0, unknown, has its hours too, so that
its segments are found when the clock is confirmed. An entry an hour and not one a segment: a hundredth of the bytes, and of the
pages that a commit touches. Rows that are doomed or deleting are not counted here. What follows from a minimum that is past is
the retention package's.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.rows import KEY, MIN_UNTIL_AT, ROW_SIZES, SIZE_AT, STATE_AT, State
from vault.errors import Damaged
from vault.ids import CameraNumber

HOUR_US: Final = 3_600_000_000
_HOUR = struct.Struct(">QII")
"""Minimum, camera, hour of the segments' starts since 1970: what expires first comes first."""
_MINIMUM = struct.Struct(">Q")
_COUNT = struct.Struct("<IQ")
_SUM = struct.Struct("<QQ")
_U64 = struct.Struct("<Q")
_COMPLETE = b"expiry-complete"
_TOGETHER = 256
"""Camera-hours counted anew in one transaction: milliseconds, whatever stands in them."""


@dataclass(frozen=True, slots=True)
class ExpirySum:
    """Committed segments of one minimum, of all cameras. `min_until_us` 0 is unknown."""

    min_until_us: int
    segments: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ExpiryHour:
    """Committed segments of one minimum that a camera began within one hour."""

    min_until_us: int
    camera: CameraNumber
    start_us: int
    segments: int = 0
    size_bytes: int = 0

    @property
    def key(self) -> bytes:
        return _HOUR.pack(self.min_until_us, self.camera, self.start_us // HOUR_US)

    @property
    def rows(self) -> tuple[bytes, bytes]:
        """Keys between which its rows stand, among those of other minima and states."""
        first_us = self.start_us // HOUR_US * HOUR_US
        return KEY.pack(self.camera, first_us, 0), KEY.pack(self.camera, first_us + HOUR_US, 0)


class ExpiryTally:
    """What changes in one transaction, written at its end: a batch mostly changes few hours."""

    def __init__(self) -> None:
        self._hours: dict[bytes, list[int]] = {}

    def count(self, min_until_us: int, camera: CameraNumber, start_us: int, sign: int, size_bytes: int) -> None:
        raw_key = _HOUR.pack(min_until_us, camera, start_us // HOUR_US)
        counted = self._hours.get(raw_key)
        if counted is None:
            counted = self._hours[raw_key] = [0, 0]
        counted[0] += sign
        counted[1] += sign * size_bytes

    def write(self, txn: WriteTxn) -> None:
        """Taking away what is not counted yet (`complete`) leaves nothing there."""
        put_hours(txn, {raw_key: _added(txn, raw_key, *counted) for raw_key, counted in self._hours.items()})


def put_hours(txn: WriteTxn, counts: dict[bytes, tuple[int, int]]) -> None:
    """Hours as they shall read, segments and bytes of each; the sums follow, so that they are always those of the hours."""
    changes: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for raw_key, (segments, size_bytes) in counts.items():
        before = _count_of(txn, raw_key)
        if segments:
            txn.put(Table.EXPIRYHOURS, raw_key, _COUNT.pack(segments, size_bytes))
        elif before[0]:
            txn.delete(Table.EXPIRYHOURS, raw_key)
        change = changes[_HOUR.unpack(raw_key)[0]]
        change[0] += segments - before[0]
        change[1] += size_bytes - before[1]
    for min_until_us, (segments, size_bytes) in changes.items():
        raw_key = _MINIMUM.pack(min_until_us)
        raw = txn.get(Table.EXPIRYSUMS, raw_key)
        summed = _SUM.unpack(raw) if raw else (0, 0)
        # A sum that is wrong (I5) must not stop those who write rows.
        if summed[0] + segments > 0:
            txn.put(Table.EXPIRYSUMS, raw_key, _SUM.pack(summed[0] + segments, max(0, summed[1] + size_bytes)))
        elif raw:
            txn.delete(Table.EXPIRYSUMS, raw_key)


def expiry_sums(txn: ReadTxn, until_us: int | None = None) -> Iterator[ExpirySum]:
    """By minimum, the unknown first; those up to and with `until_us`. As many as there are days to keep, about."""
    stop = None if until_us is None else _MINIMUM.pack(until_us + 1)
    for raw_key, raw in txn.scan(Table.EXPIRYSUMS, b"", stop):
        try:
            yield ExpirySum(_MINIMUM.unpack(raw_key)[0], *_SUM.unpack(raw))
        except struct.error as error:
            raise _damaged(raw_key, raw) from error


def expiry_hours(txn: ReadTxn, first_us: int, until_us: int, after: bytes = b"") -> Iterator[ExpiryHour]:
    """Hours whose minimum lies in `[first_us, until_us]`, by minimum; `after`: only those behind that key."""
    first = max(_HOUR.pack(first_us, 0, 0), after + b"\0" if after else b"")
    for raw_key, raw in txn.scan(Table.EXPIRYHOURS, first, _HOUR.pack(until_us + 1, 0, 0)):
        try:
            min_until_us, camera, hour = _HOUR.unpack(raw_key)
            yield ExpiryHour(min_until_us, camera, hour * HOUR_US, *_COUNT.unpack(raw))
        except struct.error as error:
            raise _damaged(raw_key, raw) from error


def rows_of_hour(txn: ReadTxn, hour: ExpiryHour) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the committed rows that the hour counts."""
    wanted = _U64.pack(hour.min_until_us)
    for raw_key, raw in txn.scan(Table.SEGMENTS, *hour.rows):
        if raw[MIN_UNTIL_AT : MIN_UNTIL_AT + 8] == wanted and raw[STATE_AT] == State.COMMITTED:
            yield raw_key, raw


def complete_expiry(environment: Environment) -> None:
    """Count the rows of an index that was made before there were these tables: once, in short transactions, resumable.

    Each camera-hour is counted anew from its rows, so it may run beside writers: what they counted before is replaced. Until
    then too little is counted and never too much, which means keep.
    """
    at = None if expiry_is_complete(environment) else b""
    while at is not None:
        with environment.write("count expiry", frees=True) as txn:
            for _ in range(_TOGETHER):
                item = txn.first_from(Table.SEGMENTS, at)
                if item is None:
                    txn.put(Table.META, _COMPLETE, b"\1")
                    at = None
                    break
                camera, start_us, _ = KEY.unpack(item[0])
                at = ExpiryHour(0, camera, start_us).rows[1]
                put_hours(txn, count_of_rows(txn, camera, start_us))


def recount_expiry(environment: Environment) -> None:
    """Forget what is counted and count anew. Cut short it goes on with `complete_expiry`; sums that stayed wrong take a repetition."""
    emptied = False
    while not emptied:
        with environment.write("forget expiry", frees=True) as txn:
            txn.delete(Table.META, _COMPLETE)
            some = [raw_key for raw_key, _ in islice(txn.scan(Table.EXPIRYHOURS), _TOGETHER)]
            put_hours(txn, dict.fromkeys(some, (0, 0)))
            emptied = len(some) < _TOGETHER
            if emptied:
                for raw_key in [raw_key for raw_key, _ in txn.scan(Table.EXPIRYSUMS)]:
                    txn.delete(Table.EXPIRYSUMS, raw_key)
    complete_expiry(environment)


def expiry_is_complete(environment: Environment) -> bool:
    """Whether every row is counted."""
    with environment.read() as txn:
        return txn.get(Table.META, _COMPLETE) is not None


def count_of_rows(txn: ReadTxn, camera: CameraNumber, start_us: int) -> dict[bytes, tuple[int, int]]:
    """What the hours of this camera's hour should read: key to segments and bytes."""
    found: dict[bytes, tuple[int, int]] = {}
    for raw_key, raw in txn.scan(Table.SEGMENTS, *ExpiryHour(0, camera, start_us).rows):
        if len(raw) not in ROW_SIZES:
            raise _damaged(raw_key, raw)
        if raw[STATE_AT] == State.COMMITTED:
            key = _HOUR.pack(_U64.unpack_from(raw, MIN_UNTIL_AT)[0], camera, start_us // HOUR_US)
            segments, size_bytes = found.get(key, (0, 0))
            found[key] = segments + 1, size_bytes + _U64.unpack_from(raw, SIZE_AT)[0]
    return found


def _added(txn: ReadTxn, raw_key: bytes, segments: int, size_bytes: int) -> tuple[int, int]:
    before = _count_of(txn, raw_key)
    return (before[0] + segments, max(0, before[1] + size_bytes)) if before[0] + segments > 0 else (0, 0)


def _count_of(txn: ReadTxn, raw_key: bytes) -> tuple[int, int]:
    raw = txn.get(Table.EXPIRYHOURS, raw_key)
    return _COUNT.unpack(raw) if raw else (0, 0)


def _damaged(raw_key: bytes, raw: bytes) -> Damaged:
    return Damaged(f"a row of {len(raw_key)}+{len(raw)} bytes is not one of ours; run `index rebuild`")
