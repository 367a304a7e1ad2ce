"""Commands about alarms: `alarm list`."""

from __future__ import annotations

import click

from index.console import open_session
from vault.console import Session, duration_text, json_option, pass_session, print_json, print_table


@click.group()
def alarm() -> None:
    """What is wrong with the node, and what was."""


@alarm.command("list")
@click.option("--past", type=click.IntRange(1, 10_000), help="Show the newest so many beginnings and ends instead.")
@json_option
@pass_session
def list_(session: Session, past: int | None, as_json: bool) -> None:
    """Show the alarms that last, or with --past what happened before."""
    from index.alarm_sender import as_document
    from index.alarms import Alarms
    from vault.timebase import format_local, format_us

    with open_session(session) as node:
        alarms = Alarms(node.environment, node.clock)
        lasting = alarms.lasting()
        events = alarms.events(max(0, alarms.last_event() - past), past) if past else []
    if past:
        documents = [as_document(event) for event in events]
        if as_json:
            print_json(documents)
        else:
            names = ["event", "state", "kind", "subject", "since", "ended", "message"]
            ends = [None if event.ended_us is None else format_local(event.ended_us) for event in events]
            shown = [
                {**document, "since": format_local(event.alarm.since_us), "ended": end}
                for document, event, end in zip(documents, events, ends, strict=True)
            ]
            print_table(names, [[one[name] for name in names] for one in shown], right=["event"])
    elif as_json:
        print_json(
            [
                {"kind": one.kind, "subject": one.subject, "message": one.message, "since": format_us(one.since_us)}
                for one in lasting
            ]
        )
    elif lasting:
        rows = [
            [
                one.kind,
                one.subject,
                format_local(one.since_us),
                duration_text(max(0, session.now_us - one.since_us)),
                one.message,
            ]
            for one in lasting
        ]
        print_table(["kind", "subject", "since", "lasts", "message"], rows)
    else:
        click.echo("no alarm lasts")
