"""Cameras that misbehave, all in one worker and each in its own way: what is recorded of them, which gap says what is missing
and why, how soon they are back. Those beside them that behave lose nothing. `ingest/CAMERAS.md` is the table for people."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from index.timeline import Gap
from ingest.simulate.misbehave import parse_misbehaviour
from tests.support.node import wait_until
from tests.support.station import SMALL, Station, decode_errors, station
from vault.media import Codec, SegmentFlag
from vault.timebase import US

SECONDS = 28
SILENCE_SECONDS = 4.0
GOOD = ("good-1", "good-2", "good-udp")
NOTHING_LOST = {
    "late": "stall:after=6,for=3,late=1",
    "back": "jump:after=6,by=-10",
    "back-udp": "jump:after=6,by=-10",
    "forward": "jump:after=6,by=3600",
    "wrap": "wrap:after=6",
    "ssrc": "ssrc:after=6",
    "ssrc-udp": "ssrc:after=6",
    "reorder-udp": "reorder:rate=5%",
    "twice": "duplicate:rate=5%",
    "twice-udp": "duplicate:rate=5%",
    "gop": "gop:every=12",
    "params": "params:after=6,every=3",
    "params-inside": "params:after=6,every=3,inside=1",
    "garbage": "garbage:after=6,every=2,bytes=3000",
    "garbage-udp": "garbage:after=6,every=2,bytes=300",
    "early": "early",
    "lf": "lf",
    "cseq": "cseq",
    "no-keep-alive": "noparameter",
    "401-while-playing": "unauthorized:after=6",
    "sets-in-sdp": "sets:where=sdp",
    "sets-in-band": "sets:where=band",
}
"""Every picture is in the files, and no gap row says otherwise."""


@dataclass(frozen=True, slots=True)
class Break:
    """A fault that costs footage once: its gap's reason, how long it lasts at most (s), pictures sent and lost at most."""

    text: str
    reason: str
    longest_s: float
    lost: int = 0


BACK_S = 4.0
"""From the loss to the first key frame of the next connection: back-off, handshake, at most a GOP."""

BREAKS = {
    "stall": Break("stall:after=6,for=3", "no data from camera", 3.1),
    "stall-long": Break("stall:after=6,for=60,times=1", "no data from camera", SILENCE_SECONDS + BACK_S),
    "late-long": Break("stall:after=6,for=8,late=1,times=1", "no data from camera", SILENCE_SECONDS + BACK_S),
    "close": Break("close:after=6,times=1", "closed by camera", BACK_S),
    "close-udp": Break("close:after=6,times=1", "closed by camera", BACK_S),
    "reset": Break("close:after=6,reset=1,times=1", "closed by camera", BACK_S, 12),
    "half-open": Break("halfopen:after=6,times=1", "no data from camera", SILENCE_SECONDS + BACK_S, 150),
    "half-open-udp": Break("halfopen:after=6,times=1", "no data from camera", SILENCE_SECONDS + BACK_S, 150),
    "lost": Break("drop:after=6,for=3,rate=100%", "packets lost", 4.2, 100),
    "lost-udp": Break("drop:after=6,for=3,rate=100%", "packets lost", 4.2, 100),
    "401": Break("close:after=6,times=1 unauthorized:after=5,for=7", "closed by camera, refused by camera", 6 + BACK_S),
}
LOSSY = {"drop": "drop:rate=1%", "drop-udp": "drop:rate=1%", "reorder": "reorder:rate=1%"}
OTHERS = {"no-key": "nokey"}
FAULTS = NOTHING_LOST | {name: item.text for name, item in BREAKS.items()} | LOSSY | OTHERS


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel answers nothing to more of them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with station(tmp_path_factory.mktemp("faults")) as made, silent_port() as silent:
        for transport in ("tcp", "udp"):
            names = [name for name in (*GOOD, *FAULTS) if name.endswith("-udp") == (transport == "udp")]
            faults = [
                replace(parse_misbehaviour(text), cameras=frozenset({number}))
                for number, name in enumerate(names, 1)
                for text in FAULTS.get(name, "").split()
            ]
            spec = replace(SMALL, audio=Codec.AAC)
            # Sessions so short that keep-alives are part of it.
            made.simulate(names, transport, spec, misbehave=tuple(faults), timeout_s=8)
        made.add("no-name", "rtsp://operator:a-secret-word@camera.invalid/live")
        made.add("no-port", f"rtsp://operator:a-secret-word@127.0.0.1:{closed_port()}/live")
        made.add("silent", f"rtsp://operator:a-secret-word@127.0.0.1:{silent}/live")
        made.start(silence_timeout_seconds=SILENCE_SECONDS, connect_timeout_seconds=4.0)
        made.wait_recording(*GOOD)
        end = time.monotonic() + SECONDS
        wait_until(lambda: time.monotonic() > end, SECONDS + 10)
        made.last = {name: made.status(name) for name in made.numbers}
        made.stop()
        yield made


def gaps_between(recorded: Station, name: str) -> list[Gap]:
    """Gaps that are neither the wait for the first picture nor the end of the test."""
    view = recorded.view(name)
    return [gap for gap in view.gaps if view.runs[0].end_us <= gap.start_us and gap.reason != "recorder stopped"]


def missing(recorded: Station, name: str) -> int:
    """How many pictures that were sent before the last recorded one are not in the files; -1 when one is there that was not sent."""
    sent = iter([unit.digests for unit in recorded.sent(name)])
    skipped = 0
    for unit in recorded.units(name):
        for digests in sent:
            if digests == unit.digests:
                break
            skipped += 1
        else:
            return -1
    return skipped


@pytest.mark.parametrize("name", [*GOOD, *NOTHING_LOST])
def test_every_picture_is_recorded_without_a_gap(recorded: Station, name: str) -> None:
    for track in (0, 1):
        got = [unit.digests for unit in recorded.units(name, track)]
        sent = [unit.digests for unit in recorded.sent(name, track)]
        first = sent.index(got[0]) if track else 0
        assert first < 30
        assert got == sent[first : first + len(got)]
        assert len(sent) - first - len(got) < 30
    assert len(recorded.view(name).runs) == 1
    assert gaps_between(recorded, name) == []


@pytest.mark.parametrize("name", [*GOOD, *NOTHING_LOST])
def test_what_is_recorded_has_the_length_of_what_was_sent(recorded: Station, name: str) -> None:
    """However the camera's own timestamps jump, an hour is not recorded in a second, nor a second as an hour."""
    units = recorded.units(name)
    seconds = sum(file.duration_us for file in recorded.files(name)) / US
    assert abs(seconds - len(units) / 25) < 0.5


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_break_is_one_stretch_without_footage_that_says_why_and_ends_soon(recorded: Station, name: str) -> None:
    wanted = BREAKS[name]
    gaps = gaps_between(recorded, name)
    # What is learnt of it later has a row of its own from then on.
    assert [gap.reason.partition(":")[0] for gap in gaps] == wanted.reason.split(", ")
    assert 0 < gaps[-1].end_us - gaps[0].start_us <= wanted.longest_s * US
    assert len(recorded.view(name).runs) == 2
    assert 0 <= missing(recorded, name) <= wanted.lost
    assert recorded.last[name]["state"] == "recording"
    assert recorded.last[name]["why"] == ""


@pytest.mark.parametrize("name", ["lost", "lost-udp"])
def test_the_reason_of_a_loss_says_how_many_packets(recorded: Station, name: str) -> None:
    (gap,) = gaps_between(recorded, name)
    assert int(gap.reason.partition(": ")[2]) >= 75
    assert recorded.last[name]["lost_packets"] >= 75


@pytest.mark.parametrize("name", list(LOSSY))
def test_a_lossy_line_costs_the_pictures_that_were_hit_and_no_more(recorded: Station, name: str) -> None:
    assert gaps_between(recorded, name) == []
    whole = {unit.digests for unit in recorded.sent(name)}
    got = recorded.units(name)
    assert len(got) >= 0.95 * len(recorded.sent(name)) - 30
    assert sum(unit.digests in whole for unit in got) >= 0.9 * len(got)
    assert recorded.last[name]["lost_packets"] > 0
    assert any(file.table.info.flags & SegmentFlag.DAMAGED_INPUT for file in recorded.files(name))


def test_rare_key_frames_do_not_make_endless_segments(recorded: Station) -> None:
    files = recorded.files("gop")
    assert max(file.duration_us for file in files) <= 8.1 * US
    flags = [bool(file.table.info.flags & SegmentFlag.CONTINUES) for file in files]
    assert flags == [not file.units[0][0].sync for file in files]
    assert True in flags


def test_without_a_key_frame_recording_begins_all_the_same(recorded: Station) -> None:
    files = recorded.files("no-key")
    assert all(file.table.info.flags & SegmentFlag.CONTINUES for file in files)
    view = recorded.view("no-key")
    waiting = [gap for gap in view.gaps if gap.reason == "waiting for key frame"]
    assert len(waiting) == 1
    assert waiting[0].end_us == view.runs[0].start_us
    got = [unit.digests for unit in recorded.units("no-key")]
    assert got
    assert missing(recorded, "no-key") <= 17 * 25


def test_a_change_of_parameters_begins_a_segment_of_its_own(recorded: Station) -> None:
    shapes = [(file.table.video.params.width, len(file.units[0])) for file in recorded.files("params") if file.table.video]
    assert {width for width, _ in shapes} == {SMALL.width, SMALL.width // 4 * 2}
    before = [file.table.video.params.sets for file in recorded.files("params-inside") if file.table.video]
    assert len(set(before)) > 1


@pytest.mark.parametrize("name", [*GOOD, *(name for name in FAULTS if name not in LOSSY and name not in ("no-key", "gop"))])
def test_ffmpeg_decodes_what_was_recorded_without_a_word(recorded: Station, name: str) -> None:
    assert decode_errors([file.path for file in recorded.files(name)]) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no-name", "the name cannot be resolved"),
        ("no-port", "Connection refused"),
        ("silent", "accepts no connection in time"),
    ],
)
def test_a_camera_that_cannot_be_reached_has_a_gap_from_the_start(recorded: Station, name: str, why: str) -> None:
    assert recorded.files(name) == []
    assert "unreachable" in {gap.reason for gap in recorded.view(name).gaps}
    assert why in recorded.last[name]["why"]


def test_each_trouble_is_logged_once_and_no_password_ever(recorded: Station) -> None:
    for name in ("no-name", "no-port", "silent", "close"):
        assert len([line for line in recorded.log(name) if "camera lost" in line]) == 1
    assert "a-secret-word" not in "".join(recorded.log())
    assert "a-secret-word" not in str(recorded.last)


def test_no_camera_was_stopped_by_an_error_of_ours(recorded: Station) -> None:
    assert [line for line in recorded.log() if "level=error" in line] == []
