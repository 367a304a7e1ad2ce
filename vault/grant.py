"""The leave to read footage: every function that reads it takes one. Only `access.authorize` gives it to persons.

The engine's own parts that must read footage (checks, uploads, repairs) hold a grant in their own name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from vault.days import span_shown
from vault.errors import Refused
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval, format_local

EVER: Final = Interval(0, MAX_US)


class Action(enum.StrEnum):
    """What a person may do with footage."""

    VIEW = "view"
    EXPORT = "export"


class Refusal(Refused):
    """A person may not. `code` names the reason for programs, `article` the rule's place that demands it."""

    def __init__(self, message: str, code: str, article: str) -> None:
        super().__init__(f"{message} ({article})")
        self.code = code
        self.article = article


@dataclass(frozen=True, slots=True)
class Grant:
    """One camera's footage of one window, for one holder. `camera` None: any, for the engine's own parts alone.

    `until_us`: when it ends, None when nothing but a revocation ends it. `authority`: what it rests on, for the custody: `grant 12`,
    `role investigator`, `operator`.
    """

    holder: str
    action: Action
    camera: CameraNumber | None
    window: Interval
    until_us: int | None
    authority: tuple[str, ...]

    def check(self, camera: CameraNumber, wanted: Interval) -> None:
        """Raises Refusal where the footage wanted is not within."""
        self.check_camera(camera)
        if wanted.start_us < self.window.start_us or wanted.end_us > self.window.end_us:
            raise Refusal(
                f"the grant of {self.holder} is for footage {span_shown(self.window)}, and {wanted} was asked for",
                "window",
                "Art. 14 (4)",
            )

    def check_segment(self, camera: CameraNumber, whole: Interval) -> None:
        """Of a segment that will be read in parts. Raises Refusal where nothing of it is within."""
        self.check_camera(camera)
        if not whole.overlaps(self.window):
            raise Refusal(f"the grant of {self.holder} says nothing of {format_local(whole.start_us)}", "window", "Art. 14 (4)")

    def check_camera(self, camera: CameraNumber) -> None:
        """Raises Refusal where it is for another camera."""
        if self.camera is not None and self.camera != camera:
            raise Refusal(f"the grant of {self.holder} is for another camera than #{camera}", "camera", "Art. 14 (4)")


def system_grant(part: str) -> Grant:
    """For a part of the engine that must read footage whoever looks: it never hands it to a person."""
    return Grant(f"system:{part}", Action.VIEW, None, EVER, None, ("system",))
