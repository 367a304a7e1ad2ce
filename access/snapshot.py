"""One picture of a camera: which one is shown at an instant, and the smallest clip that a decoder needs for it."""

from __future__ import annotations

from dataclasses import dataclass

from access.cut import cut_clip
from access.footage import Footage
from vault.errors import NotFound
from vault.grant import Grant
from vault.ids import CameraNumber
from vault.splice.part import Part
from vault.timebase import Interval, format_local


@dataclass(frozen=True, slots=True)
class Still:
    """`at_us`: when the picture began to be shown. `movie`: an MP4 whose only shown picture it is."""

    at_us: int
    movie: bytes


def still_at(footage: Footage, grant: Grant, camera: CameraNumber, at_us: int) -> Still:
    """The picture that stood at `at_us`: the last one that began by then. Raises NotFound in a gap, Refusal where it began, or
    what it is decoded from did, before the grant's window; Damaged, StoreError."""
    with footage.parts(grant, camera, Interval(at_us, at_us + 1)) as parts:
        shown = max((found for part in parts if (found := _shown(part, at_us)) is not None), default=None)
    if shown is None:
        raise NotFound(f"no picture stood at {format_local(at_us, exact=True)}")
    # It may stand beyond the window's end; that it is shown is decided by when it began.
    shown = Interval(shown.start_us, max(shown.start_us + 1, min(shown.end_us, grant.window.end_us)))
    # Asked again with its very time, so that the segments its decoding leans on are among the parts.
    with footage.parts(grant, camera, shown) as parts:
        clip = cut_clip(parts, grant, camera, shown)
        return Still(shown.start_us, clip.read(0, clip.size))


def _shown(part: Part, at_us: int) -> Interval | None:
    """For how long the picture stands that this segment shows at `at_us`; None when it shows none then."""
    track = part.table.video
    if track is None or not part.start_us <= at_us < part.end_us:
        return None
    instants = part.instants_us(track)
    earlier, later = instants[instants <= at_us], instants[instants > at_us]
    if not len(earlier):
        return None
    return Interval(int(earlier.max()), int(later.min()) if len(later) else part.end_us)
