"""The first second of a run: what is held, what is left out, how its delay is measured, and that buffers go back at once."""

from __future__ import annotations

from ingest.hold import HOLD_US, KEY_WAIT_US, MAX_HELD_BYTES, Hold, Sweep, copy_of
from ingest.rtp.flags import KEY, PARAMS
from ingest.tracks import RecordedTrack
from tests.support.recording import SECOND, T0, aac_track, h264_params, h264_track
from tests.support.streams import encode_h264
from vault.media import Codec


def never() -> None:
    raise AssertionError("a hold gives nothing back itself")


def sweep(*frames: tuple[int, int, bytes, int], at_us: int = 0, step_us: int = 0) -> Sweep:
    """Units `(track, timestamp, bytes, flags)` that the host had at `at_us`; its clock was set by `step_us` before."""
    arenas = [bytearray(), bytearray()]
    out = []
    for track, timestamp, data, flags in frames:
        out.append((track, timestamp, len(arenas[track]), len(data), flags))
        arenas[track] += data
    return Sweep(out, arenas, T0 + at_us + step_us, at_us, never)


def held(hold: Hold) -> list[bytes]:
    return [bytes(one.arenas[i][at : at + size]) for one in hold.take() for i, _, at, size, _ in one.frames]


def test_a_copy_holds_only_its_units_and_does_not_change_with_the_buffer() -> None:
    whole = sweep((0, 0, b"left out", 0), (0, 1, b"one", KEY), (1, 5, b"sound", 0), (0, 2, b"two", 0))
    copy = copy_of(whole, whole.frames[1:])
    for arena in whole.arenas:
        assert isinstance(arena, bytearray)
        arena[:] = bytes(len(arena))
    assert [bytes(copy.arenas[i][at : at + size]) for i, _, at, size, _ in copy.frames] == [b"one", b"sound", b"two"]
    assert sum(map(len, copy.arenas)) == 11
    copy.release()


def test_what_stands_before_the_first_key_frame_is_left_out_audio_too() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, b"old", 0)), tracks)
    assert hold.is_empty
    hold.add(sweep((1, 0, b"sound", 0), (0, 3600, b"old", 0), (0, 7200, b"key", KEY), (1, 9, b"beep", 0)), tracks)
    assert not hold.is_empty
    assert held(hold) == [b"key", b"beep"]


def test_it_is_ready_a_second_after_its_first_unit() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    assert not hold.ready(10 * SECOND)
    hold.add(sweep((0, 0, b"key", KEY), at_us=5 * SECOND), tracks)
    assert not hold.ready(5 * SECOND + HOLD_US - 1)
    assert hold.ready(5 * SECOND + HOLD_US)


def test_the_least_delayed_sweep_counts_and_not_the_first() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, b"key", KEY), at_us=900_000), tracks)
    hold.add(sweep((0, 90_000, b"late", 0), at_us=1_100_000), tracks)
    assert tracks[0].delay.least_us is not None
    assert hold.first_media_us + tracks[0].delay.least_us == T0 + 100_000


def test_fifteen_seconds_after_the_first_picture_any_will_do() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, b"one", 0), at_us=60 * SECOND), tracks)
    hold.add(sweep((0, 3600, b"two", 0), at_us=60 * SECOND + KEY_WAIT_US), tracks)
    assert hold.is_empty
    hold.add(sweep((0, 7200, b"three", 0), at_us=60 * SECOND + KEY_WAIT_US + 40_000), tracks)
    assert held(hold) == [b"three"]


def test_a_picture_without_known_parameters_will_never_do() -> None:
    hold, tracks = Hold(0, need_key=True), [RecordedTrack(Codec.H264, 90_000, None), aac_track()]
    hold.add(sweep((0, 0, b"key", KEY), at_us=60 * SECOND), tracks)
    assert hold.is_empty
    unit = encode_h264(frames=30)[0].sample
    hold.add(sweep((0, 3600, unit, KEY | PARAMS), at_us=60 * SECOND), tracks)
    assert held(hold) == [unit]
    assert tracks[0].params == h264_params()


def test_a_step_of_the_hosts_clock_moves_what_is_held_too() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, b"key", KEY), at_us=100_000), tracks)
    hold.add(sweep((0, 45_000, b"two", 0), at_us=600_000, step_us=-3600 * SECOND), tracks)
    assert tracks[0].delay.least_us is not None
    assert hold.first_media_us + tracks[0].delay.least_us == T0 + 100_000 - 3600 * SECOND
    assert [one.now_us for one in hold.take()] == [T0 + 100_000 - 3600 * SECOND, T0 + 600_000 - 3600 * SECOND]


def test_too_much_to_hold_is_ready_early() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, bytes(MAX_HELD_BYTES + 1), KEY)), tracks)
    assert hold.ready(1)


def test_too_much_to_hold_while_it_must_wait_is_dropped_and_a_key_frame_is_looked_for() -> None:
    hold, tracks = Hold(0, need_key=True), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, bytes(MAX_HELD_BYTES + 1), KEY)), tracks)
    hold.must_wait = True
    hold.add(sweep((0, 3600, b"two", 0), at_us=40_000), tracks)
    assert hold.is_empty
    assert hold.held_bytes == 0
    hold.add(sweep((0, 7200, b"three", KEY), at_us=80_000), tracks)
    assert held(hold) == [b"three"]


def test_what_was_taken_is_not_held_any_more() -> None:
    hold, tracks = Hold(0, need_key=False), [h264_track(), aac_track()]
    hold.add(sweep((0, 0, b"any", 0)), tracks)
    assert held(hold) == [b"any"]
    assert hold.is_empty
    assert hold.held_bytes == 0
