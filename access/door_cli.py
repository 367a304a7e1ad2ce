"""What every command that shows or hands out footage asks for: who, and on what occasion. Shared by `clip`, `snapshot`, `export`.

A field that is missing is refused by its article and not by the parser, and the refusal goes into the ledger like any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from access.door import Door, Visit
    from access.occasion import Occasion
    from access.people.model import Principal
    from index.node import Node
    from vault.ids import CameraNumber
    from vault.timebase import Interval

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Said:
    """What was typed, not looked at yet. Empty: nothing."""

    purpose: str
    why: str
    case: str
    destination: str
    person: str
    staff_number: str
    approval_ref: str


_OPTIONS = (
    click.option(
        "--purpose", default="", metavar="CATEGORY",
        help="What for: investigation, order, traffic, emergency, dispute, inspection, publicity, maintenance or other.",
    ),
    click.option("--why", default="", metavar="TEXT", help="Why, in words."),
    click.option("--case", default="", metavar="TEXT", help="Number of the case or the duty."),
    click.option("--destination", "--to-whom", default="", metavar="TEXT", help="Where the footage goes, or who looks at it."),
    click.option("--person", default="", metavar="NAME", help="Who takes it."),
    click.option("--staff-number", default="", metavar="TEXT", help="That person's staff number."),
    click.option(
        "--approval-ref", default="", metavar="TEXT", help="Reference of the police's consent; publicity needs one."
    ),
)  # fmt: skip


def occasion_options(command: _F) -> _F:
    """Gives `said: Said` to the command."""

    @functools.wraps(command)
    def with_said(*arguments: Any, **named: Any) -> Any:
        said = Said(**{field.name: named.pop(field.name) for field in fields(Said)})
        return command(*arguments, said=said, **named)

    wrapped: Any = with_said
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    found: _F = wrapped
    return found


@contextmanager
def looking(node: Node, said: Said, word: str, cameras: Sequence[CameraNumber], wanted: Interval) -> Iterator[Visit]:
    """A look on record while the `with` lasts. Raises Refusal, which is in the ledger then; UsageError."""
    door, who = door_of(node), principal_of(node)
    with door.open(who, word, cameras, wanted, occasion_of(door, who, said, word, cameras, wanted)) as visit:
        yield visit


def door_of(node: Node) -> Door:
    from access.door import Door

    return Door(node)


def principal_of(node: Node) -> Principal:
    """Who asks."""
    from access.people.model import Principal
    from index.outbox import actor_here

    return Principal(actor_here())


def occasion_of(
    door: Door, who: Principal, said: Said, word: str, cameras: Sequence[CameraNumber], wanted: Interval
) -> Occasion:
    """What was said, checked. Raises Refusal, which is in the ledger then; UsageError."""
    from access.occasion import occasion
    from vault.grant import Refusal

    user = who.user
    try:
        return occasion(
            said.purpose, said.why, said.case, said.destination, said.person or (user.real_name if user else ""),
            said.staff_number or (user.staff_number if user else ""), said.approval_ref,
        )  # fmt: skip
    except Refusal as refusal:
        door.refused(who, word, cameras, wanted, refusal)
        raise
