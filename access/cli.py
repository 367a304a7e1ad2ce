"""Commands that show or hand out footage: `timeline`, `clip`, `snapshot`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from access.serve import serve
from index.camera_cli import open_session
from vault.console import (
    MOMENT,
    Session,
    counted,
    duration_text,
    json_option,
    output_file,
    pass_session,
    plain,
    print_json,
    print_table,
    progress,
    size_text,
    terminal_width,
)  # fmt: skip
from vault.errors import NotFound, UsageError
from vault.timebase import Interval, format_local, format_us

if TYPE_CHECKING:
    from access.footage import Footage
    from index.cameras import Camera
    from index.timeline import View
    from vault.splice.clip import Clip

MAX_TABLE_ROWS = 200
STDOUT = Path("-")
FORMS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}

from_option = click.option("--from", "start_us", type=MOMENT, required=True, help="Begin, included.")
to_option = click.option("--to", "end_us", type=MOMENT, required=True, help="End, not included.")
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="File to write; - is standard output.",
)
force_option = click.option("--force", is_flag=True, help="Overwrite the file if it is there.")


@contextmanager
def open_footage(session: Session, camera_id: str, owner: str) -> Iterator[tuple[Footage, Camera]]:
    """What readers need, and the camera meant."""
    from access.footage import Footage

    with open_session(session) as node:
        yield Footage(node.environment, node.spool, node.store, session.clock, owner), node.cameras.get(camera_id)


@click.command()
@click.argument("camera_id", metavar="CAMERA")
@click.option("--from", "start_us", type=MOMENT, default="now-1h", show_default=True, help="Begin, included.")
@click.option("--to", "end_us", type=MOMENT, default="now", show_default=True, help="End, not included.")
@json_option
@pass_session
def timeline(session: Session, camera_id: str, start_us: int, end_us: int, as_json: bool) -> None:
    """Show when a camera was recorded, and why not where it was not."""
    wanted = Interval(start_us, end_us)
    with open_footage(session, camera_id, "timeline") as (footage, camera):
        view = footage.view(camera.number, wanted)
    if as_json:
        print_json(
            {
                "camera": camera.id,
                "start": format_us(wanted.start_us),
                "end": format_us(wanted.end_us),
                "runs": [{"start": format_us(run.start_us), "end": format_us(run.end_us)} for run in view.runs],
                "gaps": [
                    {"start": format_us(gap.start_us), "end": format_us(gap.end_us), "reason": gap.reason} for gap in view.gaps
                ],
            }
        )
    else:
        _draw(camera.id, wanted, view)


def _draw(camera_id: str, wanted: Interval, view: View) -> None:
    from index.picture import LEGEND, bar, scale

    width = max(20, min(terminal_width(), 160))
    click.echo(camera_id)
    click.echo(bar(wanted, view.runs, [Interval(gap.start_us, gap.end_us) for gap in view.gaps], width))
    click.echo(scale(wanted, width))
    click.echo(LEGEND)
    rows = [(run.start_us, run.end_us, "recorded") for run in view.runs]
    rows += [(gap.start_us, gap.end_us, f"gap: {gap.reason}{' (goes on)' if gap.lasting else ''}") for gap in view.gaps]
    rows += [(gone.start_us, gone.end_us, "expired") for gone in view.expired]
    if not rows:
        click.echo("nothing was recorded, and nothing was to be")
        return
    table = [
        [format_local(start_us), format_local(end_us), duration_text(end_us - start_us), what]
        for start_us, end_us, what in sorted(rows)[:MAX_TABLE_ROWS]
    ]
    print_table(["from", "to", "length", "what"], table, right=["length"])
    if len(rows) > MAX_TABLE_ROWS:
        click.echo(f"{len(rows) - MAX_TABLE_ROWS:,} more are left out; --json has all of them")


@click.command()
@click.argument("camera_id", metavar="CAMERA")
@from_option
@to_option
@output_option
@click.option(
    "--gaps", type=click.Choice(["keep", "squeeze"]), default="keep", show_default=True,
    help="Where nothing was recorded: let the last picture stand, or leave the time out.",
)  # fmt: skip
@force_option
@json_option
@pass_session
def clip(
    session: Session, camera_id: str, start_us: int, end_us: int, output: Path, gaps: str, force: bool, as_json: bool
) -> None:
    """Cut a clip to an MP4 file that shows exactly the pictures of the range.

    Nothing is encoded anew. Where the cut is not at a key frame the file also holds the pictures before it that decoding
    needs; players do not show them.
    """
    from vault.splice.part import Gaps
    from vault.splice.plan import plan_clip

    _check_output(output, as_json)
    wanted = Interval(start_us, end_us)
    with open_footage(session, camera_id, "clip") as (footage, camera), footage.parts(camera.number, wanted) as parts:
        if not parts:
            raise _nothing(footage, camera, wanted)
        try:
            made = plan_clip(parts, wanted, Gaps(gaps))
        except NotFound:
            raise _nothing(footage, camera, wanted) from None
        _write(session, output, made.chunks(), made.size, force)
    about: dict[str, Any] = {
        "camera": camera.id,
        "start": format_us(made.interval.start_us),
        "end": format_us(made.interval.end_us),
        "held": {"start": format_us(made.held.start_us), "end": format_us(made.held.end_us)},
        "gaps": [{"start": format_us(gap.start_us), "end": format_us(gap.end_us)} for gap in made.gaps],
        "segments": [key.object_key for key in made.sources],
        "notes": list(made.notes),
        "file": str(output),
        "size_bytes": made.size,
    }
    _report(output, about, as_json, _clip_lines(output, made))


def _clip_lines(output: Path, made: Clip) -> list[str]:
    shown = made.interval
    lines = [
        f"{output}: {size_text(made.size)}, shows {format_local(shown.start_us)} to {format_local(shown.end_us)}"
        f" ({duration_text(shown.duration_us)})"
    ]
    if made.gaps:
        missing = sum(gap.duration_us for gap in made.gaps)
        lines.append(
            f"{counted(len(made.gaps), 'gap')} inside, {duration_text(missing)} in all; `streamvault timeline` says why"
        )
    if made.preroll:
        lines.append(f"the file also holds {duration_text(made.preroll.duration_us)} before the cut, which players do not show")
    return [*lines, *map(plain, made.notes)]


@click.command()
@click.argument("camera_id", metavar="CAMERA")
@click.option("--at", "at_us", type=MOMENT, required=True, help="The instant.")
@output_option
@force_option
@json_option
@pass_session
def snapshot(session: Session, camera_id: str, at_us: int, output: Path, force: bool, as_json: bool) -> None:
    """Write the picture that stood at an instant, as JPEG or PNG by the file's name (JPEG for -).

    The newest picture can be had for --at now while the camera is being recorded, up to three seconds late.
    """
    from access.decode import decode_apart
    from access.snapshot import still

    _check_output(output, as_json)
    form = "jpeg" if output == STDOUT else FORMS.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"{output}: name a file that ends in .jpg or .png")
    with open_footage(session, camera_id, "snapshot") as (footage, camera):
        at_us = _reachable(session, footage, camera, at_us)
        try:
            found = still(footage, camera.number, at_us)
        except NotFound:
            # A little around it: the index takes holes below a millisecond for rounding.
            around = Interval(max(0, at_us - 5_000), at_us + 5_000)
            raise _nothing(footage, camera, around, f"at {format_local(at_us)}") from None
        picture = decode_apart(found.movie, form)
    _write(session, output, [memoryview(picture)], len(picture), force)
    about = {"camera": camera.id, "at": format_us(found.at_us), "file": str(output), "size_bytes": len(picture)}
    line = f"{output}: {size_text(len(picture))}, the picture of {format_local(found.at_us)}"
    _report(output, about, as_json, [line])


def _reachable(session: Session, footage: Footage, camera: Camera, at_us: int) -> int:
    """`at_us`, or, when it is so near to now that its picture is not written yet, the newest instant that is."""
    recent = Interval(session.now_us - 10_000_000, session.now_us + 1)
    if not recent.start_us <= at_us < recent.end_us:
        return at_us
    runs = footage.view(camera.number, recent).runs
    return min(at_us, runs[-1].end_us - 1) if runs else at_us


def _nothing(footage: Footage, camera: Camera, wanted: Interval, when: str = "") -> NotFound:
    """Says what is there in the place of the footage asked for, and where the nearest is."""
    view = footage.view(camera.number, wanted)
    when = when or f"from {format_local(wanted.start_us)} to {format_local(wanted.end_us)}"
    if view.gaps:
        reasons = ", ".join(dict.fromkeys(gap.reason for gap in view.gaps))
        why = f"a gap ({reasons})"
    elif view.expired:
        why = "its footage has expired"
    elif view.runs:
        why = "no picture begins in it"
    else:
        why = "the camera was not to record then"
    before_us, after_us = (None, None) if view.runs else footage.nearest(camera.number, wanted)
    near = "; the footage before ends at " + format_local(before_us) if before_us is not None else ""
    near += "; footage begins" + (" again" if near else "") + f" at {format_local(after_us)}" if after_us is not None else ""
    return NotFound(
        f"camera {camera.id} has nothing to show {when}: {why}{near}; `streamvault timeline {camera.id}` shows what there is"
    )


def _check_output(output: Path, as_json: bool) -> None:
    if output == STDOUT and (as_json or sys.stdout.isatty()):
        raise UsageError(f"standard output {'carries the JSON' if as_json else 'is a terminal'}; name a file with -o")


def _write(session: Session, output: Path, pieces: Iterable[memoryview], size: int, force: bool) -> None:
    target = _standard_output() if output == STDOUT else output_file(output, replace=force)
    with target as fd, progress(session, "writing", size) as line:
        for piece in pieces:
            done = 0
            while done < len(piece):
                done += os.write(fd, piece[done:])
            line.advance(len(piece))


@contextmanager
def _standard_output() -> Iterator[int]:
    """The descriptor of standard output. Raises StoreError, StoreFull; BrokenPipeError where the reader has enough."""
    from vault.files import store_error

    try:
        yield sys.stdout.fileno()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise store_error("writing standard output", error) from error


def _report(output: Path, about: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    """Where the file itself goes to standard output, what is said about it goes to standard error."""
    if as_json:
        print_json(about)
    else:
        for text in lines:
            click.echo(text, err=output == STDOUT)


COMMANDS: tuple[click.Command, ...] = (serve, timeline, clip, snapshot)
