"""Planning a clip: from segments and a range to a virtual MP4. The steps are pieces, lanes, layout and moov, each a module here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vault.splice.clip import Clip, Extents
from vault.splice.inband import insert_sets
from vault.splice.lanes import MAX_KEPT_GAP_US, Lane, TimeMap, video_lane
from vault.splice.layout import lay_out
from vault.splice.moov import build_head
from vault.splice.part import Gaps, Part
from vault.splice.pieces import Selection, select
from vault.splice.sound import sound_lanes
from vault.timebase import Interval

FORM = 1
"""Raised whenever the same inputs give other bytes than before; part of the ETag."""


def plan_clip(
    parts: Sequence[Part],
    wanted: Interval,
    gaps: Gaps = Gaps.KEEP,
    *,
    earliest_us: int | None = None,
) -> Clip:
    """A clip that shows exactly the pictures whose presentation begins in `wanted`, with the sound of that time.

    `parts`: the segments that share an instant with `wanted`, in any order, and the one before where `reaches_back` says so.
    `earliest_us`: nothing before it may be in the file; where the pre-roll would be, the clip begins at the next random access
    point and says so in its notes.
    Each picture's time is within one tick of its UTC relative to the first one (with gaps squeezed: less the gaps before it).
    Raises NotFound when nothing is in the range, Refused where the codec changes inside it, Damaged for broken parameter sets.
    """
    selection = select(parts, wanted, earliest_us)
    time = TimeMap.of(selection, gaps)
    lanes: list[Lane] = [video_lane(selection, time)] if selection.has_video else []
    inserts = insert_sets(selection, lanes[0]) if selection.has_video else []
    lanes += sound_lanes(selection, time)
    layout = lay_out(lanes, [piece.index for piece in selection.pieces], inserts)
    head = build_head(lanes, layout, selection.interval.start_us)
    interval, held = selection.interval, selection.held
    return Clip(
        size=len(head) + layout.size,
        etag=_etag(selection, wanted, gaps, earliest_us),
        interval=interval,
        preroll=Interval(held.start_us, interval.start_us) if held.start_us < interval.start_us else None,
        postroll=Interval(interval.end_us, held.end_us) if held.end_us > interval.end_us else None,
        gaps=tuple(selection.gaps),
        sources=tuple(dict.fromkeys(piece.part.table.info.head.key for piece in selection.pieces)),
        notes=(*selection.notes, *_notes(selection, gaps, lanes)),
        head=head,
        _extents=Extents(layout, [part.source for part in selection.parts]),
    )


def _notes(selection: Selection, gaps: Gaps, lanes: list[Lane]) -> list[str]:
    notes = []
    audio = [lane for lane in lanes if lane.params.codec.is_audio]
    if len(audio) > 1:
        kinds = ", ".join(str(lane.params.codec) for lane in audio)
        notes.append(f"the audio changes within the clip: {len(audio)} audio tracks ({kinds}), of which players play the first")
    if gaps is Gaps.KEEP and any(gap.duration_us > MAX_KEPT_GAP_US for gap in selection.gaps):
        notes.append(f"a gap of more than {MAX_KEPT_GAP_US // 3_600_000_000} hours lasts that long in the clip")
    return notes


def _etag(selection: Selection, wanted: Interval, gaps: Gaps, earliest_us: int | None) -> str:
    """From what decides the bytes: the form, the question, and each segment with the length that was valid when it was read.

    A segment's bytes below that length never change but for 16 bytes at its head, which no clip copies.
    """
    text = f"{FORM} {wanted.start_us} {wanted.end_us} {gaps} {earliest_us}"
    for part in selection.parts:
        info = part.table.info
        text += f" {info.head.key.object_key} {part.table.file_size} {info.end_us}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
