"""What the commands share: files that appear whole or not at all, times, texts for people, progress, signals."""

from __future__ import annotations

import os
import signal
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest

from vault import console
from vault.clock import ManualClock
from vault.console import (
    MOMENT,
    Progress,
    Session,
    counted,
    duration_text,
    output_file,
    plain,
    print_table,
    size_text,
    stop_on_signals,
)
from vault.days import interval, span_shown
from vault.errors import StoreError, UsageError
from vault.timebase import MAX_US, US, Interval, format_local, format_us, local_zone


def write(path: Path, data: bytes, *, replace: bool = False) -> None:
    with output_file(path, replace=replace) as fd:
        os.write(fd, data)


def test_a_file_appears_whole_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with output_file(tmp_path / "clip.mp4", replace=False) as fd:
        os.write(fd, b"half")
        assert not (tmp_path / "clip.mp4").exists()
        os.write(fd, b"and half")
    assert (tmp_path / "clip.mp4").read_bytes() == b"halfand half"
    assert (tmp_path / "clip.mp4").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    "error", [UsageError("no"), KeyboardInterrupt(), SystemExit(143), OSError(28, "No space left on device")]
)
def test_a_file_that_was_not_finished_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(StoreError if isinstance(error, OSError) else type(error)), output_file(tmp_path / "a", replace=False):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    write(tmp_path / "a", b"old")
    with pytest.raises(UsageError, match="--force"):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    write(tmp_path / "a", b"new", replace=True)
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_folder_is_no_file_and_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write(tmp_path, b"")
    with pytest.raises(StoreError, match="No such file"):
        write(tmp_path / "none" / "a", b"")


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_regular_file_is_left_alone(tmp_path: Path, replace: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("fifo", "dangling", "link"):
        with pytest.raises(UsageError, match="no regular file"):
            write(tmp_path / name, b"new", replace=replace)
    assert (tmp_path / "fifo").is_fifo()
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 4


def test_now_is_the_same_moment_in_every_option_of_a_call() -> None:
    session = Session(clock=ManualClock(1_000 * US))
    context = click.Context(click.Command("x"), obj=session)
    first = MOMENT.convert("now-5m", None, context)
    assert isinstance(session.clock, ManualClock)
    session.clock.advance(US)
    assert MOMENT.convert("now", None, context) - first == 300 * US


def test_a_wrong_time_is_a_usage_error() -> None:
    with pytest.raises(click.UsageError, match="is not a time"):
        MOMENT.convert("yesterday", None, None)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 s"), (480_000, "0.48 s"), (59_990_000, "59.99 s"), (90 * US, "1 min 30 s"), (3599 * US, "59 min 59 s"),
        (7500 * US, "2 h 05 min"), (100 * 3600 * US, "4 d 4 h"),
    ],
)  # fmt: skip
def test_durations_are_written_for_people(us: int, text: str) -> None:
    assert duration_text(us) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (43_200_000_000, "43.2 GB"), (78e15, "78000.0 TB")]
)
def test_sizes_are_written_in_powers_of_a_thousand(size: float, text: str) -> None:
    assert size_text(size) == text


def test_counts_agree_with_their_noun() -> None:
    assert (counted(1, "camera"), counted(2000, "camera")) == ("1 camera", "2,000 cameras")


def test_names_from_outside_cannot_move_a_terminals_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["\x1b[2J[bold]南门[/bold]\r"]])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "[bold]南门[/bold]" in out
    assert plain("a\tb\u202e") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_a_day_is_not_broken_where_a_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PLAIN_WIDTH", 40)
    print_table(["what", "from", "to"], [["word " * 20, "2026-01-01", "2027-12-31"], ["more", None, ""]])
    out = capsys.readouterr().out
    assert "2026-01-01   2027-12-31" in out


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [])
    assert capsys.readouterr().out == "nothing to list\n"


def test_progress_is_silent_for_a_second_and_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock(0)
    line = Progress("writing", 200, clock)
    line.advance(100)
    assert capsys.readouterr().err == ""
    clock.advance(US + 1)
    line.advance(50)
    assert "75 %" in capsys.readouterr().err
    line.finish()
    assert capsys.readouterr().err
    silent = Progress("writing", 200, None)
    silent.advance(100)
    silent.finish()
    assert capsys.readouterr().err == ""


def test_a_signal_asks_to_stop_and_a_second_interrupt_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_config_named_by_the_call_wins_over_the_data_folders_own(tmp_path: Path) -> None:
    (tmp_path / "streamvault.toml").write_text("[recording]\nsegment_seconds = 20\n")
    other = tmp_path / "other.toml"
    other.write_text("[recording]\nsegment_seconds = 30\n")
    assert Session(tmp_path).config().recording.segment_seconds == 20
    assert Session(tmp_path, other).config().recording.segment_seconds == 30
    assert Session(tmp_path / "none").config().recording.segment_seconds == 60
    assert Session().data_path == console.DEFAULT_DATA


def test_the_last_hours_of_the_calendar_can_be_shown_in_every_zone() -> None:
    assert format_local(MAX_US, zone=ZoneInfo("Asia/Shanghai")).startswith("9999-12-31 23:59:59")
    assert format_local(0, zone=ZoneInfo("Asia/Shanghai")) == "1970-01-01 08:00:00+08:00"
    assert format_local(1_500, zone=ZoneInfo("Asia/Shanghai"), exact=True) == "1970-01-01 08:00:00.001+08:00"


def test_times_are_read_and_shown_in_the_configurations_zone(tmp_path: Path) -> None:
    (tmp_path / "streamvault.toml").write_text('[retention]\ntime_zone = "Africa/Cairo"\n')
    context = click.Context(click.Command("any"), obj=Session(tmp_path))
    at_us = console.MOMENT.convert("2026-01-02T00:00", None, context)
    assert format_us(at_us) == "2026-01-01T22:00:00.000000Z"
    assert format_local(at_us) == "2026-01-02 00:00:00+02:00"
    # A day that is typed is that day again, a last one with all of it, and in another season as well.
    term = interval("2026-01-02", "2026-07-31", local_zone(), 0)
    assert span_shown(term) == "from 2026-01-02 to 2026-07-31"
    assert span_shown(Interval(term.start_us + US, MAX_US)) == "from 2026-01-02 00:00:01+02:00 on"
    assert span_shown(Interval(0, term.end_us - 1)) == "to 2026-07-31 23:59:59+03:00"
    assert span_shown(Interval(0, MAX_US)) == "any time"
    # Figures of whole days of UTC have days of UTC.
    assert format_us(console.Moment(UTC).convert("2026-01-02", None, context)) == "2026-01-02T00:00:00.000000Z"
