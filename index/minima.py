"""Raised minima: a camera's footage that exists already is to be kept for longer, because its site or itself got more days.

A raise is a document of the registry and, for each of its cameras, a row here; it covers every segment that began before, or within
a day after, it was asked for: no lowering takes effect sooner (`index.sites`), so none of those may have less. From the transaction that
writes the rows on, deletion keeps to the new minimum (`raised`), and segments that are committed later, or come back in a rebuild, get
it at once. Bringing the minimum into the rows that are there is `index.raising`.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from index.environment import ReadTxn, Table, WriteTxn
from index.registry import DocumentName, Fields, Registry, counter, lift_number, set_counter
from index.rows import CAMERA, MOMENT, NewRow, SegmentRow
from vault.categories import LEAST_DAYS
from vault.errors import Damaged
from vault.ids import CameraNumber
from vault.retain import MAX_DAYS, raised_until_us
from vault.timebase import US

KIND: Final = "raises"
NOTICE_US: Final = 86_400 * US
"""A lowering takes effect so long after it was asked for."""

_VERSION = 1
_LAST_NUMBER = b"last-raise-number"
_MAX_CAMERAS = 4_000
"""In one document: it must stay below what a registry object may hold."""


@dataclass(frozen=True, slots=True)
class Raise:
    """What the camera began before `asked_us + NOTICE_US` is kept for `days`, counted in `zone`.

    `next_key`: the first segment row that was not looked at yet, empty before the first; None when all were.
    """

    camera: CameraNumber
    asked_us: int
    days: int
    zone: str
    next_key: bytes | None

    @property
    def row_key(self) -> bytes:
        return MOMENT.pack(self.camera, self.asked_us)

    def pack(self) -> bytes:
        fields = {
            "version": _VERSION, "days": self.days, "zone": self.zone,
            "next": None if self.next_key is None else self.next_key.hex(),
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw_key: bytes, raw: bytes) -> Raise:
        camera, asked_us = MOMENT.unpack(raw_key)
        try:
            fields = json.loads(raw)
            at = fields["next"]
            days, zone = int(fields["days"]), str(fields["zone"])
            zoneinfo.ZoneInfo(zone)
            return cls(CameraNumber(camera), asked_us, days, zone, None if at is None else bytes.fromhex(at))
        except (ValueError, KeyError, TypeError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise Damaged(f"a raise of camera {camera} cannot be read; nothing of it is deleted until it can") from error

    def covers(self, start_us: int) -> bool:
        return start_us < self.asked_us + NOTICE_US

    def until_us(self, row: SegmentRow | NewRow) -> int:
        """The row's minimum by this raise, at least the one it has."""
        least = LEAST_DAYS.get(row.site_class, 1)
        return raised_until_us(row.end_us, row.min_until_us, row.flags, least, self.days, zoneinfo.ZoneInfo(self.zone))


def raises_of(txn: ReadTxn, camera: CameraNumber) -> Iterator[Raise]:
    """In order of time."""
    prefix = CAMERA.pack(camera)
    for raw_key, raw in txn.scan(Table.RAISES, prefix):
        if not raw_key.startswith(prefix):
            return
        yield Raise.unpack(raw_key, raw)


def raised(txn: ReadTxn, row: SegmentRow | NewRow) -> int:
    """Until when the segment must be kept with every raise counted; 0 where that is not known, which means keep."""
    return 0 if row.min_until_us == 0 else raised_by(raises_of(txn, row.key.camera), row)


def raised_by(raises: Iterable[Raise], row: SegmentRow | NewRow) -> int:
    """As `raised`, for whoever has the camera's raises."""
    if row.min_until_us == 0:
        return 0
    return max((item.until_us(row) for item in raises if item.covers(row.key.start_us)), default=row.min_until_us)


def put_raise(
    txn: WriteTxn, registry: Registry, cameras: Sequence[CameraNumber], days: int, zone: str, *, by: str, why: str, at_us: int
) -> None:
    """The document, and the rows that put it in force. Its cameras may be none."""
    for first in range(0, len(cameras), _MAX_CAMERAS):
        some = cameras[first : first + _MAX_CAMERAS]
        number = counter(txn, _LAST_NUMBER) + 1
        set_counter(txn, _LAST_NUMBER, number)
        fields = {
            "number": number, "asked_us": at_us, "days": days, "zone": zone, "by": by, "why": why, "cameras": list(some),
        }  # fmt: skip
        registry.write(txn, DocumentName(KIND, f"{number:010d}"), fields, at_us, by)
        for camera in some:
            _put(txn, Raise(camera, at_us, days, zone, b""))


def restore_raises(txn: WriteTxn, documents: Iterable[Fields]) -> None:
    """Put back what the index makes of these documents, before there is any segment row. Raises Damaged."""
    found: list[Raise] = []
    for fields in documents:
        try:
            lift_number(txn, KIND, int(fields["number"]))
            days = int(fields["days"])
            if not 1 <= days <= MAX_DAYS:
                raise ValueError("days")
            found += [
                Raise(CameraNumber(int(camera)), int(fields["asked_us"]), days, str(fields["zone"]), None)
                for camera in fields["cameras"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged("a raise in the registry lacks a field; run `index rebuild`") from error
    for item in sorted(found, key=lambda item: (item.asked_us, item.days)):
        _put(txn, item)


def _put(txn: WriteTxn, new: Raise) -> None:
    """Earlier raises to no more days are part of this one."""
    for old in list(raises_of(txn, new.camera)):
        if old.asked_us <= new.asked_us and old.days <= new.days:
            txn.delete(Table.RAISES, old.row_key)
        elif old.row_key == new.row_key:
            # Of two at one instant the one with more days is both.
            return
    txn.put(Table.RAISES, new.row_key, new.pack())
