"""The commands `repair …`: each prints its plan, item by item with the reason, and `--dry-run` ends there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session
from vault.console import Session, counted, json_option, pass_session, plain, print_json, print_table, telling
from vault.errors import Damaged, Refused

if TYPE_CHECKING:
    from index.node import Node
    from index.repair import Plan

_MOST_SHOWN = 1_000
"""Of items for people; `--json` has them all."""

dry_run = click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")


@click.group()
def repair() -> None:
    """Put right what `check` found. Each command says what it does to what and why, and does only that."""


def _command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """The options that every repair has."""

    def made(function: Callable[..., None]) -> click.Command:
        decorated: Any = function
        for option in (pass_session, json_option, dry_run):
            decorated = option(decorated)
        command: click.Command = repair.command(name)(decorated)
        return command

    return made


@_command("orphans")
@click.option("--grace-days", type=click.IntRange(1, 3650), default=7, show_default=True, help="Leave alone what is younger.")
def orphans(session: Session, dry_run: bool, as_json: bool, grace_days: int) -> None:
    """Objects in the store that no row knows: take in what is a whole segment, delete what is empty, keep the rest.

    What is taken in is removed by retention when its time is over, and is in the ledger then like all else.
    """
    from index.repair import DAY_US, plan_orphans
    from index.repair_look import orphans as look

    with open_session(session) as node:
        now_us, grace_us = node.clock.now_us(), grace_days * DAY_US
        found, objects = look(node, now_us, grace_us, telling(session))
        _show_and_run(session, node, plan_orphans(found, objects, now_us, grace_us), dry_run, as_json)


@_command("missing")
@click.option("--confirm", type=click.IntRange(1), metavar="COUNT", help="So many segments are lost, and I know it.")
def missing(session: Session, dry_run: bool, as_json: bool, confirm: int | None) -> None:
    """Rows whose bytes are gone: they become gaps that say so, or expired time where the ledger says that
    they were deleted. A row whose object is in the store after all is settled.

    Look first whether the bytes can be brought back: afterwards nothing here knows what they were.
    """
    from index.repair import Action, plan_missing
    from index.repair_look import missing as look

    with open_session(session) as node:
        plan = plan_missing(look(node, telling(session)))
        lost = len(plan.of(Action.GAP))
        if lost and not dry_run and confirm != lost:
            raise Refused(
                f"nothing was done: {counted(lost, 'segment')} would become gaps; see them with --dry-run, try to bring them back, "
                f"and then say --confirm {lost}"
            )
        _show_and_run(session, node, plan, dry_run, as_json)


@_command("usage")
def usage(session: Session, dry_run: bool, as_json: bool) -> None:
    """Usage counters, and counts of when segments expire, that are not what the rows make: count anew."""
    from index.repair import plan_usage
    from index.repair_look import expiry
    from index.repair_look import usage as look

    with open_session(session) as node:
        sums = list(look(node))
        _show_and_run(session, node, plan_usage(sums, expiry(node, sums, telling(session))), dry_run, as_json)


@_command("lists")
def lists(session: Session, dry_run: bool, as_json: bool) -> None:
    """The lists of uploads and of removals: make them what the rows say. A removal that may not be is taken back."""
    from index.repair_look import lists as look

    with open_session(session) as node:
        _show_and_run(session, node, look(node, telling(session)), dry_run, as_json)


def _show_and_run(session: Session, node: Node, plan: Plan, dry_run: bool, as_json: bool) -> None:
    from index.repair_run import run

    refusals = [] if dry_run else run(node, plan, telling(session))
    if as_json:
        print_json(
            {
                "dry_run": dry_run, "refused": plan.refused,
                "items": [{"action": str(item.action), "id": item.id, "camera_number": item.camera, "reason": item.reason}
                          for item in plan.items],
                "failed": [{"id": name, "reason": why} for name, why in refusals],
            }
        )  # fmt: skip
    elif not plan.items:
        click.echo("nothing to repair")
    else:
        rows = [[item.action, item.id, item.reason] for item in plan.items[:_MOST_SHOWN]]
        print_table(["action", "what", "reason"], rows)
        if len(plan.items) > _MOST_SHOWN:
            click.echo(f"and {len(plan.items) - _MOST_SHOWN:,} more; --json shows all")
        if plan.refused is not None:
            click.echo(f"would be refused: {plan.refused}")
    for name, why in refusals:
        click.echo(f"left {plain(name)}: {plain(why)}", err=True)
    if refusals:
        raise Damaged(f"{counted(len(refusals), 'item')} could not be repaired; the rest is done")
