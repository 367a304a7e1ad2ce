"""Whatever a camera does: every unit from the first key frame on is stored once, in order, byte for byte, and nothing overlaps.

The events tell the same story as the segments. Hypothesis makes the cameras up.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ingest.events import EpochNeeded, GapStarted, RecordingStarted
from ingest.rtp.flags import DAMAGED, KEY, RESTARTED
from tests.support.recording import Stage, Unit, aac_track, h264_track, stage
from vault.media import GapBefore

GOP_ORDERS = {0: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2: [0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 3: [0, 4, 2, 1, 3, 8, 6, 5, 7, 9]}
"""Presentation order of a GOP's pictures in decode order, by the reorder depth it needs."""


@dataclass(frozen=True)
class Turn:
    """What happens between two stretches of pictures."""

    pictures: int
    jump_ticks: int = 0
    restarted: bool = False
    silence_us: int = 0
    step_us: int = 0
    reconnect: bool = False


turns = st.lists(
    st.builds(
        Turn,
        pictures=st.integers(1, 120),
        jump_ticks=st.sampled_from([0, 0, 0, -900_000, -40_000, 90_000, 324_000_000, 1 << 31, (1 << 32) - 5_000_000]),
        restarted=st.booleans(),
        silence_us=st.sampled_from([0, 0, 0, 1_000_000, 5_000_000, 40_000_000]),
        step_us=st.sampled_from([0, 0, 0, 0, 3_600_000_000, -3_600_000_000, 700_000]),
        reconnect=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@dataclass(slots=True, eq=False)
class Camera:
    """Sends pictures and sounds; knows what must be kept."""

    on: Stage
    order: list[int]
    gop: int
    data: st.DataObject
    base: int = 0
    sent: int = 0
    sounds: int = 0

    def stretch(self, turn: Turn) -> None:
        timestamps = self.base + turn.jump_ticks
        self.base = timestamps
        flags = DAMAGED | RESTARTED if turn.restarted else 0
        left = turn.pictures
        while left:
            count = min(left, self.data.draw(st.integers(1, 40)))
            left -= count
            units = []
            for number in range(self.sent, self.sent + count):
                group, place = divmod(number, len(self.order))
                shown = group * len(self.order) + self.order[place]
                key = KEY if number % self.gop == 0 else 0
                timestamp = (timestamps + shown * 3600) & 0xFFFFFFFF
                units.append(Unit(0, timestamp, b"picture %06d" % number + bytes(number % 7), key | flags, 0))
                flags = 0
                for _ in range(self.data.draw(st.integers(0, 3)) if number % 8 == 0 else 2):
                    sound = b"sound %06d" % self.sounds
                    units.append(Unit(1, (timestamps + self.sounds * 1024) & 0xFFFFFFFF, sound, 0, 0))
                    self.sounds += 1
            self.sent += count
            self.on.clock.advance(count * 40_000)
            self.on.sweep(units)


@given(
    turns=turns,
    depth=st.sampled_from(sorted(GOP_ORDERS)),
    gops=st.integers(1, 6),
    nominal_s=st.sampled_from([1, 4, 60]),
    base=st.integers(0, (1 << 32) - 1),
    grants=st.booleans(),
    data=st.data(),
)
def test_every_unit_is_kept_once_in_order_and_nothing_overlaps(
    turns: list[Turn], depth: int, gops: int, nominal_s: float, base: int, grants: bool, data: st.DataObject
) -> None:
    on = stage(nominal_s=nominal_s)
    on.grants = grants
    on.begin([h264_track(bframes=depth), aac_track()])
    camera = Camera(on, GOP_ORDERS[depth], gops * 10, data, base)
    for turn in turns:
        if turn.step_us:
            on.clock.step(turn.step_us)
            on.recorder.host_clock_stepped()
        if turn.silence_us:
            on.clock.advance(turn.silence_us)
            camera.base += turn.silence_us * 9 // 100
        if turn.reconnect:
            on.end()
            on.begin([h264_track(bframes=depth), aac_track()])
        camera.stretch(turn)
        assert on.buffers_back == on.buffers_given
    on.end("recorder stopped")
    on.check()
    # A connection that ends while its run may not begin before a new epoch is granted loses what was held back.
    check_kept(on, camera, strict=not any(isinstance(event, EpochNeeded) for event in on.events))
    check_events(on)


def check_kept(on: Stage, camera: Camera, *, strict: bool) -> None:
    kept = [int(one.split(b"\x00")[0].split()[1]) for one in on.kept()]
    for one in on.kept():
        number = int(one.split(b"\x00")[0].split()[1])
        assert one == b"picture %06d" % number + bytes(number % 7)
    assert all(a < b for a, b in itertools.pairwise(kept)), "twice, or out of order"
    heard = [int(one.split()[1]) for one in on.kept(1)]
    assert all(a < b for a, b in itertools.pairwise(sorted(heard)))
    # Only what stands before a key frame at the begin of a connection may be missing.
    missing = sorted(set(range(camera.sent)) - set(kept))
    if strict:
        for number in missing:
            following = next((one for one in kept if one > number), camera.sent)
            nearest = -(-number // camera.gop) * camera.gop
            assert number % camera.gop != 0, "a key frame is missing"
            assert following in (nearest, camera.sent)


def check_events(on: Stage) -> None:
    """Each gap that an event began is ended by the next segment's start, and the segments say the same."""
    told = [event for event in on.events if not isinstance(event, EpochNeeded)]
    starts = {segment.start_us for segment in on.segments}
    ends = {segment.end_us for segment in on.segments}
    since: GapStarted | None = None
    gaps: dict[int, GapBefore] = {}
    for event in told:
        if isinstance(event, RecordingStarted):
            assert event.start_us in starts
            if since is not None and event.start_us - since.start_us >= 1_000:
                gaps[event.start_us] = GapBefore(since.start_us, since.reason)
            since = None
        elif isinstance(event, GapStarted):
            assert event.start_us in ends
            assert since is None or since.start_us == event.start_us
            since = event
    if on.segments:
        assert since is not None
        assert since.reason == "recorder stopped"
    heads = {s.start_us: s.opened.head.gap_before for s in on.segments if s.opened.head.gap_before}
    assert heads == gaps
    for before, after in itertools.pairwise(on.segments):
        if before.epoch == after.epoch and after.opened.head.gap_before is None:
            assert abs(after.start_us - before.end_us) < 1_000
