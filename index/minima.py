"""For how many days a camera's footage is kept, whenever its row is written: the most that were in force since it began.

A raise is a document of the registry and, for each of its cameras, a row here; it covers every segment that began before, or within
a day after, it was asked for: no lowering takes effect sooner (`index.sites`), so none of those may have less. Where the camera has
footage of later than that, because the clock was wrong, now or then, it covers that too: in doubt, keep. A lowering stands here as well,
with the days that were in force before it: what began before it took effect has them, also where its row is written later, by a slow
close, by recovery or by a rebuild, and where no run had seen yet that the configuration had raised them. When a segment in doubt began
is not known, so every raise and lowering of its camera covers it.
From the transaction that writes the rows on, deletion keeps to the new minimum (`raised`). Bringing it into the rows that are there is
`index.raising`.
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from index.environment import ReadTxn, Table, WriteTxn
from index.registry import DocumentName, Fields, Registry, counter, lift_number, set_counter
from index.rows import CAMERA, KEY, MOMENT, NewRow, SegmentRow
from vault.categories import LEAST_DAYS
from vault.errors import Damaged
from vault.ids import CameraNumber
from vault.media import SegmentFlag
from vault.retain import MAX_DAYS, raised_until_us
from vault.timebase import MAX_US, US

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

    `next_key`: the first segment row that was not looked at yet, empty before the first; None when all were. `lowered`: fewer days
    came after it.
    """

    camera: CameraNumber
    asked_us: int
    days: int
    zone: str
    before_us: int
    next_key: bytes | None
    lowered: bool = False

    @property
    def row_key(self) -> bytes:
        return MOMENT.pack(self.camera, self.asked_us)

    def pack(self) -> bytes:
        fields = {
            "version": _VERSION, "days": self.days, "zone": self.zone, "before": self.before_us,
            "next": None if self.next_key is None else self.next_key.hex(), "lowered": self.lowered,
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw_key: bytes, raw: bytes) -> Raise:
        camera, asked_us = MOMENT.unpack(raw_key)
        try:
            fields = json.loads(raw)
            at = fields["next"]
            days, zone, lowered = int(fields["days"]), str(fields["zone"]), bool(fields.get("lowered"))
            before_us = int(fields["before"]) if "before" in fields else max(asked_us, int(fields.get("newest", 0))) + NOTICE_US
            zoneinfo.ZoneInfo(zone)
            return cls(
                CameraNumber(camera), asked_us, days, zone, before_us, None if at is None else bytes.fromhex(at), lowered
            )
        except (ValueError, KeyError, TypeError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise Damaged(f"a raise of camera {camera} cannot be read; nothing of it is deleted until it can") from error

    def covers(self, row: SegmentRow | NewRow) -> bool:
        return row.key.start_us < self.before_us or bool(row.flags & SegmentFlag.CLOCK_UNCONFIRMED)

    def takes_in(self, other: Raise) -> bool:
        """Whether the other one says nothing that this one does not. A lowering does not tell when days rose."""
        return self.days >= other.days and self.before_us >= other.before_us and (other.lowered or not self.lowered)

    def until_us(self, row: SegmentRow | NewRow) -> int:
        """The row's minimum by this raise, at least the one it has; however often it is asked."""
        least, zone = LEAST_DAYS.get(row.site_class, 1), zoneinfo.ZoneInfo(self.zone)
        return raised_until_us(row.end_us, row.counted_us, row.min_until_us, row.flags, least, self.days, zone)


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


def raised_by(pending: Iterable[Raise], row: SegmentRow | NewRow) -> int:
    """As `raised`, for whoever has the camera's pending raises."""
    if row.min_until_us == 0:
        return 0
    return max((item.until_us(row) for item in pending if item.covers(row)), default=row.min_until_us)


def pending_raises(txn: ReadTxn, camera: CameraNumber) -> list[Raise]:
    """Those that are not in every row of the camera."""
    return [item for item in raises_of(txn, camera) if item.next_key is not None]


def raised_at_entry(txn: ReadTxn, row: SegmentRow | NewRow) -> int:
    """The minimum of a row that comes in, or whose minimum becomes known, with every raise and lowering that covers it."""
    return 0 if row.min_until_us == 0 else raised_by(raises_of(txn, row.key.camera), row)


def put_raise(
    txn: WriteTxn, registry: Registry, cameras: Sequence[CameraNumber], days: int, zone: str, *, by: str, why: str, at_us: int,
    notice_us: int = NOTICE_US, lowered: bool = False, class_days: tuple[str, int] | None = None,
) -> None:  # fmt: skip
    """The document, and the rows that put it in force. Its cameras may be none. `class_days`: a class, and its days from now on.

    `lowered`: `days` were in force until now; fewer are from `at_us` and `notice_us` on.
    """
    for first in range(0, max(1, len(cameras)), _MAX_CAMERAS):
        some = cameras[first : first + _MAX_CAMERAS]
        number = counter(txn, _LAST_NUMBER) + 1
        set_counter(txn, _LAST_NUMBER, number)
        newest = {camera: newest_us for camera in some if (newest_us := _newest_us(txn, camera)) > at_us}
        fields = {
            "number": number, "asked_us": at_us, "days": days, "zone": zone, "by": by, "why": why, "cameras": list(some),
            "newest": {str(camera): newest_us for camera, newest_us in newest.items()},
            "notice_us": notice_us, "lowered": lowered, "class_days": class_days,
        }  # fmt: skip
        registry.write(txn, DocumentName(KIND, f"{number:010d}"), fields, at_us, by)
        for camera in some:
            before_us = newest.get(camera, at_us) + notice_us
            # Of a lowering too: no run may have seen yet what the configuration had raised.
            _put(txn, Raise(camera, at_us, days, zone, before_us, b"", lowered))


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
            number, days, asked_us = int(fields["number"]), int(fields["days"]), int(fields["asked_us"])
            if not (0 < number < 10**10 and 1 <= days <= MAX_DAYS and 0 <= asked_us <= MAX_US):
                raise ValueError("number, days or time")
            lift_number(txn, KIND, number)
            newest, zone = fields.get("newest", {}), str(fields["zone"])
            notice_us, lowered = int(fields.get("notice_us", NOTICE_US)), bool(fields.get("lowered"))
            for camera in fields["cameras"]:
                before_us = int(newest.get(str(camera), asked_us)) + notice_us
                if not 0 < int(camera) < 2**32:
                    raise ValueError("camera")
                found.append(Raise(CameraNumber(int(camera)), asked_us, days, zone, before_us, None, lowered))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Damaged("a raise in the registry lacks a field; run `index rebuild`") from error
    for item in sorted(found, key=lambda item: (item.asked_us, item.days)):
        _put(txn, item)


def _put(txn: WriteTxn, new: Raise) -> None:
    """Earlier ones of which nothing is left beside this one go; so does this one beside another of the same instant."""
    for old in list(raises_of(txn, new.camera)):
        if old.asked_us == new.asked_us and old.takes_in(new):
            return
        if old.asked_us <= new.asked_us and new.takes_in(old):
            txn.delete(Table.RAISES, old.row_key)
    while txn.get(Table.RAISES, new.row_key) is not None:
        # Two of one instant, and each says something of its own. The order of the two means nothing.
        new = replace(new, asked_us=new.asked_us + 1)
    txn.put(Table.RAISES, new.row_key, new.pack())
