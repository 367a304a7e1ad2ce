"""The command `check`: the invariants of all packages, one after the other. Each is a function of `index/check*.py` or beside what it is of."""

from __future__ import annotations

import math
import re
import secrets
from fractions import Fraction

import click

from index.console import open_session
from vault.console import Session, counted, json_option, pass_session, print_json, print_table, telling
from vault.errors import Damaged, UsageError

LEVELS = ("presence", "size", "hash")


class Share(click.ParamType[Fraction | int]):
    """`--sample`: a part as a percentage, or a number of segments."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction | int:
        if isinstance(value, Fraction | int):
            return value
        text = str(value)
        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?%", text) and 0 < (part := Fraction(text[:-1]) / 100) <= 1:
            return part
        if not re.fullmatch(r"[0-9]{1,12}", text) or not int(text):
            self.fail(f"{text[:40]!r} is neither a percentage as in 1% nor a number of segments", param, ctx)
        return int(text)


@click.command()
@click.option(
    "--level", type=click.Choice(LEVELS), default="size", show_default=True, help="How closely objects are looked at."
)
@click.option(
    "--sample",
    type=Share(),
    metavar="PART",
    help="Only so many segments, drawn at random: 1% or 500. Strange objects are not looked for.",
)
@click.option("--seed", type=click.IntRange(0, 2**63), help="Draw the same sample again.")
@json_option
@pass_session
def check(session: Session, level: str, sample: Fraction | int | None, seed: int | None, as_json: bool) -> None:
    """Check the invariants: rows against objects, overlaps, removal, usage, that every second is accounted for,
    that deeds are in the ledger, and the documents of people.

    Only reports, and may run beside a recorder; `repair` mends. Exit code 8 when an invariant is broken; a warning breaks none.
    """
    from access.people.check import check_people
    from index.check_all import Depth, all_findings
    from index.check_objects import Level, Sample
    from index.environment import Table

    if seed is not None and sample is None:
        raise UsageError("--seed draws a sample: say --sample too")
    with open_session(session) as node:
        drawn = None
        if sample is not None:
            with node.environment.read() as txn:
                total = txn.entries(Table.SEGMENTS)
            count = sample if isinstance(sample, int) else math.ceil(total * sample)
            drawn = Sample(count, secrets.randbits(32) if seed is None else seed)
            click.echo(f"looking at {min(count, total):,} of {counted(total, 'segment')}, seed {drawn.seed}", err=True)
        tell = telling(session)
        findings = [*all_findings(node, Depth(Level(level), drawn), tell), *check_people(node.registry, session.now_us, tell)]
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        print_json(
            [
                {
                    "severity": str(finding.severity), "invariant": finding.invariant, "camera_number": finding.camera,
                    "ids": list(finding.ids), "message": finding.message,
                }
                for finding in findings
            ]
        )  # fmt: skip
    elif findings:
        rows = [[item.severity, item.invariant, item.camera, ", ".join(item.ids), item.message] for item in findings]
        print_table(["severity", "invariant", "camera", "what", "message"], rows, right=["camera"])
    else:
        click.echo("everything is as it should be")
    if errors:
        raise Damaged(f"{counted(errors, 'invariant')} broken; the list above says where")


COMMANDS: tuple[click.Command, ...] = (check,)
