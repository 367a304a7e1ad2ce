"""What the commands of every package share: the session, times and printing. Nothing here knows a command.

Heavy modules are imported where they are used, so that `--help` and a mistyped option answer at once.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from vault.clock import Clock, SystemClock
from vault.errors import ConfigError, UsageError
from vault.timebase import US, parse_time, use_zone

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from vault.config import Config
    from vault.datafolder import DataFolder

DEFAULT_DATA = Path("streamvault-data")
PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""
_WHOLE_ID_CHARS = 24
_MAX_DIGITS = 18
_DAY_OR_NOTHING = re.compile(r"(\d{4}-\d{2}-\d{2})?")


@dataclass(frozen=True)
class Session:
    """What the global options say. `data` is None when neither the option nor STREAMVAULT_DATA names a folder."""

    data: Path | None = None
    config_file: Path | None = None
    clock: Clock = field(default_factory=SystemClock)

    @property
    def data_path(self) -> Path:
        return self.data or DEFAULT_DATA

    @functools.cached_property
    def now_us(self) -> int:
        """Read once a call, so that `--from now-5m --to now` is five minutes exactly."""
        return self.clock.now_us()

    def folder(self) -> DataFolder:
        """The data folder, checked. Raises what `DataFolder.open` raises."""
        from vault.datafolder import DataFolder

        return DataFolder.open(self.data_path)

    def config(self, folder: DataFolder | None = None) -> Config:
        """`--config`, else the data folder's own file, else the defaults; times are shown in its zone. Raises ConfigError."""
        from vault.config import load

        path = self.config_file
        if path is None:
            own = folder.config_file if folder else self.data_path / "streamvault.toml"
            path = own if own.exists() else None
        config = load(path)
        use_zone(config.retention.zone)
        return config


pass_session = click.make_pass_decorator(Session, ensure=True)


class Moment(click.ParamType[int]):
    """An option that is a time, in UTC µs. `zone`: of one without an offset, the configuration's when None."""

    name = "time"

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        session = (ctx.find_object(Session) if ctx else None) or Session()
        try:
            return self._read(str(value), session.now_us, self._zone or session.config().retention.zone)
        except ConfigError:
            raise
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def _read(self, text: str, now_us: int, zone: tzinfo) -> int:
        return parse_time(text, now_us, zone)


MOMENT = Moment()


class Number(click.ParamType[int]):
    """An argument that is the number of something, from 1 on. `what`: `a grant's number`. `most`: the greatest there can be."""

    name = "number"

    def __init__(self, what: str, most: int | None = None) -> None:
        self._what = what
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            self.fail(f"'{text[:60]}' is not {self._what}", param, ctx)
        number = int(text)
        if number < 1 or (self._most is not None and number > self._most):
            reach = "from 1 on" if self._most is None else f"1 to {self._most}"
            self.fail(f"{number} is out of the range of {self._what}: {reach}", param, ctx)
        return number


_F = TypeVar("_F", bound=Callable[..., Any])


def options(*several: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Several options as one decorator, in the order in which the help shows them."""

    def add(command: _F) -> _F:
        for option in reversed(several):
            command = option(command)
        return command

    return add


def gathered(name: str, kind: type[DataclassInstance], *several: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """As `options`; the command gets what they say as one value `name`, which has a field for each."""

    def add(command: _F) -> _F:
        @functools.wraps(command)
        def called(*arguments: Any, **named: Any) -> Any:
            value = kind(**{one.name: named.pop(one.name) for one in fields(kind)})
            return command(*arguments, **named, **{name: value})

        return options(*several)(cast("_F", called))

    return add


def text_options(helps: Mapping[str, str]) -> Callable[[_F], _F]:
    """An option for each field of text by its name, None where nothing is said."""
    return options(*(click.option(f"--{name.replace('_', '-')}", name, help=text) for name, text in helps.items()))


by_option = click.option(
    "--by",
    default=lambda: f"operator@{os.uname().nodename}",
    show_default="operator@HOST",
    help="Who does this, as it is noted.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; times are ISO 8601 in UTC with microseconds.")


def log_level_option(default: str) -> Callable[[_F], _F]:
    """Of a command that goes on until it is stopped."""
    return click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=default, show_default=True,
        help="How much is logged to standard error.",
    )  # fmt: skip


def print_json(value: object) -> None:
    """A document for programs, on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def plain(text: str) -> str:
    """Text from outside as it may stand on a terminal: without control characters, which could move its cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> None:
    """A table for people, on standard output. The columns named in `right` are set flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("nothing to list")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        # A day or an id that is broken in two is hard to read; words in the other columns may be.
        days = all(_DAY_OR_NOTHING.fullmatch(str(row[place] or "")) for row in rows)
        ids = place == 0 and all(len(str(row[0])) <= _WHOLE_ID_CHARS for row in rows)
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=days or ids)
    for row in rows:
        table.add_row(*(Text(plain("" if value is None else str(value))) for value in row))
    # Drawn apart and written by us: rich ends the process by itself where nobody reads on.
    drawn, on_terminal = io.StringIO(), sys.stdout.isatty()
    width = None if on_terminal else PLAIN_WIDTH
    Console(file=drawn, highlight=False, width=width, force_terminal=on_terminal).print(table)
    click.echo(drawn.getvalue(), nl=False)


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing, a line for each of its fields; what is None is left out."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name:<{width}}  {plain(str(value))}")


def terminal_width() -> int:
    """Columns to draw in."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def counted(count: int, noun: str) -> str:
    """`1 camera`, `2,000 cameras`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size_bytes: float) -> str:
    """Bytes for people: `1.5 GB`, powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def duration_text(duration_us: int) -> str:
    """A duration for people: `0.48 s`, `1 min 30 s`, `2 h 05 min`, `3 d 4 h`."""
    seconds = duration_us / US
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


class Progress:
    """A line on standard error that says how far a long command is; silent where that is no terminal, and for a second."""

    __slots__ = ("_clock", "_done", "_drawn", "_label", "_next_us", "_total")

    def __init__(self, label: str, total: int | None, clock: Clock | None) -> None:
        self._label = label
        self._total = total
        self._clock = clock
        self._done = 0
        self._drawn = False
        self._next_us = clock.mono_us() + US if clock else 0

    def advance(self, count: int = 1) -> None:
        """`count` more of `total` are done."""
        self._done += count
        if self._clock is None or (now_us := self._clock.mono_us()) < self._next_us:
            return
        self._next_us = now_us + US // 5
        self._drawn = True
        done = f"{self._done * 100 // self._total:3d} %" if self._total else f"{self._done:,}"
        sys.stderr.write(f"\r{self._label} {done} ")
        sys.stderr.flush()

    def finish(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def is_terminal() -> bool:
    """Whether a person reads standard error."""
    return sys.stderr.isatty()


def telling(session: Session) -> Callable[[str, int], None]:
    """Shows a terminal which step of a long command is at which count."""
    lines: dict[str, tuple[Progress, int]] = {}

    def tell(step: str, seen: int) -> None:
        if step not in lines:
            for line, _ in lines.values():
                line.finish()
            lines[step] = Progress(step, None, session.clock if is_terminal() else None), 0
        line, before = lines[step]
        line.advance(seen - before)
        lines[step] = line, seen

    return tell


@contextmanager
def progress(session: Session, label: str, total: int | None = None) -> Iterator[Progress]:
    """A `Progress` around the work it tells of."""
    line = Progress(label, total, session.clock if is_terminal() else None)
    try:
        yield line
    finally:
        line.finish()


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT and SIGHUP set, for commands that run until they are stopped.

    A second SIGINT ends the process the hard way, for a person who will not wait.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_output(path: Path, *, replace: bool) -> None:
    """Raises UsageError when `path` is taken and `replace` is false, or is no regular file (a device, a pipe, a symbolic link):
    replacing one would break what others do with it."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file in it")
    taken = os.path.lexists(path)
    if taken and (path.is_symlink() or not path.is_file()):
        raise UsageError(f"{path}: is no regular file; name another one (-o - is standard output)")
    if taken and not replace:
        raise UsageError(f"{path}: is there already; name another file or say --force")


@contextmanager
def output_file(path: Path, *, replace: bool) -> Iterator[int]:
    """A descriptor to write the file `path` through: it appears whole under its name or not at all.

    Mode 0600: it holds footage. `-` is for the caller. Raises what `check_output` raises, StoreError, StoreFull.
    """
    from vault.files import FILE_MODE, store_error

    check_output(path, replace=replace)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise store_error(f"writing {path}", error) from error
    try:
        yield fd
        os.fsync(fd)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise store_error(f"writing {path}", error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def write_output(path: Path, data: bytes, *, replace: bool) -> None:
    """The whole file at once, as `output_file` has it."""
    from vault.files import write_all

    with output_file(path, replace=replace) as fd:
        write_all(fd, 0, [data])
