"""Commands that hand out footage to look at, `clip` and `snapshot`: both are views on record (`access.door`)."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from access.door_cli import Said, looking, occasion_options
from index.console import open_session
from vault.console import (
    MOMENT,
    Session,
    check_output,
    counted,
    duration_text,
    json_option,
    output_file,
    pass_session,
    plain,
    print_json,
    progress,
    size_text,
)  # fmt: skip
from vault.errors import NotFound, UsageError
from vault.timebase import Interval, format_local, format_us

if TYPE_CHECKING:
    from access.door import Visit
    from access.footage import Footage
    from index.cameras import Camera
    from index.node import Node
    from vault.splice.clip import Clip

STDOUT = Path("-")
PIPE_BYTES = 64 * 1024
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


def footage_of(node: Node, owner: str) -> Footage:
    """What readers need. `owner`: what is reading, for whoever waits for it."""
    from access.footage import Footage

    return Footage(node.environment, node.spool, node.store, node.clock, owner)


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
@occasion_options
@pass_session
def clip(
    session: Session,
    camera_id: str,
    start_us: int,
    end_us: int,
    output: Path,
    gaps: str,
    force: bool,
    as_json: bool,
    said: Said,
) -> None:
    """Cut a clip to an MP4 file that shows exactly the pictures of the range.

    Who looks, what for and where it goes is asked for and written into the ledger before anything is read.

    Nothing is encoded anew. Where the cut is not at a key frame the file also holds the pictures before it that decoding
    needs; players do not show them.
    """
    from access.cut import cut_clip
    from vault.splice.part import Gaps

    if output != STDOUT and output.suffix.lower() != ".mp4":
        raise UsageError(f"{output}: a clip is an MP4 file; name one that ends in .mp4")
    _check_output(output, as_json, force)
    wanted = Interval(start_us, end_us)
    with open_session(session) as node:
        _check_outside(node, output)
        footage, camera = footage_of(node, "clip"), node.cameras.get(camera_id)
        with looking(node, said, "clip", [camera.number], wanted) as visit:
            grant = visit.grants[camera.number]
            with footage.parts(grant, camera.number, wanted) as parts:
                try:
                    made = cut_clip(parts, grant, camera.number, wanted, Gaps(gaps))
                except NotFound:
                    raise _nothing(footage, camera, wanted) from None
                sent = _write(session, output, made.chunks(), made.size, force, visit)
            visit.done(sent.size_bytes, sent.sha256, {"held_start_us": made.held.start_us, "held_end_us": made.held.end_us})
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
        "sha256": sent.sha256,
        "look": visit.id,
    }
    _report(output, about, as_json, _clip_lines(output, made))


def _clip_lines(output: Path, made: Clip) -> list[str]:
    shown = made.interval
    lines = [f"{output}: {size_text(made.size)}, shows {shown} ({duration_text(shown.duration_us)})"]
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
@occasion_options
@pass_session
def snapshot(session: Session, camera_id: str, at_us: int, output: Path, force: bool, as_json: bool, said: Said) -> None:
    """Write the picture that stood at an instant, as JPEG or PNG by the file's name (JPEG for -).

    Who looks, what for and where it goes is asked for and written into the ledger before anything is read.

    The newest picture can be had for --at now while the camera is being recorded, up to three seconds late.
    """
    from access.decode import decode_apart
    from access.snapshot import still_at

    form = "jpeg" if output == STDOUT else FORMS.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"{output}: name a file that ends in .jpg or .png")
    _check_output(output, as_json, force)
    with open_session(session) as node:
        _check_outside(node, output)
        footage, camera = footage_of(node, "snapshot"), node.cameras.get(camera_id)
        at_us = _reachable(session, footage, camera, at_us)
        with looking(node, said, "snapshot", [camera.number], Interval(at_us, at_us + 1)) as visit:
            grant = visit.grants[camera.number]
            try:
                found = still_at(footage, grant, camera.number, at_us)
            except NotFound:
                # A little around it: the index takes holes below a millisecond for rounding.
                around = Interval(max(0, at_us - 5_000), at_us + 5_000)
                raise _nothing(footage, camera, around, f"at {format_local(at_us, exact=True)}") from None
            picture = decode_apart(found.movie, form, grant)
            sent = _write(session, output, [memoryview(picture)], len(picture), force, visit)
            visit.done(sent.size_bytes, sent.sha256)
    about = {
        "camera": camera.id, "at": format_us(found.at_us), "file": str(output), "size_bytes": len(picture),
        "sha256": sent.sha256, "look": visit.id,
    }  # fmt: skip
    line = f"{output}: {size_text(len(picture))}, the picture of {format_local(found.at_us, exact=True)}"
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
    when = when or f"from {wanted}"
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
    near = "; the footage before ends at " + format_local(before_us, exact=True) if before_us is not None else ""
    near += (
        "; footage begins" + (" again" if near else "") + f" at {format_local(after_us, exact=True)}"
        if after_us is not None
        else ""
    )
    return NotFound(
        f"camera {camera.id} has nothing to show {when}: {why}{near}; `streamvault timeline {camera.id}` shows what there is"
    )


def _check_output(output: Path, as_json: bool, force: bool) -> None:
    """Before anything is on record: what cannot be written was no look."""
    if output != STDOUT:
        check_output(output, replace=force)
    elif as_json or sys.stdout.isatty():
        raise UsageError(f"standard output {'carries the JSON' if as_json else 'is a terminal'}; name a file with -o")


def _check_outside(node: Node, output: Path) -> None:
    if output != STDOUT and node.folder.holds(output):
        raise UsageError(f"{output}: is inside the data folder; what is handed out goes elsewhere")


@dataclass(frozen=True, slots=True)
class _Sent:
    """What went out."""

    size_bytes: int
    sha256: str


def _write(session: Session, output: Path, pieces: Iterable[memoryview], size: int, force: bool, visit: Visit) -> _Sent:
    """Raises Refusal as soon as the leave is gone; a file that is not whole is taken away again."""
    target = _standard_output() if output == STDOUT else output_file(output, replace=force)
    sha256, sent = hashlib.sha256(), 0
    # A pipe takes no more than its reader does: with more at a time a slow one would outlast a revocation.
    step = PIPE_BYTES if output == STDOUT else size
    with target as fd, progress(session, "writing", size) as line:
        for piece in pieces:
            done = 0
            while done < len(piece):
                visit.still()
                done += os.write(fd, piece[done : done + step])
                visit.wrote(sent + done)
            sha256.update(piece)
            sent += len(piece)
            line.advance(len(piece))
    return _Sent(sent, sha256.hexdigest())


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


COMMANDS: tuple[click.Command, ...] = (clip, snapshot)
