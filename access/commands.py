"""The commands of every package put together: global options, errors as one line and an exit code.

What a command does is in the package it belongs to, in its `cli.py`, which is imported when the command is called: whoever calls
one does not wait for all. How the process begins and ends is `streamvault.py`'s.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import click

from vault.console import Session
from vault.errors import StoreError, StreamvaultError
from vault.interrupts import raise_again

PLACES: Final[Mapping[str, str]] = {
    "init": "access.begin_cli", "demo": "access.begin_cli", "check": "access.check_cli",
    "serve": "access.serve", "timeline": "access.cli", "clip": "access.look_cli", "snapshot": "access.look_cli",
    "export": "access.export.cli", "verify": "access.package.verify_cli", "verifier": "access.package.verify_cli",
    "register": "access.register_cli", "unit": "access.people.cli", "user": "access.people.cli",
    "application": "access.people.cli", "grant": "access.people.cli", "token": "access.people.cli",
    "config": "vault.cli", "store": "vault.cli", "simulate": "ingest.cli",
    "index": "index.cli", "repair": "index.cli", "camera": "index.cli", "site": "index.cli", "hold": "index.cli",
    "ledger": "index.cli", "key": "index.cli", "alarm": "index.cli",
    "retention": "retention.cli", "clock": "retention.cli", "capacity": "retention.capacity_cli",
    "inspect": "retention.inspect_cli",
}  # fmt: skip
"""The module in whose `COMMANDS` each command is."""

EXIT_CODES = """\
\b
Exit codes:
  0  done                              5  busy: another process holds it
  1  an error nobody foresaw           6  a camera or server misbehaves
  2  the call or the configuration     7  a store, or the disk
     is wrong                          8  damaged data
  3  no such camera, no footage        9  the camera went to another process
  4  not allowed                     130  interrupted

\b
Times are ISO 8601 (2026-11-22T10:30:00+08:00; without an offset in retention.time_zone), or now, now-90s, now-5m, now-2h, now-1d.
"""


class Commands(click.Group):
    """Imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in PLACES and cmd_name not in self.commands:
            for command in importlib.import_module(PLACES[cmd_name]).COMMANDS:
                self.add_command(command)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        raise_again()
        return found


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from ingest.cli import inner_loop
    from vault.version import software

    click.echo(f"{software()} (Python {sys.version.split()[0]}, inner loop {inner_loop()})")
    ctx.exit()


@click.group(
    cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), envvar="STREAMVAULT_DATA", show_envvar=True,
    help="Data folder.  [default: ./streamvault-data]",
)  # fmt: skip
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: streamvault.toml in the data folder]",
)
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and end.")
@click.pass_context
def cli(ctx: click.Context, data: Path | None, config_file: Path | None, debug: bool) -> None:
    """Record cameras around the clock, find any moment, cut any clip.

    Try `streamvault demo` first: it simulates four cameras and records them.
    """
    ctx.obj = Session(data, config_file)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. An error is one line on standard error, with a trace only under --debug."""
    output = sys.stdout
    try:
        result = cli.main(list(arguments), prog_name="streamvault", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _complain(f"{error.format_message().rstrip('.')}{where}", error.exit_code)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except StreamvaultError as error:
        return _complain(str(error), error.exit_code, error, arguments)
    except BrokenPipeError:
        return _reader_gone(output)
    except SystemExit:
        if sys.stdout is output:
            raise
        # Click meets a broken pipe by putting another stream in the place of ours, and by ending with 1.
        sys.stdout = output
        return _reader_gone(output)
    except Exception as error:  # the last line of defence: a person sees one line, a developer runs it with --debug
        if _is_outputs(error):
            _turn_away(output)
            return _complain(f"standard output cannot be written: {error}", StoreError.exit_code, error, arguments)
        hint = "this is a fault of streamvault; run it again with `streamvault --debug …` to see where"
        return _complain(f"{type(error).__name__}: {error}; {hint}", 1, error, arguments)
    return result if isinstance(result, int) else 0


def _reader_gone(output: TextIO) -> int:
    """Whoever read our output has enough of it: nothing to complain of."""
    _turn_away(output)
    return 128 + signal.SIGPIPE


def _turn_away(output: TextIO) -> None:
    """The descriptor leads nowhere from here on, or Python complains of what is left in the buffer while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)


def _is_outputs(error: Exception) -> bool:
    """Whether writing standard output failed: that is done by `click.echo` and at the end of `run`, and nowhere else."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return isinstance(error, OSError) and bool(frames) and frames[-1][0].f_globals.get("__name__") in ("click.utils", __name__)


def _complain(message: str, code: int, error: BaseException | None = None, arguments: Sequence[str] = ()) -> int:
    from vault.secrets import redact

    if error is not None and "--debug" in arguments:
        click.echo(redact("".join(traceback.format_exception(error))), err=True)
    click.echo(f"streamvault: {redact(' '.join(message.split()))}", err=True)
    return code
