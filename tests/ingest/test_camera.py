"""One camera's task in simulated time: silence, back-off, reasons, what is logged. The source is a stand-in that obeys the test."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from ingest.arenas import Arenas
from ingest.camera import CameraTask, Pace
from ingest.closer import Keep
from ingest.jobs import Released
from ingest.messages import CameraSpec, GapNews, RecordingNews
from ingest.rtp.flags import KEY
from ingest.source import Frame, Report
from ingest.tracks import RecordedTrack
from tests.support.numbered import encode
from tests.support.segments import START_US, video_track
from vault.errors import SourceError, SourceRefused
from vault.ids import CameraId, CameraNumber
from vault.media import Codec, GapBefore
from vault.timebase import US

PACE = Pace(nominal_us=60 * US, audio_wait_us=US // 2, sweep_us=US // 5, connect_us=10 * US, silence_us=10 * US)
PICTURES = [unit.sample for unit in encode(frames=25, gop=25)]
PARAMS = video_track(encode(frames=25, gop=25)).params
STEP_US = 50_000


class Stand:
    """A source: `pictures` is what the next sweep brings, `other` how many bytes that are no media."""

    def __init__(self) -> None:
        self.playing = False
        self.failure: SourceError | None = None
        self.tracks: Sequence[RecordedTrack] = ()
        self.lost_packets = 0
        self.pictures: list[tuple[int, bool]] = []
        self.other = 0
        self.fails_in_service: SourceError | None = None
        self.closed = False

    def play(self) -> None:
        self.tracks = [RecordedTrack(Codec.H264, 90_000, PARAMS)]
        self.playing = True

    def service(self, mono_us: int) -> None:
        self.failure = self.failure or self.fails_in_service

    def carried(self) -> Sequence[int]:
        return [0] * len(self.tracks)

    def reports(self) -> Sequence[Report]:
        return ()

    def sweep(self, arenas: Sequence[bytearray], frames: list[Frame], limit_bytes: int, mono_us: int) -> int:
        at = 0
        for stamp, key in self.pictures:
            data = PICTURES[0 if key else 1]
            arenas[0][at : at + len(data)] = data
            frames.append((0, stamp & 0xFFFFFFFF, at, len(data), KEY if key else 0))
            at += len(data)
        self.pictures = []
        return at + self.other

    def pace_us(self, wanted_us: int) -> int:
        return wanted_us

    def close(self) -> None:
        self.closed = True


class World:
    """The camera's task, its connections, and time."""

    def __init__(self) -> None:
        spec = CameraSpec(
            CameraNumber(1),
            CameraId("cam-1"),
            "rtsp://192.0.2.1/",
            "tcp",
            1,
            GapBefore(START_US - US, "connecting"),
            Keep("general", 30),
            "operator",
            "a-secret-word",
        )
        self.mono_us = 1_000 * US
        self.made: list[Stand] = []
        self.news: list[Any] = []
        self.refusal: SourceError | None = None
        self.sends = False
        self.key_every = 25
        self.count = 0
        self.task = CameraTask(spec, PACE, Arenas(), self._connect, self.mono_us)

    @property
    def now_us(self) -> int:
        return START_US + self.mono_us - 1_000 * US

    @property
    def source(self) -> Stand:
        return self.made[-1]

    def _connect(self, spec: CameraSpec, mono_us: int) -> Stand:
        self.made.append(Stand())
        self.source.failure = self.refusal
        if self.refusal is None:
            self.source.play()
        return self.source

    def run(self, seconds: float) -> World:
        for _ in range(round(seconds * US / STEP_US)):
            self.mono_us += STEP_US
            due = (self.mono_us - 1_000 * US) // 40_000
            while self.count < due:
                if self.sends and self.made and self.source.playing:
                    key = bool(self.key_every) and self.count % self.key_every == 0
                    self.source.pictures.append((self.count * 3600, key))
                self.count += 1
            if self.mono_us >= self.task.due_us:
                self.task.step(self.now_us, self.mono_us)
                for job in self.task.take_jobs():
                    if isinstance(job, Released):
                        job.release()
                self.news += self.task.take_news()[0]
        return self

    def gaps(self) -> list[tuple[str, float]]:
        return [(item.reason, (item.start_us - START_US) / US) for item in self.news if isinstance(item, GapNews)]


@pytest.fixture
def world() -> World:
    made = World()
    made.sends = True
    return made


def test_bytes_that_are_no_media_do_not_hide_a_silent_camera(world: World) -> None:
    """Sender reports and answers to keep-alives go on while the picture stands still."""
    world.run(8)
    assert world.task.status().recording
    world.sends = False
    world.source.other = 64
    world.run(11)
    assert len(world.made) == 2
    assert world.made[0].closed
    assert world.gaps()[-1][0] == "no data from camera"


def test_a_silence_is_told_before_the_camera_is_given_up(world: World) -> None:
    world.run(8)
    world.sends = False
    world.news.clear()
    world.run(4)
    assert len(world.made) == 1
    ((reason, at_s),) = world.gaps()
    assert reason == "no data from camera"
    assert 7.5 < at_s < 8.1
    assert "no data" in world.task.status().why


def test_a_silence_whose_pictures_come_late_is_taken_back(world: World) -> None:
    world.run(8)
    start = world.count
    world.sends = False
    world.news.clear()
    world.run(5)
    world.source.pictures = [(number * 3600, number % 25 == 0) for number in range(start, world.count)]
    world.sends = True
    world.run(3)
    (gap,) = (item for item in world.news if isinstance(item, GapNews))
    (again,) = (item for item in world.news if isinstance(item, RecordingNews))
    assert again.start_us == gap.start_us
    assert world.task.status().why == ""


def test_a_camera_without_key_frames_says_what_is_waited_for(world: World) -> None:
    world.key_every = 0
    world.run(5)
    assert not world.task.status().recording
    assert world.gaps()[-1][0] == "waiting for key frame"
    assert "key frame" in world.task.status().why
    world.run(25)
    assert world.task.status().recording
    assert world.task.status().why == ""


def test_what_arrived_before_the_connection_broke_is_recorded(world: World) -> None:
    """Over UDP the control connection may be seen to close before the last datagrams are read."""
    world.run(8)
    before = world.task.status().received_bytes
    world.source.pictures = [(world.count * 3600, False)]
    world.source.fails_in_service = SourceError("the server closed the connection")
    world.run(1.2)
    assert world.task.status().received_bytes > before
    assert world.gaps()[-1][0] == "closed by camera"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceError("no route"), "unreachable"), (SourceRefused("it wants a password"), "refused by camera")],
)
def test_the_reason_of_a_connection_that_was_never_made(world: World, error: SourceError, reason: str) -> None:
    world.refusal = error
    world.run(2)
    assert world.gaps() == [(reason, -1.0)]
    assert world.task.status().why == str(error)


def test_the_same_failure_is_logged_once_and_the_return_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ingest.camera")
    world.refusal = SourceError("no route")
    world.run(60)
    assert len(world.made) > 6
    world.refusal = SourceRefused("it wants a password")
    world.run(60)
    world.refusal = None
    world.run(40)
    assert world.task.status().recording
    assert [record.getMessage() for record in caplog.records] == ["camera lost", "camera lost", "camera records again"]


def test_a_camera_that_answers_again_is_back_within_seconds(world: World) -> None:
    world.run(30)
    world.source.failure = SourceError("the camera closed the connection")
    world.refusal = SourceError("no route")
    world.run(600)
    attempts = len(world.made)
    world.refusal = None
    world.run(15)
    assert len(world.made) == attempts + 1
    assert world.task.status().recording


def test_a_camera_that_refuses_is_asked_less_often(world: World) -> None:
    """Cameras lock an account after a few wrong passwords."""
    world.refusal = SourceRefused("it wants a password")
    world.run(600)
    assert len(world.made) <= 600 / 22 + 7


def test_the_password_shows_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.refusal = SourceRefused("it wants a password")
    world.run(5)
    assert "a-secret-word" not in repr((world.task.spec, world.task.status(), world.news, caplog.text))
