"""What every command that shows or hands out footage asks for: who, and on what occasion. Shared by `clip`, `snapshot`, `export`.

A field that is missing is refused by its article and not by the parser, and the refusal goes into the ledger like any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import click

from vault.console import gathered, plain
from vault.errors import UsageError

if TYPE_CHECKING:
    from access.door import Door, Visit
    from access.occasion import Occasion
    from access.people.model import Principal
    from index.node import Node
    from vault.ids import CameraNumber
    from vault.timebase import Interval

TOKEN: Final = "STREAMVAULT_TOKEN"
PASSWORD: Final = "STREAMVAULT_PASSWORD"


@dataclass(frozen=True, slots=True)
class Said:
    """What was typed, not looked at yet. Empty: nothing."""

    as_user: str
    purpose: str
    why: str
    case: str
    destination: str
    person: str
    staff_number: str
    approval_ref: str


_TYPED: Final = tuple(field.name for field in fields(Said) if field.name != "as_user")
"""As the ledger's entries name them."""


def _somebody(context: click.Context, option: click.Parameter, text: str) -> str:
    """`--as` with nothing behind it is a script's slip, and must not make whoever it was for the host's operator."""
    if not text and context.get_parameter_source(option.name or "") is not click.core.ParameterSource.DEFAULT:
        raise click.BadParameter("names nobody; leave it out to act as the operator of this host", context, option)
    return text


as_option = click.option(
    "--as", "as_user", default="", metavar="USER", callback=_somebody,
    help="As this user; password or token are asked for, or in STREAMVAULT_PASSWORD or STREAMVAULT_TOKEN.",
)  # fmt: skip

occasion_options = gathered(
    "said", Said,
    as_option,
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
"""Gives `said: Said` to the command."""


@contextmanager
def looking(node: Node, said: Said, word: str, cameras: Sequence[CameraNumber], wanted: Interval) -> Iterator[Visit]:
    """A look on record while the `with` lasts. Raises Refusal, which is in the ledger then; UsageError."""
    door, who = entered(node, said, word, cameras, wanted)
    with door.open(who, word, cameras, wanted, occasion_of(door, who, said, word, cameras, wanted)) as visit:
        yield visit


def entered(node: Node, said: Said, word: str, cameras: Sequence[CameraNumber], wanted: Interval) -> tuple[Door, Principal]:
    """The door and who asks at it. Raises Refusal, which is in the ledger then; UsageError."""
    from access.door import Door
    from access.people.login import operator, tried_as
    from access.people.people import People
    from vault.grant import Refusal

    door = Door(node)
    try:
        return door, principal_of(node, said.as_user)
    except Refusal as refusal:
        # Nobody has proven to be that user: it is the host's operator who tried.
        door.refused(operator(), word, cameras, wanted, refusal, more=tried_as(People(node.registry, node.clock), said.as_user))
        raise


def principal_of(node: Node, as_user: str) -> Principal:
    """Who asks: a user who signs in, or the operator of this host where no user is named. Raises Refusal, UsageError."""
    from access.people.attempts import Attempts
    from access.people.login import operator, sign_in
    from access.people.people import People
    from access.people.tokens import parse_token

    if not as_user:
        return operator()
    # No address is asked for: who is at this host could say any (ARCHITECTURE.md).
    people, attempts = People(node.registry, node.clock), Attempts(node.environment, node.clock)
    token, password = os.environ.get(TOKEN), os.environ.get(PASSWORD)
    if token is None and password is None:
        if not sys.stdin.isatty():
            raise UsageError(f"nobody can be asked for a password here: put it into {PASSWORD}, or a token into {TOKEN}")
        typed = click.prompt(f"Password or token of {plain(as_user[:64])}", hide_input=True, err=True)
        token, password = (typed, None) if parse_token(typed) else (None, typed)
    return sign_in(people, attempts, node.clock, as_user, password=password, token=token)


def occasion_of(
    door: Door, who: Principal, said: Said, word: str, cameras: Sequence[CameraNumber], wanted: Interval
) -> Occasion:
    """What was said, checked. Raises Refusal, which is in the ledger then; UsageError."""
    from access.occasion import MAX_TEXT_CHARS, occasion
    from index.texts import cleaned
    from vault.grant import Refusal

    user = who.user
    try:
        return occasion(
            said.purpose, said.why, said.case, said.destination, said.person or (user.real_name if user else ""),
            said.staff_number or (user.staff_number if user else ""), said.approval_ref,
        )  # fmt: skip
    except Refusal as refusal:
        # What was said stands in the register beside what was not.
        typed = {name: cleaned(getattr(said, name)[:MAX_TEXT_CHARS]) for name in _TYPED}
        door.refused(who, word, cameras, wanted, refusal, more={name: text for name, text in typed.items() if text})
        raise
