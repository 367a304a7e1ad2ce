"""The commands `site …`: where cameras stand, who answers for them, and for how long their footage is kept."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from index.console import open_session, raise_rows
from vault.console import (
    Session,
    by_option,
    json_option,
    options,
    pass_session,
    print_fields,
    print_json,
    print_table,
    text_options,
)
from vault.errors import UsageError
from vault.timebase import format_local, format_us

if TYPE_CHECKING:
    from index.node import Node
    from index.sites import Site
    from vault.config import Retention

_OPTIONS = {
    "name": "What people call it.",
    "unit": "The responsible unit.",
    "person": "The responsible person.",
    "phone": "That person's phone.",
    "address": "Where it is.",
    "design_ref": "Reference of the approval of its design.",
    "design_on": "Date of that approval, as 2026-11-22.",
    "test_ref": "Reference of its test.",
    "test_on": "Date of the test.",
    "acceptance_ref": "Reference of its acceptance.",
    "acceptance_on": "Date of the acceptance.",
    "approval_ref": "Reference of the approval of another interconnect than GB/T 28181.",
}


site_options = options(
    click.option("--category", help="What it is by the rule; see `site categories`."),
    click.option("--days", type=int, help="For how long footage is kept, if longer than the category demands."),
    click.option("--interconnect", type=click.Choice(("gb28181", "other")), help="How its cameras are connected."),
    text_options(_OPTIONS),
)
"""What may be said of a site, each None where nothing is said."""


@click.group()
def site() -> None:
    """The sites where cameras stand."""


@site.command("add")
@click.argument("site_id", metavar="ID")
@site_options
@by_option
@pass_session
def add(session: Session, /, site_id: str, by: str, **said: Any) -> None:
    """Add a site. Its category decides how long footage is kept at least: 90 days, 30, or 92 of a viewing room."""
    from index.sites import Site

    if said["category"] is None:
        raise UsageError("say what the site is: --category; `site categories` lists them")
    with open_session(session) as node:
        added = node.sites.add(_with(Site(site_id), said), by)
    click.echo(f"site {added.id} added: {added.category}, class {added.site_class}, {added.retain_days} days")


@site.command("set")
@click.argument("site_id", metavar="ID")
@site_options
@click.option("--keep", is_flag=True, help="Take back the shorter keeping that was announced.")
@by_option
@pass_session
def set_(session: Session, /, site_id: str, keep: bool, by: str, **said: Any) -> None:
    """Change what is said of a site.

    Longer keeping holds at once, for the footage that exists too. Shorter keeping is announced: it takes effect 24 hours later,
    for what is recorded from then on, and --keep takes it back until then.
    """
    if keep and (said["category"] is not None or said["days"] is not None):
        raise UsageError("--keep together with --category or --days means nothing; leave one out")
    if not keep and all(value is None for value in said.values()):
        raise UsageError("say what should change; `site set --help` lists it")
    with open_session(session) as node:
        if keep:
            node.sites.keep(site_id, by)
        changed = node.sites.set(_with(node.sites.get(site_id).at(session.now_us), said), by)
        raise_rows(session, node)
    click.echo(f"site {changed.id} changed" + (f"; {_announced(changed)}" if changed.lowering else ""))


@site.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the sites, with the days that their footage is kept."""
    with open_session(session) as node:
        sites = [item.at(session.now_us) for item in node.sites.list()]
        retention = node.config.retention
        counts = _counts(node, session.now_us)
    if as_json:
        print_json([_as_json(item, retention, counts) for item in sites])
        return
    rows = [
        [
            item.id,
            item.name,
            item.category,
            item.site_class,
            item.days(retention),
            counts.get(item.id, 0),
            item.unit,
            _announced(item),
        ]
        for item in sites
    ]
    print_table(["id", "name", "category", "class", "days", "cameras", "unit", "announced"], rows, right=["days", "cameras"])


@site.command("show")
@click.argument("site_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, site_id: str, as_json: bool) -> None:
    """Show one site."""
    with open_session(session) as node:
        item, retention = node.sites.get(site_id).at(session.now_us), node.config.retention
        counts = _counts(node, session.now_us)
    if as_json:
        print_json(_as_json(item, retention, counts))
        return
    print_fields(
        {
            "id": item.id, "category": item.demand, "class": item.site_class, "days": item.days(retention),
            "announced": _announced(item), "cameras": counts.get(item.id, 0), "interconnect": item.interconnect,
        }
        | {name.replace("_", " "): getattr(item, name) or None for name in _OPTIONS}
    )  # fmt: skip


@site.command("remove")
@click.argument("site_id", metavar="ID")
@by_option
@pass_session
def remove(session: Session, site_id: str, by: str) -> None:
    """Remove a site that no camera is or was of."""
    with open_session(session) as node:
        node.sites.remove(site_id, by)
    click.echo(f"site {site_id} removed")


@site.command("categories")
@json_option
def categories(as_json: bool) -> None:
    """List what a site may be by the rule, with the article and the days that each demands."""
    from vault.categories import CATEGORIES

    if as_json:
        print_json([asdict(item) | {"least_days": item.least_days} for item in CATEGORIES.values()])
        return
    rows = [
        [item.id, item.article, item.site_class, item.least_days, item.chinese, item.english] for item in CATEGORIES.values()
    ]
    print_table(["category", "article", "class", "days", "中文", "is"], rows, right=["days"])


def _with(base: Site, said: dict[str, Any]) -> Site:
    """The site with what was said of it."""
    from index.sites import of_category

    category, days = said.pop("category"), said.pop("days")
    if category is not None:
        base = of_category(base, category, days)
    elif days is not None:
        base = replace(base, retain_days=days)
    return replace(base, **{name: value for name, value in said.items() if value is not None})


def _counts(node: Node, now_us: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in node.cameras.list():
        counts[item.at(now_us).site] = counts.get(item.at(now_us).site, 0) + 1
    return counts


def _announced(item: Site) -> str | None:
    low = item.lowering
    if low is None:
        return None
    return f"{low.category}, {low.retain_days} days, from {format_local(low.from_us)}"


def _as_json(item: Site, retention: Retention, counts: dict[str, int]) -> dict[str, Any]:
    low = item.lowering
    announced = low and {
        "category": low.category, "class": low.site_class, "days": low.retain_days, "from": format_us(low.from_us), "by": low.by,
    }  # fmt: skip
    return {
        "id": item.id, "category": item.category, "class": item.site_class, "days": item.days(retention), "announced": announced,
        "cameras": counts.get(item.id, 0), "interconnect": item.interconnect,
    } | {name: getattr(item, name) for name in _OPTIONS}  # fmt: skip
