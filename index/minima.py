"""Raised minima: a camera's footage that exists already is to be kept for longer, because its site or itself got more days.

A raise is a document of the registry and, for each of its cameras, a row here; it covers every segment that began before, or within
a day after, it was asked for: no lowering takes effect sooner (`index.sites`), so none of those may have less. Where the camera has
footage of later than that, because the clock was wrong, now or then, it covers that too: in doubt, keep. From the transaction that
writes the rows on, deletion keeps to the new minimum (`raised`), and segments that are committed later, or come back in a rebuild, get
it at once. Bringing the minimum into the rows that are there is `index.raising`.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from index.environment import ReadTxn, Table, WriteTxn
from index.registry import DocumentName, Fields, Registry, counter, lift_number, set_counter
from index.rows import CAMERA, KEY, MOMENT, NewRow, SegmentRow, segment_key
from vault.categories import LEAST_DAYS
from vault.errors import Damaged
from vault.ids import CameraNumber
from vault.retain import MAX_DAYS, raised_until_us, tells_day
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
    """What the camera began before `before_us` is kept for `days`, counted in `zone`.

    `newest_us`: where its newest segment began when that was later than `asked_us`, else `asked_us`. `next_key`: the first segment row that was not looked at yet, empty before the first; None when all were.
    """

    camera: CameraNumber
    asked_us: int
    days: int
    zone: str
    newest_us: int
    next_key: bytes | None

    @property
    def before_us(self) -> int:
        return max(self.asked_us, self.newest_us) + NOTICE_US

    @property
    def row_key(self) -> bytes:
        return MOMENT.pack(self.camera, self.asked_us)

    def pack(self) -> bytes:
        fields = {
            "version": _VERSION, "days": self.days, "zone": self.zone, "newest": self.newest_us,
            "next": None if self.next_key is None else self.next_key.hex(),
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw_key: bytes, raw: bytes) -> Raise:
        camera, asked_us = MOMENT.unpack(raw_key)
        try:
            fields = json.loads(raw)
            at = fields["next"]
            days, zone, newest_us = int(fields["days"]), str(fields["zone"]), int(fields.get("newest", asked_us))
            zoneinfo.ZoneInfo(zone)
            return cls(CameraNumber(camera), asked_us, days, zone, newest_us, None if at is None else bytes.fromhex(at))
        except (ValueError, KeyError, TypeError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise Damaged(f"a raise of camera {camera} cannot be read; nothing of it is deleted until it can") from error

    def covers(self, start_us: int) -> bool:
        return start_us < self.before_us

    def is_in(self, row: SegmentRow | NewRow) -> bool:
        """Whether the row has been looked at, or came in when those around it had been."""
        return self.next_key is None or segment_key(row.key) < self.next_key

    def until_us(self, row: SegmentRow | NewRow) -> int:
        """The row's minimum by this raise, at least the one it has. Where the row does not tell the day of its close, a raise must
        not be counted twice: the minimum that it made would pass for the class's own."""
        least = LEAST_DAYS.get(row.site_class, 1)
        return raised_until_us(row.end_us, row.min_until_us, row.flags, least, self.days, zoneinfo.ZoneInfo(self.zone))


def raises_of(txn: ReadTxn, camera: CameraNumber) -> Iterator[Raise]:
    """In order of time."""
    prefix = CAMERA.pack(camera)
    for raw_key, raw in txn.scan(Table.RAISES, prefix):
        if not raw_key.startswith(prefix):
            return
        yield Raise.unpack(raw_key, raw)


def raised(txn: ReadTxn, row: SegmentRow) -> int:
    """Until when the segment must be kept with every raise counted that is not in its row; 0 where that is not known, which means
    keep."""
    return 0 if row.min_until_us == 0 else raised_by(pending_raises(txn, row.key.camera), row)


def raised_by(pending: Iterable[Raise], row: SegmentRow) -> int:
    """As `raised`, for whoever has the camera's pending raises."""
    if row.min_until_us == 0:
        return 0
    found = (item.until_us(row) for item in pending if item.covers(row.key.start_us) and not item.is_in(row))
    return max(found, default=row.min_until_us)


def pending_raises(txn: ReadTxn, camera: CameraNumber) -> list[Raise]:
    """Those that are not in every row of the camera."""
    return [item for item in raises_of(txn, camera) if item.next_key is not None]


def raised_at_entry(txn: ReadTxn, row: SegmentRow | NewRow) -> int:
    """The minimum of a row that comes in, or whose minimum becomes known: with every raise that will not come by it later.

    One that will is counted too where counting it twice does no harm.
    """
    if row.min_until_us == 0:
        return 0
    found = [
        item.until_us(row)
        for item in raises_of(txn, row.key.camera)
        if item.covers(row.key.start_us) and (item.is_in(row) or tells_day(row.flags))
    ]
    return max(found, default=row.min_until_us)


def put_raise(
    txn: WriteTxn, registry: Registry, cameras: Sequence[CameraNumber], days: int, zone: str, *, by: str, why: str, at_us: int
) -> None:
    """The document, and the rows that put it in force. Its cameras may be none."""
    for first in range(0, len(cameras), _MAX_CAMERAS):
        some = cameras[first : first + _MAX_CAMERAS]
        number = counter(txn, _LAST_NUMBER) + 1
        set_counter(txn, _LAST_NUMBER, number)
        newest = {camera: newest_us for camera in some if (newest_us := _newest_us(txn, camera)) > at_us}
        fields = {
            "number": number, "asked_us": at_us, "days": days, "zone": zone, "by": by, "why": why, "cameras": list(some),
            "newest": {str(camera): newest_us for camera, newest_us in newest.items()},
        }  # fmt: skip
        registry.write(txn, DocumentName(KIND, f"{number:010d}"), fields, at_us, by)
        for camera in some:
            _put(txn, Raise(camera, at_us, days, zone, newest.get(camera, at_us), b""))


def _newest_us(txn: ReadTxn, camera: CameraNumber) -> int:
    """When the camera's newest segment began, 0 when it has none."""
    last = txn.last_before(Table.SEGMENTS, CAMERA.pack(camera) + b"\xff" * 13)
    number, start_us, _ = KEY.unpack(last[0]) if last is not None else (0, 0, 0)
    return start_us if number == camera else 0


def restore_raises(txn: WriteTxn, documents: Iterable[Fields]) -> None:
    """Put back what the index makes of these documents, before there is any segment row. Raises Damaged."""
    found: list[Raise] = []
    for fields in documents:
        try:
            lift_number(txn, KIND, int(fields["number"]))
            days = int(fields["days"])
            if not 1 <= days <= MAX_DAYS:
                raise ValueError("days")
            asked_us, newest = int(fields["asked_us"]), fields.get("newest", {})
            found += [
                Raise(
                    CameraNumber(int(camera)), asked_us, days, str(fields["zone"]), int(newest.get(str(camera), asked_us)), None
                )
                for camera in fields["cameras"]
            ]  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Damaged("a raise in the registry lacks a field; run `index rebuild`") from error
    for item in sorted(found, key=lambda item: (item.asked_us, item.days)):
        _put(txn, item)


def _put(txn: WriteTxn, new: Raise) -> None:
    """Earlier raises to no more days are part of this one."""
    for old in list(raises_of(txn, new.camera)):
        if old.row_key == new.row_key:
            # Of two at one instant the one with more days is both.
            new = replace(new, days=max(old.days, new.days), newest_us=max(old.newest_us, new.newest_us))
            if (new.days, new.newest_us) == (old.days, old.newest_us):
                return
        elif old.asked_us <= new.asked_us and old.before_us <= new.before_us and old.days <= new.days:
            txn.delete(Table.RAISES, old.row_key)
    txn.put(Table.RAISES, new.row_key, new.pack())
