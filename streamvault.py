"""The command `streamvault`: global options, the packages' commands put together, errors as one line and an exit code.

What a command does is in the package it belongs to, in its `cli.py`; nothing but the joining is here.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from access.begin_cli import COMMANDS as BEGIN
from access.check_cli import COMMANDS as CHECK
from access.cli import COMMANDS as ACCESS
from access.package.verify_cli import COMMANDS as VERIFY
from access.people.cli import COMMANDS as PEOPLE
from access.register_cli import COMMANDS as REGISTER
from index.cli import COMMANDS as INDEX
from ingest.cli import COMMANDS as INGEST
from ingest.cli import inner_loop
from retention.capacity_cli import COMMANDS as CAPACITY
from retention.cli import COMMANDS as RETENTION
from retention.inspect_cli import COMMANDS as INSPECT
from vault.cli import COMMANDS as VAULT
from vault.console import Session
from vault.errors import StoreError, StreamvaultError

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


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from vault.version import software

    click.echo(f"{software()} (Python {sys.version.split()[0]}, inner loop {inner_loop()})")
    ctx.exit()


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
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


for _command in (
    *BEGIN,
    *VAULT,
    *INDEX,
    *INGEST,
    *CAPACITY,
    *RETENTION,
    *INSPECT,
    *PEOPLE,
    *CHECK,
    *ACCESS,
    *REGISTER,
    *VERIFY,
):
    cli.add_command(_command)


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


def _terminated(number: int, frame: Any) -> NoReturn:
    # An exception and not death at once, so that half-written files are taken away. Long-running commands set their own.
    raise SystemExit(128 + number)


def _hold_standard_files() -> None:
    """Where the caller closed one of them, keep its number taken: else the index gets it, and a message lands in the index.

    A closed standard output stays one that fails when it is written; a service that writes nothing there is not kept from it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given, and those below are taken.
            os.open(os.devnull, os.O_RDONLY if fd == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main() -> NoReturn:
    """The console script."""
    _hold_standard_files()
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
