"""The commands `hold …`: footage that is kept beyond its retention, and who said so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session
from vault import days
from vault.console import (
    MOMENT,
    Moment,
    Number,
    Session,
    by_option,
    counted,
    json_option,
    pass_session,
    print_fields,
    print_json,
    print_table,
)
from vault.errors import UsageError
from vault.timebase import Interval, format_local, format_us

if TYPE_CHECKING:
    from index.doom import Outcome
    from index.holds import Act, Order
    from index.node import Node


class _Until(Moment):
    """As any time, but a day is meant with all of it."""

    def _read(self, text: str, now_us: int, zone: tzinfo) -> int:
        return days.end_us(text, zone, now_us)


_UNTIL = _Until()
HOLD_NUMBER = Number("a hold's number, as `hold list` shows it")
_MAX_SHOWN = 8


@click.group()
def hold() -> None:
    """Holds: footage to keep beyond its retention."""


@hold.command("add")
@click.argument("camera_ids", metavar="CAMERA...", nargs=-1, required=True)
@click.option("--from", "start_us", type=MOMENT, required=True, help="Begin of the footage, included.")
@click.option("--to", "end_us", type=MOMENT, required=True, help="Its end, not included; it may be yet to come.")
@click.option("--case", required=True, help="The case number.")
@click.option("--why", required=True, help="Why it must be kept.")
@click.option(
    "--until", "until_us", type=_UNTIL, help="When the hold ends by itself, a day with its end; without it, only by a release."
)
@by_option
@json_option
@pass_session
def add(
    session: Session, camera_ids: tuple[str, ...], start_us: int, end_us: int, case: str, why: str, until_us: int | None,
    by: str, as_json: bool,
) -> None:  # fmt: skip
    """Keep what these cameras recorded in a range, and take back what was to be removed of it.

    CAMERA may be '#NUMBER', which reaches the footage of a camera that was removed.
    """
    with open_session(session) as node:
        cameras = [node.cameras.get(camera_id).number for camera_id in camera_ids]
        order, outcome = node.holds.place(
            by=by, case=case, why=why, cameras=cameras, interval=Interval(start_us, end_us), until_us=until_us
        )
        _done(session, node, order, f"hold {order.number} placed on {counted(len(order.cameras), 'camera')}", as_json, outcome)


@hold.command("extend")
@click.argument("number", type=HOLD_NUMBER)
@click.option("--until", "until_us", type=_UNTIL, help="When it ends instead; never earlier than now said.")
@click.option("--open", "open_end", is_flag=True, help="It ends by a release only.")
@click.option("--camera", "camera_ids", multiple=True, help="One more camera; may be repeated.")
@click.option("--from", "start_us", type=MOMENT, help="Begin of the footage, if earlier.")
@click.option("--to", "end_us", type=MOMENT, help="Its end, if later.")
@by_option
@json_option
@pass_session
def extend(
    session: Session, number: int, until_us: int | None, open_end: bool, camera_ids: tuple[str, ...], start_us: int | None,
    end_us: int | None, by: str, as_json: bool,
) -> None:  # fmt: skip
    """Hold for longer, or more. A release that was asked for is off."""
    if open_end and until_us is not None:
        raise UsageError("give --until or --open, not both")
    with open_session(session) as node:
        old = node.holds.get(number)
        cameras = [node.cameras.get(camera_id).number for camera_id in camera_ids]
        span = Interval(
            old.interval.start_us if start_us is None else start_us, old.interval.end_us if end_us is None else end_us
        )
        until = None if open_end else old.until_us if until_us is None else until_us
        order, outcome = node.holds.extend(number, by=by, until_us=until, cameras=cameras, interval=span)
        _done(session, node, order, f"hold {number} extended", as_json, outcome)


@hold.command("release")
@click.argument("number", type=HOLD_NUMBER)
@by_option
@json_option
@pass_session
def release(session: Session, number: int, by: str, as_json: bool) -> None:
    """Ask for a hold's end. It holds until another person confirms that."""
    with open_session(session) as node:
        order = node.holds.release(number, by=by)
        _done(session, node, order, f"release of hold {number} asked for; another person says `hold confirm {number}`", as_json)


@hold.command("confirm")
@click.argument("number", type=HOLD_NUMBER)
@by_option
@json_option
@pass_session
def confirm(session: Session, number: int, by: str, as_json: bool) -> None:
    """End a hold whose release another person asked for. What is past its minimum may go from then on."""
    with open_session(session) as node:
        order = node.holds.confirm(number, by=by)
        _done(session, node, order, f"hold {number} released", as_json)


@hold.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@json_option
@pass_session
def list_(session: Session, everything: bool, as_json: bool) -> None:
    """List the holds that keep footage now."""
    from index.holds import HoldState

    with open_session(session) as node:
        over = () if everything else (HoldState.RELEASED, HoldState.EXPIRED)
        orders = [order for order in node.holds.list() if order.state(session.now_us) not in over]
        names = _names(node)
    if as_json:
        print_json([_as_json(order, names, session.now_us) for order in orders])
        return
    rows = [
        [
            order.number, order.state(session.now_us), order.case, _some(order, names), format_local(order.interval.start_us),
            format_local(order.interval.end_us), _until(order), order.placed.by,
        ]
        for order in orders
    ]  # fmt: skip
    print_table(["hold", "state", "case", "cameras", "from", "to", "until", "by"], rows, right=["hold"])


@hold.command("show")
@click.argument("number", type=HOLD_NUMBER)
@json_option
@pass_session
def show(session: Session, number: int, as_json: bool) -> None:
    """Show one hold: what it keeps, why, and who did what."""
    with open_session(session) as node:
        order, names = node.holds.get(number), _names(node)
    if as_json:
        print_json(_as_json(order, names, session.now_us))
        return
    print_fields(
        {
            "hold": order.number, "state": str(order.state(session.now_us)), "case": order.case, "why": order.why,
            "cameras": ", ".join(names.get(number, f"#{number}") for number in order.cameras),
            "from": format_local(order.interval.start_us), "to": format_local(order.interval.end_us), "until": _until(order),
            "placed": _said(order.placed), "extended": _said(order.extended), "release asked": _said(order.asked),
            "released": _said(order.released),
        }
    )  # fmt: skip


def _done(
    session: Session, node: Node, order: Order, line: str, as_json: bool, outcome: Outcome | None = None
) -> None:  # fmt: skip
    lost = len(outcome.refused) if outcome else 0
    spared = len(outcome.done) if outcome else 0
    if as_json:
        print_json(_as_json(order, _names(node), session.now_us) | {"spared": spared, "being_deleted": lost})
        return
    click.echo(line + (f"; {counted(spared, 'segment')} that were to be removed stay" if spared else ""))
    if lost:
        click.echo(f"{counted(lost, 'segment')} cannot be kept: their deletion has begun", err=True)


def _names(node: Node) -> Mapping[int, str]:
    return {
        camera.number: f"#{camera.number}" if camera.is_removed else camera.id for camera in node.cameras.list(removed=True)
    }


def _some(order: Order, names: Mapping[int, str]) -> str:
    shown = ", ".join(names.get(number, f"#{number}") for number in order.cameras[:_MAX_SHOWN])
    more = len(order.cameras) - _MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _until(order: Order) -> str:
    if order.until_us is not None:
        return days.end_shown(order.until_us)
    return "no end, only a release" if order.released is None else "its release"


def _said(act: Act | None) -> str | None:
    return None if act is None else f"{format_local(act.at_us)} by {act.by}"


def _as_json(order: Order, names: Mapping[int, str], now_us: int) -> dict[str, Any]:
    def told(act: Act | None) -> dict[str, str] | None:
        return None if act is None else {"by": act.by, "at": format_us(act.at_us)}

    return {
        "hold": order.number, "state": str(order.state(now_us)), "case": order.case, "why": order.why,
        "cameras": [{"number": number, "id": names.get(number)} for number in order.cameras],
        "start": format_us(order.interval.start_us), "end": format_us(order.interval.end_us),
        "until": None if order.until_us is None else format_us(order.until_us), "placed": told(order.placed),
        "extended": told(order.extended), "release_asked": told(order.asked), "released": told(order.released),
    }  # fmt: skip
