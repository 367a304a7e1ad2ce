"""The invariants as functions that only report. Each repair is a command of its own; nothing here writes.

A check runs beside recording, uploading and deletion. Whatever looks wrong is therefore looked at a second time, from a fresh
snapshot, before it becomes a finding. I1 and I2 compare rows with objects (`index.check_objects`), I7 with the ledger (`index.check_ledger`);
the rest is here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice

from index.doom import Sentence, holding
from index.environment import Environment, ReadTxn, Table
from index.expiry import count_of_rows, expiry_hours, expiry_is_complete, expiry_sums
from index.rows import CAMERA, KEY, SegmentRow, State, Usage, unpack_usage
from index.timeline import UNKNOWN, Timeline
from index.writes import SegmentWriter, sum_of, usage_of
from vault.errors import Damaged
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval, format_local

SETTLING_US = 300_000_000
"""Footage of the last minutes may still be in an open file or on its way into the index; I6 does not look at it."""

PIECE_ROWS = 1_000

Progress = Callable[[str, int], None]
"""Told the step's name and how many rows or objects it has seen so far."""


class Severity(enum.StrEnum):
    """ERROR: an invariant is broken. WARNING: something to look at, which breaks none."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `ids`: object keys, or whatever names it."""

    severity: Severity
    invariant: str
    camera: CameraNumber | None
    ids: tuple[str, ...]
    message: str


def no_progress(step: str, seen: int) -> None:
    """For callers that show none."""


def rows_of(environment: Environment, segments: SegmentWriter) -> Iterator[SegmentRow]:
    """Every row in order of key, read in pieces, each from its own snapshot."""
    at = b""
    while True:
        with environment.read() as txn:
            piece: list[SegmentRow] = []
            for raw_key, raw in txn.scan(Table.SEGMENTS, at):
                piece.append(segments.row(txn, raw_key, raw))
                at = raw_key + b"\0"
                if len(piece) == PIECE_ROWS:
                    break
        yield from piece
        if len(piece) < PIECE_ROWS:
            return


def cameras_of(environment: Environment) -> list[CameraNumber]:
    """Every camera that has usage, an epoch or a gap: whatever the registry says."""
    with environment.read() as txn:
        found = {raw_key[:4] for table in (Table.USAGE, Table.EPOCHS) for raw_key, _ in txn.scan(table)}
    return sorted(CameraNumber(int.from_bytes(raw, "big")) for raw in found)


def check_overlaps(environment: Environment, progress: Progress = no_progress) -> Iterator[Finding]:
    """I3: rows of one camera and epoch never overlap."""
    segments = SegmentWriter()
    last: dict[tuple[CameraNumber, int], SegmentRow] = {}
    camera: CameraNumber | None = None
    for seen, row in enumerate(rows_of(environment, segments), 1):
        if row.key.camera != camera:
            camera = row.key.camera
            last.clear()
        before = last.get((row.key.camera, row.key.epoch))
        if before is not None and before.end_us > row.key.start_us:
            yield Finding(
                Severity.ERROR,
                "I3",
                camera,
                (before.key.object_key, row.key.object_key),
                f"two segments of epoch {row.key.epoch} overlap by {before.end_us - row.key.start_us} µs",
            )
        if before is None or row.end_us > before.end_us:
            last[row.key.camera, row.key.epoch] = row
        if seen % PIECE_ROWS == 0:
            progress("overlaps", seen)


def check_removal(environment: Environment, progress: Progress = no_progress) -> Iterator[Finding]:
    """I4: nothing held or inside its minimum is doomed; and the list of doomed rows is the doomed rows."""
    segments = SegmentWriter()
    at, seen = b"", 0
    while True:
        findings: list[Finding] = []
        with environment.read() as txn:
            piece = 0
            for raw_key, raw in txn.scan(Table.DOOMED, at):
                findings.extend(_removal_of(txn, segments, raw_key, raw))
                at, piece = raw_key + b"\0", piece + 1
                if piece == PIECE_ROWS:
                    break
        yield from findings
        seen += piece
        progress("removal", seen)
        if piece < PIECE_ROWS:
            return


def _removal_of(txn: ReadTxn, segments: SegmentWriter, raw_key: bytes, raw: bytes) -> Iterator[Finding]:
    value = txn.get(Table.SEGMENTS, raw_key)
    row = None if value is None else segments.row(txn, raw_key, value)
    camera = CameraNumber(KEY.unpack(raw_key)[0])
    if row is None or row.state is State.COMMITTED:
        yield Finding(Severity.ERROR, "I2", camera, (raw_key.hex(),), "the list of doomed segments names one that is not")
        return
    sentence, ids = Sentence.unpack(raw), (row.key.object_key,)
    if row.min_until_us == 0 or sentence.at_us < row.min_until_us:
        until = format_local(row.min_until_us) if row.min_until_us else "a time not known yet"
        yield Finding(Severity.ERROR, "I4", camera, ids, f"doomed at {format_local(sentence.at_us)}, to be kept until {until}")
    # A hold that was placed when its deletion had begun came too late, and whoever placed it was told so.
    hold = holding(txn, row, sentence.at_us) if row.state is State.DOOMED else None
    if hold is not None:
        yield Finding(Severity.ERROR, "I4", camera, ids, f"doomed although hold {hold.id} keeps it")


def check_usage(environment: Environment, progress: Progress = no_progress) -> Iterator[Finding]:
    """I5: usage counters equal the sum of the rows. One snapshot a camera, or a commit in between would look like a fault."""
    for seen, camera in enumerate(cameras_of(environment), 1):
        with environment.read() as txn:
            counted, summed = usage_of(txn, camera), sum_of(txn, camera)
        for fault in usage_faults(counted, summed):
            yield Finding(Severity.ERROR, "I5", camera, (), fault)
        progress("usage", seen)


def usage_faults(says: Usage, make: Usage) -> list[str]:
    """What of the counters is not as the rows make it; its two bounds may be wider."""
    wrong = []
    for field in fields(Usage):
        counted, summed = getattr(says, field.name), getattr(make, field.name)
        if field.name == "longest_us":
            right = counted >= summed
        elif field.name == "first_us":
            right = summed is None or (counted is not None and counted <= summed)
        else:
            right = counted == summed
        if not right:
            wrong.append(f"{field.name} counts {counted}, its rows make {summed}")
    return wrong


def check_expiry(environment: Environment, progress: Progress = no_progress, uncounted: int = 0) -> Iterator[Finding]:
    """I5 for the hours of expiry: each counts its rows, all together count every committed row, and the sums are theirs.

    An index in which retention never ran since there are such hours has not counted them yet, and is passed by.
    `uncounted`: so many more committed segments are there than the usage counters say.
    """
    after, seen, more = b"", 0, expiry_is_complete(environment)
    if not more:
        return
    while more:
        more = False
        with environment.read() as txn:
            for hour in islice(expiry_hours(txn, 0, MAX_US, after), PIECE_ROWS // 10):
                after, seen, more = hour.key, seen + 1, True
                counted = (hour.segments, hour.size_bytes)
                if count_of_rows(txn, hour.camera, hour.start_us).get(hour.key, (0, 0)) != counted:
                    message = f"its hour from {format_local(hour.start_us)} counts {counted[0]} segments that expire together, its rows others"
                    yield Finding(Severity.ERROR, "I5", hour.camera, (), message)
        if more:
            progress("expiry", seen)
    with environment.read() as txn:
        sums = {item.min_until_us: (item.segments, item.size_bytes) for item in expiry_sums(txn)}
        usage = [unpack_usage(raw) for _, raw in txn.scan(Table.USAGE)]
        for hour in expiry_hours(txn, 0, MAX_US):
            segments, size_bytes = sums.get(hour.min_until_us, (0, 0))
            sums[hour.min_until_us] = segments - hour.segments, size_bytes - hour.size_bytes
        summed = sum(item.segments for item in expiry_sums(txn))
    wrong = [min_until_us for min_until_us, left in sums.items() if left != (0, 0)]
    if wrong:
        yield Finding(
            Severity.ERROR, "I5", None, (), f"the sum of what expires at {format_local(wrong[0])} is not that of its hours"
        )
    committed = uncounted + sum(item.segments - item.doomed_segments for item in usage)
    if summed != committed:
        yield Finding(
            Severity.ERROR, "I5", None, (), f"{summed} segments are counted by when they expire, {committed} are there"
        )


def check_time(
    environment: Environment,
    now_us: int,
    open_intervals: Callable[[CameraNumber], Sequence[Interval]] = lambda camera: (),
    progress: Progress = no_progress,
) -> Iterator[Finding]:
    """I6: every second since a camera was first to record is in a segment, in a gap row with a reason, or expired."""
    timeline = Timeline(environment)
    for seen, camera in enumerate(cameras_of(environment), 1):
        with environment.read() as txn:
            first_us = unpack_usage(txn.get(Table.USAGE, CAMERA.pack(camera))).first_us
        end_us = now_us - SETTLING_US
        if first_us is not None and first_us < end_us:
            for gap in timeline.gaps(camera, Interval(first_us, end_us), open_intervals(camera)):
                if gap.reason == UNKNOWN:
                    span = str(Interval(gap.start_us, gap.end_us))
                    yield Finding(
                        Severity.ERROR,
                        "I6",
                        camera,
                        (span,),
                        f"{(gap.end_us - gap.start_us) / 1e6:.3f} s without footage or reason",
                    )
        progress("time", seen)


def check_readable(environment: Environment, progress: Progress = no_progress) -> Iterator[Finding]:
    """Every row and what it names can be decoded; what the other checks rest on."""
    segments = SegmentWriter()
    try:
        known: set[int] = set()
        for seen, row in enumerate(rows_of(environment, segments), 1):
            if seen % PIECE_ROWS == 0:
                progress("rows", seen)
            if row.params_id not in known:
                known.add(row.params_id)
                with environment.read() as txn:
                    segments.params.value(txn, row.params_id)
    except Damaged as error:
        yield Finding(Severity.ERROR, "I1", None, (), str(error))
