"""Taking one piece of one camera into a package: its segments found, planned as a clip or taken whole, checked while they are read.

Which pieces there are is in `access.export.cuts`; in which order they are taken, and what is known of those taken, in
`access.export.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from access.decode import decode_apart
from access.export.cuts import one_codec_each
from access.export.intake import Intake, Reading
from access.export.lanes import Stop, Works
from access.package.builder import PackageBuilder
from access.package.custody import MediaFile, Missing, Source, Taken, media_name
from access.package.report import Thumbnail
from access.pool import SourcePool
from index.cameras import Camera
from index.node import Node
from index.rows import SegmentRow
from vault.errors import Damaged, NotFound, Refused
from vault.grant import Grant
from vault.ids import SegmentKey
from vault.segment.read import read_closed
from vault.splice.clip import Clip
from vault.splice.part import Gaps, Part
from vault.splice.pieces import reaches_back
from vault.splice.plan import plan_clip
from vault.timebase import US, Interval, format_local

_MAX_LEAD_IN: Final = 64
_BACK_US: Final = 40_000
"""Where pictures behind the end are held, the end is drawn in by so much until none is outside what is allowed."""
_MAX_BACK: Final = 50
_PICTURE_US: Final = 2 * US
_PICTURE_BYTES: Final = 32 * 1024 * 1024

OUTSIDE: Final = "outside what is allowed"
DAMAGED: Final = "damaged"


@dataclass(frozen=True, slots=True)
class Piece:
    """What was taken of one piece. `offset_us`: the camera's clock against the host's, of each segment that knows."""

    files: tuple[Taken, ...] = ()
    sources: tuple[Source, ...] = ()
    left_out: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    offsets_us: tuple[int, ...] = ()
    thumbnails: tuple[Thumbnail, ...] = ()


@dataclass(slots=True)
class Taker:
    """Over one node and one package. `told`: bytes written, for whoever shows how far it is. `stop`: asked between buffers."""

    node: Node
    builder: PackageBuilder
    works: Works
    stop: Stop
    gaps: Gaps
    original: bool
    allow_damaged: bool
    told: Callable[[int], None] = lambda count: None

    def take(self, grant: Grant, camera: Camera, wanted: Interval, moments: Sequence[int]) -> Piece:
        """Every file of the piece, durable. `moments`: instants of which the report shows a picture.

        Raises Damaged that names the segment, Refusal, StoreFull, StoreError.
        """
        grant.check(camera.number, wanted)
        with SourcePool(self.node.spool, self.node.store, grant) as pool:
            left: set[SegmentKey] = set()
            while True:
                reading = Reading(pool, self.works, self.allow_damaged, left)
                try:
                    piece = self._take(grant, camera, wanted, moments, reading)
                    break
                except Damaged as error:
                    if not self.allow_damaged:
                        raise Damaged(f"{error}; nothing of it is handed out unless --allow-damaged is said") from error
                    # Found in the midst of a file. Which others there are is asked once, or each would begin the piece anew.
                    more = self._unreadable(reading.intakes)
                    if not more:
                        raise
                    left |= more
        notes = [f"segment {key.object_key} cannot be read whole and is left out" for key in sorted(left)]
        return replace(piece, notes=(*piece.notes, *notes))

    def _take(self, grant: Grant, camera: Camera, wanted: Interval, moments: Sequence[int], reading: Reading) -> Piece:
        try:
            parts, left_out = self._parts(grant, camera, wanted, reading)
            if self.original:
                return self._originals(grant, camera, parts, left_out, reading)
            return self._cut(grant, camera, wanted, parts, left_out, reading, moments)
        finally:
            # Nothing reads from what the pool is about to close, whatever ended it.
            self.works.quiet()

    def _unreadable(self, intakes: Sequence[Intake]) -> set[SegmentKey]:
        found = set()
        for intake in intakes:
            try:
                intake.check_readable(self.stop.look)
            except Damaged:
                found.add(intake.row.key)
        return found

    def _parts(self, grant: Grant, camera: Camera, wanted: Interval, reading: Reading) -> tuple[list[Part], list[Missing]]:
        """The committed segments of the range in order, those before it that its first picture is decoded from, and what cannot
        be read at all."""
        parts: list[Part] = []
        left_out: list[Missing] = []
        timeline = self.node.timeline
        for row in timeline.span(camera.number, wanted):
            self.stop.look()
            try:
                if row.key not in reading.left:
                    parts.append(_part(grant, row, reading))
            except Damaged:
                if not self.allow_damaged:
                    raise
                reading.left.add(row.key)
            if row.key in reading.left and (inside := row.interval.intersection(wanted)):
                left_out.append(Missing(inside, DAMAGED))
        lead: list[Part] = []
        while not self.original and parts and len(lead) < _MAX_LEAD_IN and reaches_back((lead or parts)[0], wanted.start_us):
            first = (lead or parts)[0]
            before = timeline.find(camera.number, first.start_us - 1)
            if before is None or before.key >= first.table.info.head.key or before.end_us <= grant.window.start_us:
                break
            if before.key in reading.left:
                break
            try:
                lead.insert(0, _part(grant, before, reading))
            except Damaged:
                # Its own pictures were not asked for: what needs them begins at the next key frame.
                break
            video = lead[0].table.video
            if video is None or video.sync.any():
                break
        return lead + parts, left_out

    def _cut(
        self, grant: Grant, camera: Camera, wanted: Interval, parts: list[Part], left_out: list[Missing], reading: Reading,
        moments: Sequence[int],
    ) -> Piece:  # fmt: skip
        files: list[Taken] = []
        notes: list[str] = []
        pictures: list[Future[Thumbnail | None]] = []
        used: set[str] = set()
        for span in one_codec_each(parts, wanted):
            near = [part for part in parts if part.start_us < span.end_us]
            try:
                clip = _planned(near, span, self.gaps, grant)
            except NotFound:
                continue
            except Damaged:
                if not self.allow_damaged:
                    raise
                left_out.append(Missing(span, DAMAGED))
                continue
            clip_keys = {key.object_key for key in clip.sources}
            pictures += [found for at_us in moments if (found := self._picture(grant, camera, near, at_us, span)) is not None]
            intakes = [part.source for part in near if part.table.info.head.key.object_key in clip_keys]
            files.append(self._write_clip(camera, clip, [item for item in intakes if isinstance(item, Intake)], reading))
            notes += clip.notes
            used |= clip_keys
        offsets = [
            part.table.info.clock_offset_us
            for part in parts
            if part.table.info.clock_offset_us is not None and part.table.info.head.key.object_key in used
        ]
        sources = tuple(reading.found[key] for key in sorted(reading.found))
        thumbnails = [thumbnail for one in pictures if (thumbnail := one.result()) is not None]
        return Piece(tuple(files), sources, tuple(left_out), tuple(notes), tuple(offsets), tuple(thumbnails))

    def _write_clip(self, camera: Camera, clip: Clip, intakes: list[Intake], reading: Reading) -> Taken:
        for intake in intakes:
            intake.arm()
        with self._sink(media_name(camera.number, camera.id, clip.interval)) as write:
            for offset in range(0, clip.size, self.works.pieces.size):
                self.stop.look()
                count = min(self.works.pieces.size, clip.size - offset)
                buffer = self.works.pieces.take()
                clip.read_into(offset, buffer[:count])
                self.works.pieces.give(buffer, [self.works.writing.put(write.data, buffer[:count])])
                self.told(count)
            for intake in intakes:
                if intake.untouched:
                    reading.turn(intake)
            reading.end()
            made = write.close()
        return Taken(made, clip.interval, clip.held)

    def _originals(self, grant: Grant, camera: Camera, parts: list[Part], left_out: list[Missing], reading: Reading) -> Piece:
        """Segments as they are. One that reaches beyond what is allowed would show more than that: it is left out, and named."""
        files: list[Taken] = []
        offsets = []
        for part in parts:
            whole = Interval(part.start_us, part.end_us)
            if whole.start_us < grant.window.start_us or whole.end_us > grant.window.end_us:
                left_out.append(Missing(whole, OUTSIDE))
                continue
            key, intake = part.table.info.head.key, part.source
            assert isinstance(intake, Intake)
            intake.arm()
            name = media_name(camera.number, camera.id, whole, part=key.epoch)
            with self._sink(name) as write:
                for offset in range(0, intake.size, self.works.pieces.size):
                    self.stop.look()
                    count = min(self.works.pieces.size, intake.size - offset)
                    buffer = self.works.pieces.take()
                    intake.read_into(offset, buffer[:count])
                    self.works.pieces.give(buffer, [self.works.writing.put(write.data, buffer[:count])])
                    self.told(count)
                reading.end()
                made = write.close()
            files.append(Taken(made, whole, whole, whole=True))
            if part.table.info.clock_offset_us is not None:
                offsets.append(part.table.info.clock_offset_us)
        sources = tuple(reading.found[key] for key in sorted(reading.found))
        return Piece(tuple(files), sources, tuple(left_out), (), tuple(offsets))

    def _picture(
        self, grant: Grant, camera: Camera, parts: Sequence[Part], at_us: int, span: Interval
    ) -> Future[Thumbnail | None] | None:
        """A picture for the report, decoded beside the taking; what cannot be decoded has none."""
        if not span.start_us <= at_us < span.end_us:
            return None
        wanted = Interval(at_us, min(at_us + _PICTURE_US, span.end_us))
        try:
            clip = plan_clip(parts, wanted, earliest_us=grant.window.start_us)
            movie = clip.read(0, clip.size) if clip.size <= _PICTURE_BYTES else b""
        except (NotFound, Damaged):
            return None

        def decoded(data: bytes) -> Thumbnail | None:
            with suppress(Damaged, Refused):
                return Thumbnail(int(camera.number), clip.interval.start_us, decode_apart(data, "thumbnail", grant))
            return None

        return self.works.pictures.put(decoded, movie) if movie else None

    @contextmanager
    def _sink(self, name: str) -> Iterator[_Write]:
        """A media file; all that was given to the writing thread is written before it is closed, or thrown away."""
        with self.builder.media(name) as sink:

            def close() -> MediaFile:
                self.works.settle()
                return sink.close()

            try:
                yield _Write(sink.write, close)
            finally:
                self.works.quiet()


@dataclass(frozen=True, slots=True)
class _Write:
    data: Callable[[memoryview], None]
    close: Callable[[], MediaFile]


def _part(grant: Grant, row: SegmentRow, reading: Reading) -> Part:
    intake = Intake(grant, row, reading)
    return Part(read_closed(intake, row.tail_bytes), intake)


def _planned(parts: Sequence[Part], wanted: Interval, gaps: Gaps, grant: Grant) -> Clip:
    """The clip, with nothing in its file that is outside the window: neither before its cut nor behind its end."""
    clip = plan_clip(parts, wanted, gaps, earliest_us=grant.window.start_us)
    end_us = wanted.end_us
    for _ in range(_MAX_BACK):
        if clip.held.end_us <= grant.window.end_us:
            break
        end_us -= _BACK_US
        if end_us <= wanted.start_us:
            raise NotFound(f"no picture of {wanted} stands alone")
        clip = plan_clip(parts, Interval(wanted.start_us, end_us), gaps, earliest_us=grant.window.start_us)
    else:
        raise NotFound(
            f"pictures before {format_local(wanted.end_us, exact=True)} cannot be shown without later ones, which are {OUTSIDE}"
        )
    if end_us != wanted.end_us:
        note = f"ends at {format_local(end_us, exact=True)}: the pictures that a later end needs lie {OUTSIDE}"
        return replace(clip, notes=(*clip.notes, note))
    return clip
