"""Rows as bytes and as values: packing and unpacking only. Who may write them: `index.catalog`. Bytes: `index/SCHEMA.md`."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vault.errors import Damaged
from vault.ids import SegmentKey
from vault.media import GapBefore, SegmentFlag, TrackParams
from vault.timebase import MAX_US, Interval

ROW_VERSION: Final = 1
COUNTED_VERSION: Final = 2
"""A segment row with `counted_us` behind it."""
OPEN_END: Final = 2**64 - 1
"""`end_us` of a gap that lasts."""
MAX_SEGMENT_US: Final = 3_600_000_000
"""No segment is longer; what a duration in 32 bits and a bounded look back rest on."""
MAX_REASON_BYTES: Final = 200

KEY = struct.Struct(">IQI")
"""Camera, start, epoch: order of bytes is order of time within a camera."""
PENDING_KEY = struct.Struct(">QII")
"""Start, camera, epoch: the oldest of all cameras first."""
CAMERA = struct.Struct(">I")
MOMENT = struct.Struct(">IQ")
ROW = struct.Struct("<BBBxHHIIIIQQ32s")
"""Version, state, place, flags, class, sequence, duration µs, tail, params, size, min_until µs, BLAKE3."""
STATE_AT: Final = 1
PLACE_AT: Final = 2
SIZE_AT: Final = 24
MIN_UNTIL_AT: Final = 32
"""Where these stand in a row, for whoever looks at many and keeps few."""
_SEQUENCE = struct.Struct("<8xI")
_MIN_UNTIL = struct.Struct("<Q")
END = struct.Struct("<Q")
_COUNTED = struct.Struct("<Q")
ROW_SIZES: Final = (ROW.size, ROW.size + _COUNTED.size)
"""Of a segment row, without and with `counted_us`."""
USAGE = struct.Struct("<BxxxIQQQQQQQQ")


class Place(enum.IntEnum):
    """Where a segment's bytes are."""

    SPOOL = 1
    STORE = 2


class State(enum.IntEnum):
    """Where a segment is in its life. Readers see COMMITTED only."""

    COMMITTED = 1
    DOOMED = 2
    DELETING = 3


# A table is several times as fast as calling the enumeration, and a lookup makes three of them.
_PLACES = {int(item): item for item in Place}
_STATES = {int(item): item for item in State}
_FLAGS = {value: SegmentFlag(value) for value in range(64)}


@dataclass(frozen=True, slots=True)
class NewRow:
    """A closed segment to commit: what the recorder or recovery knows of it.

    `blake3`: digest of the whole file, 32 bytes. `tail_bytes`: length of the tail that `read_closed` fetches.
    `params`: of each track, in the order of the tracks. `min_until_us` 0 is unknown: keep.
    """

    key: SegmentKey
    end_us: int
    size_bytes: int
    blake3: bytes
    tail_bytes: int
    params: tuple[TrackParams, ...]
    site_class: str
    min_until_us: int
    flags: SegmentFlag = SegmentFlag.NONE
    gap_before: GapBefore | None = None
    counted_us: int | None = None
    """From when its days count, where end and flags do not tell the local day (`vault.retain`)."""

    @property
    def interval(self) -> Interval:
        return Interval(self.key.start_us, self.end_us)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A committed segment as the index knows it. `params_id` names the tracks' parameters (`Catalog.params`)."""

    key: SegmentKey
    end_us: int
    size_bytes: int
    blake3: bytes
    tail_bytes: int
    params_id: int
    site_class: str
    min_until_us: int
    flags: SegmentFlag
    place: Place
    state: State
    counted_us: int | None = None
    """As in `NewRow`."""

    @property
    def interval(self) -> Interval:
        return Interval(self.key.start_us, self.end_us)


def _slots(kind: type, *names: str) -> tuple[Callable[[object, object], None], ...]:
    return tuple(getattr(kind, name).__set__ for name in names)


# A frozen value's own __init__ looks each slot up by name, and a lookup or a day's span is made of such values: writing the
# slots directly takes 1.5 µs a row instead of 3.0 (2-core machine, CPython 3.11, 2026-11-22, benchmarks/bench_index.py).
_new = object.__new__
_key_camera, _key_start, _key_epoch, _key_sequence = _slots(SegmentKey, "camera", "start_us", "epoch", "sequence")
_row_key, _row_end, _row_size, _row_blake3, _row_tail = _slots(
    SegmentRow, "key", "end_us", "size_bytes", "blake3", "tail_bytes"
)
_row_params, _row_class, _row_min_until, _row_flags, _row_place, _row_state, _row_counted = _slots(
    SegmentRow, "params_id", "site_class", "min_until_us", "flags", "place", "state", "counted_us"
)


@dataclass(frozen=True, slots=True)
class GapRow:
    """Nothing was recorded from `start_us` to `end_us`, and why. `end_us` None: it lasts."""

    start_us: int
    end_us: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One camera's sums over its rows (I5), and two bounds that only ever widen.

    `doomed_*` counts doomed and deleting rows, `spool_*` rows whose bytes are not in the store yet; both are part of
    `segments` and `size_bytes`. `longest_us` bounds how far back a reader must look; `first_us` is when the camera was
    first to record, None when never.
    """

    segments: int = 0
    size_bytes: int = 0
    duration_us: int = 0
    doomed_segments: int = 0
    doomed_bytes: int = 0
    spool_segments: int = 0
    spool_bytes: int = 0
    longest_us: int = 0
    first_us: int | None = None


def segment_key(key: SegmentKey) -> bytes:
    return KEY.pack(key.camera, key.start_us, key.epoch)


def pending_key(key: SegmentKey) -> bytes:
    return PENDING_KEY.pack(key.start_us, key.camera, key.epoch)


def key_of_pending(raw: bytes) -> bytes:
    """The segment's key from its key in the list of uploads."""
    start_us, camera, epoch = PENDING_KEY.unpack(raw)
    return KEY.pack(camera, start_us, epoch)


def pack_row(row: SegmentRow, class_id: int) -> bytes:
    made = ROW.pack(
        ROW_VERSION if row.counted_us is None else COUNTED_VERSION,
        row.state,
        row.place,
        row.flags,
        class_id,
        row.key.sequence,
        row.end_us - row.key.start_us,
        row.tail_bytes,
        row.params_id,
        row.size_bytes,
        row.min_until_us,
        row.blake3,
    )
    return made if row.counted_us is None else made + _COUNTED.pack(row.counted_us)


def altered(row: SegmentRow, place: Place, state: State, min_until_us: int, counted_us: int | None) -> SegmentRow:
    """The row but for these, as `dataclasses.replace` makes it, at a third of its cost."""
    made = _new(SegmentRow)
    _row_key(made, row.key)
    _row_end(made, row.end_us)
    _row_size(made, row.size_bytes)
    _row_blake3(made, row.blake3)
    _row_tail(made, row.tail_bytes)
    _row_params(made, row.params_id)
    _row_class(made, row.site_class)
    _row_min_until(made, min_until_us)
    _row_flags(made, row.flags)
    _row_place(made, place)
    _row_state(made, state)
    _row_counted(made, counted_us)
    return made


def repack_row(raw: bytes, row: SegmentRow) -> bytes:
    """The bytes of a row that is `raw` but for place, state, minimum and what that counts from."""
    made = bytearray(raw)
    if row.counted_us is not None:
        made[0], made[ROW.size :] = COUNTED_VERSION, _COUNTED.pack(row.counted_us)
    made[STATE_AT], made[PLACE_AT] = row.state, row.place
    _MIN_UNTIL.pack_into(made, MIN_UNTIL_AT, row.min_until_us)
    return bytes(made)


def unpack_row(raw_key: bytes, raw: bytes, class_name: Callable[[int], str]) -> SegmentRow:
    """`class_name` gives the text of an interned class. Raises Damaged for a row of a later version or of another length."""
    try:
        camera, start_us, epoch = KEY.unpack(raw_key)
        counted = None
        if len(raw) == ROW_SIZES[1] and raw[0] == COUNTED_VERSION:
            (counted,), raw = _COUNTED.unpack_from(raw, ROW.size), raw[: ROW.size]
        version, state, place, flags, class_id, sequence, duration, tail, params, size, min_until, digest = ROW.unpack(raw)
        if version != ROW_VERSION and counted is None:
            raise Damaged(f"segment row of version {version}, this program knows {COUNTED_VERSION}: use the newer program")
        state, place = _STATES[state], _PLACES[place]
    except (struct.error, KeyError) as error:
        raise Damaged(f"a segment row of {len(raw_key)}+{len(raw)} bytes is not one of ours; run `index rebuild`") from error
    if not camera or start_us > MAX_US or (counted or 0) > MAX_US:
        raise Damaged(f"a segment row of camera {camera} at {start_us} µs is not one of ours; run `index rebuild`")
    key, row = _new(SegmentKey), _new(SegmentRow)
    _key_camera(key, camera)
    _key_start(key, start_us)
    _key_epoch(key, epoch)
    _key_sequence(key, sequence)
    _row_key(row, key)
    _row_end(row, start_us + duration)
    _row_size(row, size)
    _row_blake3(row, digest)
    _row_tail(row, tail)
    _row_params(row, params)
    _row_class(row, class_name(class_id))
    _row_min_until(row, min_until)
    _row_flags(row, _FLAGS[flags] if flags in _FLAGS else SegmentFlag(flags))
    _row_place(row, place)
    _row_state(row, state)
    _row_counted(row, counted)
    return row


def short_rows(raws: Sequence[bytes]) -> bytes:
    """What all rows have, one behind the other, for whoever looks at many as a table."""
    joined = b"".join(raws)
    return joined if len(joined) == len(raws) * ROW.size else b"".join(raw[: ROW.size] for raw in raws)


def sequence_of(raw: bytes) -> int:
    """A row's sequence, of a row that is known to be ours."""
    return int(_SEQUENCE.unpack_from(raw)[0])


def pack_gap(end_us: int | None, reason: str) -> bytes:
    """`reason` is cut to `MAX_REASON_BYTES` of UTF-8."""
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return END.pack(OPEN_END if end_us is None else end_us) + text.encode()


def unpack_gap(raw_key: bytes, raw: bytes) -> GapRow:
    if len(raw) < END.size or len(raw_key) != MOMENT.size:
        raise Damaged(f"a gap row of {len(raw_key)}+{len(raw)} bytes is not one of ours; run `index rebuild`")
    end_us: int = END.unpack_from(raw)[0]
    return GapRow(MOMENT.unpack(raw_key)[1], None if end_us == OPEN_END else end_us, raw[END.size :].decode(errors="replace"))


def pack_usage(usage: Usage) -> bytes:
    return USAGE.pack(
        ROW_VERSION,
        usage.longest_us,
        OPEN_END if usage.first_us is None else usage.first_us,
        usage.segments,
        usage.size_bytes,
        usage.duration_us,
        usage.doomed_segments,
        usage.doomed_bytes,
        usage.spool_segments,
        usage.spool_bytes,
    )


def unpack_usage(raw: bytes | None) -> Usage:
    """`raw` None, no row: all zero."""
    if raw is None:
        return Usage()
    try:
        _, longest, first, segments, size, duration, doomed, doomed_bytes, spool, spool_bytes = USAGE.unpack(raw)
    except struct.error as error:
        raise Damaged(f"a usage row of {len(raw)} bytes is not one of ours; run `index rebuild`") from error
    return Usage(
        segments, size, duration, doomed, doomed_bytes, spool, spool_bytes, longest, None if first == OPEN_END else first
    )
