"""The steps of running out of room as `capacity forecast` shows them. When each comes is decided in `retention.pressure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vault.console import print_table
from vault.room import ALARM_PERCENT, HASTE_PERCENT, RUN_PERCENT

if TYPE_CHECKING:
    from retention.forecast import State
    from retention.pressure import Event

_WORDS: Final = {
    "retention run at once": f"a run of retention at once (below {RUN_PERCENT} %)",
    "alarm": f"alarm `store filling` (below {ALARM_PERCENT} %)",
    "no grace": f"what has expired goes without its hour of grace (below {HASTE_PERCENT} %)",
    "full": "nothing more is stored",
}


def _steps(state: State) -> list[tuple[str, str]]:
    """Step and class, in order, whether they come or not."""
    from retention.pressure import steps

    classes = [load.site_class for load in state.loads if load.bytes_a_day > 0]
    return [(str(step), name) for _, step, name in steps(classes, state.whole_bytes or state.capacity_bytes or 0)]


def _moments(ahead: Sequence[Event]) -> dict[tuple[str, str], int]:
    return {(str(event.step), event.site_class): event.at_us for event in ahead}


def steps_json(state: State, ahead: Sequence[Event] | None) -> list[dict[str, Any]]:
    """`at` null: not within the days that were asked for; `known` false: the capacity is unknown."""
    from vault.timebase import format_us

    moments = _moments(ahead or ())
    return [
        {
            "step": step, "site_class": name or None, "known": ahead is not None,
            "at": format_us(moments[step, name]) if (step, name) in moments else None,
        }
        for step, name in _steps(state)
    ]  # fmt: skip


def show_steps(state: State, ahead: Sequence[Event] | None, days: int) -> None:
    """A table for people."""
    from vault.timebase import format_local

    moments = _moments(ahead or ())
    rows = []
    for step, name in _steps(state):
        at_us = moments.get((step, name))
        when = "unknown" if ahead is None else f"not within {days} days" if at_us is None else format_local(at_us)
        rows.append([_WORDS.get(step, f"class {name} is recorded no more"), when])
    print_table(["when room runs out", "comes"], rows)
