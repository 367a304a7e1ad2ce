"""A clip with nothing in its file that its grant does not cover: no picture before the window as pre-roll, none behind it as post-roll.

Planning itself is `vault.splice.plan`'s; which segments there are is `access.footage`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vault.errors import NotFound
from vault.grant import Grant, Refusal
from vault.ids import CameraNumber
from vault.splice.clip import Clip
from vault.splice.part import Gaps, Part
from vault.splice.plan import plan_clip
from vault.timebase import Interval, format_local

_BACK_US: Final = 40_000
_MAX_BACK: Final = 50
"""Where decoding the last pictures needs later ones, the end is drawn in by so much, so often: reordering reaches 16 frames
(H.264 §A.3.1, `max_dec_frame_buffering`)."""


def cut_clip(parts: Sequence[Part], grant: Grant, camera: CameraNumber, wanted: Interval, gaps: Gaps = Gaps.KEEP) -> Clip:
    """As `plan_clip`. Where pictures that decoding needs lie outside the window, the clip begins at the next key frame, or ends
    earlier, and its notes say so. Raises NotFound, Refusal, Refused, Damaged."""
    grant.check(camera, wanted)
    window = grant.window
    end_us = wanted.end_us
    clip = plan_clip(parts, wanted, gaps, earliest_us=window.start_us)
    for _ in range(_MAX_BACK):
        if clip.held.end_us <= window.end_us:
            break
        end_us -= _BACK_US
        if end_us <= wanted.start_us:
            raise NotFound(
                f"no picture from {format_local(wanted.start_us, exact=True)} on can be shown without later ones, which no grant covers"
            )
        clip = plan_clip(parts, Interval(wanted.start_us, end_us), gaps, earliest_us=window.start_us)
    held = clip.held
    if held.start_us < window.start_us or held.end_us > window.end_us:
        raise Refusal("the pictures asked for cannot be shown without others that no grant covers", "window", "Art. 14 (4)")
    if end_us != wanted.end_us:
        note = f"ends at {format_local(end_us, exact=True)}: the pictures that a later end needs lie outside what is allowed"
        return replace(clip, notes=(*clip.notes, note))
    return clip
