"""From pieces to what the custody says of each camera. Values in, values out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from access.export.taking import Piece
from access.package.custody import Missing, Source, TakenCamera
from index.cameras import Camera
from index.sites import Site
from index.stays import sites_in
from index.timeline import View
from vault.timebase import Interval

EXPIRED = "expired"
BEFORE = "before the first recording"
"""The timeline knows nothing of it: the camera was not there yet."""
NOT_CLOSED = "not closed yet"
"""Of footage that was still being recorded when its turn came: no hash stands for it yet."""


def taken_camera(camera: Camera, sites: Sequence[Site], asked: Interval, pieces: Sequence[Piece], view: View) -> TakenCamera:
    """`sites`: all there are; `pieces` in order; `view`: of the range asked for, as it is now."""
    files = tuple(item for piece in pieces for item in piece.files)
    offsets = [offset for piece in pieces for offset in piece.offsets_us]
    missing = [Missing(Interval(gap.start_us, gap.end_us), gap.reason) for gap in view.gaps]
    missing += [Missing(gone, EXPIRED) for gone in view.expired]
    missing += [item for piece in pieces for item in piece.left_out]
    known = [*view.runs, *view.expired, *(item.interval for item in missing)]
    begins_us = min((span.start_us for span in known), default=asked.end_us)
    if asked.start_us < begins_us:
        missing.append(Missing(Interval(asked.start_us, begins_us), BEFORE))
    stood, names = sites_in(camera.stays, asked), {site.id: site.name for site in sites}
    taken = held = None
    if files:
        taken = Interval(min(item.shown.start_us for item in files), max(item.shown.end_us for item in files))
        held = Interval(min(item.held.start_us for item in files), max(item.held.end_us for item in files))
    return TakenCamera(
        number=camera.number,
        id=camera.id,
        name=camera.name,
        site=", ".join(stood),
        site_name=", ".join(filter(None, (names.get(site) for site in stood))),
        gb_code=camera.gb_code,
        clock_offset_us=round(statistics.median(offsets)) if offsets else None,
        asked=asked,
        taken=taken,
        held=held,
        missing=tuple(sorted(set(missing), key=lambda item: (item.interval, item.reason))),
        files=files,
        sources=_once(pieces),
        notes=tuple(dict.fromkeys(note for piece in pieces for note in piece.notes)),
    )


def _once(pieces: Sequence[Piece]) -> tuple[Source, ...]:
    """A segment over the border of two pieces was read for both; should it have been damaged once, it is."""
    found: dict[str, Source] = {}
    for piece in pieces:
        for source in piece.sources:
            if source.key not in found or source.damaged:
                found[source.key] = source
    return tuple(found[key] for key in sorted(found))
