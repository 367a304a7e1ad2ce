"""Commands about the configuration and the object store. Making a data folder is in `access/begin_cli.py`, since it makes people too."""

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


@click.group()
def store() -> None:
    """The object store."""


@store.command("probe")
@json_option
@pass_session
def probe(session: Session, as_json: bool) -> None:
    """Try out what the configured bucket really does, and show what was seen of each feature.

    Puts a few small objects and takes them away again. Exit code 4 when the store cannot be used or only pretends to have a
    feature.
    """
    from contextlib import closing

    from vault.errors import Refused
    from vault.store.choose import open_bucket
    from vault.store.probe import Verdict
    from vault.store.probe import probe as try_out

    with closing(open_bucket(session.data_path, session.config().store, session.clock)) as bucket:
        report = try_out(bucket.client, bucket.prefix, session.clock)
    if as_json:
        trials = [
            {"feature": trial.feature, "verdict": str(trial.verdict), "seen": trial.seen, "so": trial.so}
            for trial in report.trials
        ]
        print_json({"store": report.where, "trials": trials})
    else:
        click.echo(report.where)
        rows = [[trial.feature, trial.verdict, trial.seen, trial.so] for trial in report.trials]
        print_table(["feature", "verdict", "seen", "what follows"], rows)
    report.require("ranges")
    if pretended := [trial.feature for trial in report.trials if trial.verdict is Verdict.PRETENDED]:
        raise Refused(f"the store {report.where} only pretends to have: {', '.join(pretended)}; it is not relied on for that")


COMMANDS: tuple[click.Command, ...] = (config, store)
