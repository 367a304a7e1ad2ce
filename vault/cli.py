"""Commands about the configuration. Making a data folder is in `index/cli.py`, since it makes the index too."""

from __future__ import annotations

import click

from vault.console import Session, json_option, pass_session, print_json, print_table


@click.group()
def config() -> None:
    """The configuration file."""


@config.command("check")
@json_option
@pass_session
def check(session: Session, as_json: bool) -> None:
    """Check the configuration and show every value in effect with where it comes from.

    Reads the file of --config, else streamvault.toml of the data folder; where there is neither, the defaults.
    """
    from vault.config import describe

    lines = describe(session.config())
    if as_json:
        print_json([{"key": line.key, "value": line.value, "source": line.source, "meaning": line.doc} for line in lines])
    else:
        print_table(["key", "value", "source", "meaning"], [[line.key, line.value, line.source, line.doc] for line in lines])


COMMANDS: tuple[click.Command, ...] = (config,)
