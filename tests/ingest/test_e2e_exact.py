"""What cameras send is what the files hold: NAL units byte for byte, in order, at their times; over TCP and UDP, many codecs.

One node records all of these cameras at once for a few segments; each test then looks at one question.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from ingest.simulate.run import Simulator
from ingest.simulate.session import Action, Request, Session
from ingest.simulate.stage import SentUnit
from tests.support.certificate import certificate
from tests.support.node import wait_until
from tests.support.station import SMALL, File, Station, Unit, decode_errors, station
from tests.support.tls_front import tls_front
from vault.media import Codec
from vault.timebase import US

B_FRAMES = replace(SMALL, bframes=2, slices=3, aud=True, audio=Codec.AAC)
H265 = replace(SMALL, codec=Codec.H265, audio=Codec.ALAW)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "b-frames": {"spec": B_FRAMES},
    "aggregate": {"spec": replace(SMALL, aud=True, audio=Codec.ULAW), "aggregate": True},
    "h265": {"spec": H265, "aggregate": True},
    "h265-b-frames": {"spec": replace(H265, bframes=2, slices=2, audio=Codec.AAC)},
}
NAMES = [f"{kind}-{transport}" for kind in KINDS for transport in ("tcp", "udp")] + ["mixed", "rtsps"]
SEGMENTS = 3


def refuse_sound_by_tcp(simulator: Simulator, patch: pytest.MonkeyPatch) -> None:
    """A camera that sends its picture interleaved and its sound by UDP only: each SETUP is agreed by itself."""
    whole = Session._setup

    def picky(self: Session, request: Request, camera: int, track: int) -> Any:
        mine = f":{simulator.port}/" in request.url
        if mine and track == 1 and "TCP" in request.headers.get("transport", ""):
            return 461, {}, "", Action.NONE
        return whole(self, request, camera, track)

    patch.setattr(Session, "_setup", picky)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("exact")
    pem = certificate(folder)
    with station(folder) as made, pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for kind, options in KINDS.items():
            for transport in ("tcp", "udp"):
                made.simulate([f"{kind}-{transport}"], transport, **options)
        refuse_sound_by_tcp(made.simulate(["mixed"], "auto", B_FRAMES), patch)
        # Many TLS records a sweep.
        secured = made.simulate(["rtsps"], spec=replace(SMALL, bitrate=3_000_000, audio=Codec.AAC), listed=False)
        port = stack.enter_context(tls_front(secured.port, pem))
        made.add("rtsps", secured.url(1).replace(f"rtsp://127.0.0.1:{secured.port}", f"rtsps://127.0.0.1:{port}"))
        made.start(tls_ca_file=str(pem))
        made.wait_recording(*NAMES)
        wait_until(lambda: all(len(made.files(name)) > SEGMENTS for name in NAMES), 90, "segments")
        made.stop()
        yield made


def pictures(recorded: Station, name: str, track: int = 0) -> tuple[list[Unit], Sequence[SentUnit]]:
    return recorded.units(name, track), recorded.sent(name, track)


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_is_recorded_byte_for_byte_in_order(recorded: Station, name: str) -> None:
    got, sent = pictures(recorded, name)
    assert len(got) > SEGMENTS * 4 * 25
    assert [unit.digests for unit in got] == [unit.digests for unit in sent[: len(got)]]
    assert [unit.sync for unit in got] == [unit.key for unit in sent[: len(got)]]
    # What was sent last may be on its way still when the recorder is told to stop.
    assert len(sent) - len(got) < 25


@pytest.mark.parametrize("name", NAMES)
def test_times_are_the_cameras_to_the_tick(recorded: Station, name: str) -> None:
    sent = iter(recorded.sent(name))
    files = recorded.files(name)
    before: int | None = None
    for file in files:
        units = file.units[0]
        stamps = [next(sent).stamp for _ in units]
        first = (stamps[0] - units[0].pts) & 0xFFFFFFFF
        assert [(first + unit.pts) & 0xFFFFFFFF for unit in units] == stamps
        assert [unit.dts for unit in units] == sorted(unit.pts for unit in units)
        if before is not None:
            assert first == before
        video = file.table.video
        assert video is not None
        before = (first + video.end_dts) & 0xFFFFFFFF
    assert all(a.table.info.end_us == b.key.start_us for a, b in itertools.pairwise(files))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("plain")])
def test_sound_is_recorded_frame_for_frame(recorded: Station, name: str) -> None:
    got, sent = pictures(recorded, name, 1)
    hashes = [unit.digests for unit in sent]
    # Sound from before the first picture is not recorded.
    first = hashes.index(got[0].digests)
    assert first < 60
    assert len(got) > 100
    assert [unit.digests for unit in got] == hashes[first : first + len(got)]


@pytest.mark.parametrize("name", NAMES)
def test_ffmpeg_decodes_every_file_without_a_word(recorded: Station, name: str) -> None:
    assert decode_errors([file.path for file in recorded.files(name)]) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_timeline_is_one_run_without_a_gap(recorded: Station, name: str) -> None:
    view = recorded.view(name)
    assert len(view.runs) == 1
    reasons = [gap.reason for gap in view.gaps]
    assert reasons[-1] == "recorder stopped"
    assert len(reasons) == 1 or (reasons[0] == "connecting" and view.gaps[0].end_us - view.gaps[0].start_us < 10 * US)


def test_segments_are_cut_at_key_frames_near_the_nominal_length(recorded: Station) -> None:
    for name in NAMES:
        files: list[File] = recorded.files(name)
        assert all(file.units[0][0].sync for file in files)
        assert all(abs(file.duration_us - 4 * US) <= US for file in files[1:-1])
