"""A track's media time, its parameters, and how it is tied to the picture."""

from __future__ import annotations

from ingest.rtp.flags import RESTARTED
from ingest.tracks import RecordedTrack, master_index
from tests.support.recording import aac_track, alaw_track, h264_params, h264_track, opaque_track
from tests.support.streams import encode_h264
from vault.media import Codec

SECOND = 1_000_000


def test_the_video_is_the_master_wherever_it_stands_and_else_the_first_track() -> None:
    assert master_index([aac_track(), opaque_track(), h264_track()]) == 2
    assert master_index([opaque_track(), alaw_track()]) == 0


def test_media_time_follows_the_timestamps_over_a_wrap() -> None:
    track = h264_track()
    before = track.media((1 << 32) - 1800)
    assert track.media(1800) - before == 3600
    assert track.media((1 << 32) - 1800) == before


def test_peeking_does_not_move_the_track_on_and_agrees_with_what_follows() -> None:
    track = h264_track()
    peeked = [track.peek(at & 0xFFFFFFFF, 0) for at in ((1 << 32) - 3600, 1 << 32, (1 << 32) + 3600)]
    assert [track.media(at & 0xFFFFFFFF) for at in ((1 << 32) - 3600, 1 << 32, (1 << 32) + 3600)] == peeked


def test_peeking_takes_jumps_and_new_sources_out() -> None:
    track = h264_track()
    first = track.peek(0, 0)
    assert track.peek(900_000_000, 0) - first == track.sample_ticks
    assert track.peek(900_003_600, 0) - first == track.sample_ticks + 3600
    assert track.peek(900_010_000, RESTARTED) - first == 2 * track.sample_ticks + 3600


def test_after_a_rebase_the_unit_follows_the_latest_by_the_step() -> None:
    track = h264_track(bframes=2)
    for at in (0, 14_400, 7_200):
        media = track.media(at)
        track.times.push(media, (b"", 0, 0, 0))
        track.advance(media)
    jumped = track.media(900_000_000)
    corrected = track.rebase(jumped, 3600)
    assert corrected - track.last_media == 7_200 + 3600
    assert track.media(900_003_600) - corrected == 3600


def test_parameters_are_learnt_from_the_stream_and_a_change_is_told_once() -> None:
    track = RecordedTrack(Codec.H264, 90_000, None)
    small, large = (memoryview(encode_h264(frames=30, size=size)[0].sample) for size in ((160, 96), (192, 112)))
    assert track.learn(small)
    assert track.description() == h264_params()
    assert not track.learn(small)
    assert track.learn(large)
    assert track.description().width == 192


def test_audio_learns_nothing_from_its_samples() -> None:
    assert not aac_track().learn(memoryview(encode_h264(frames=30)[0].sample))


def test_parameters_that_announce_b_frames_make_pictures_wait() -> None:
    track = h264_track()
    assert track.times.depth == 0
    track.learn(memoryview(encode_h264(frames=30, bframes=2)[0].sample))
    assert track.times.depth == 2


def test_waiting_pictures_keep_their_bytes_when_the_buffer_goes_back() -> None:
    track = h264_track(bframes=2)
    arena = bytearray(b"..picture..")
    track.times.push(0, (arena, 2, 7, 1))
    track.keep_waiting()
    arena[:] = bytes(len(arena))
    [(_, _, (held, offset, size, flags))] = track.times.flush()
    assert (bytes(held[offset : offset + size]), flags) == (b"picture", 1)


def test_what_was_lost_counts_from_the_last_unit_only() -> None:
    track = h264_track()
    track.lost_packets = 5
    assert track.silence_reason() == "packets lost: 5"
    track.advance(track.media(0))
    track.heard(0)
    assert track.silence_reason() == "no data from camera"
    track.lost_packets = 7
    assert track.silence_reason() == "packets lost: 2"


def bound(audio_delay_us: int) -> tuple[RecordedTrack, RecordedTrack]:
    """A picture without delay, and audio whose timestamps begin elsewhere and that arrives later."""
    master, audio = h264_track(), aac_track()
    for second in range(3):
        master.advance(master.media(second * 90_000))
        master.heard(second * SECOND)
        audio.advance(audio.media(7_000_000 + second * 48_000))
        audio.heard(second * SECOND + audio_delay_us)
    audio.align(master, master.delay.least_us or 0)
    return master, audio


def test_audio_is_tied_by_arrival_and_then_by_sender_reports() -> None:
    master, audio = bound(100_000)
    by_arrival = audio.lead_us
    master.sender_report(10**15, 0)
    audio.sender_report(10**15, 7_000_000)
    audio.realign(master, master.delay.least_us or 0)
    assert by_arrival - audio.lead_us == 100_000


def test_reports_that_come_while_the_run_is_held_back_tie_audio_from_its_first_sample_on() -> None:
    master, audio = h264_track(), aac_track()
    for track, stamp, delay_us in ((master, 0, 0), (audio, 7_000_000, 100_000)):
        track.restart()
        track.delay.observe(track.to_us(track.peek(stamp, 0)), delay_us)
        track.sender_report(10**15, stamp)
    audio.align(master, master.delay.least_us or 0)
    assert audio.lead_us == master.to_us(master.peek(0, 0)) - audio.to_us(audio.peek(7_000_000, 0))


def test_reports_far_from_what_arrival_says_are_not_believed() -> None:
    master, audio = bound(100_000)
    by_arrival = audio.lead_us
    master.sender_report(10**15, 0)
    audio.sender_report(10**15 + 3 * SECOND, 7_000_000)
    audio.realign(master, master.delay.least_us or 0)
    assert audio.lead_us == by_arrival


def test_a_jump_makes_older_reports_worthless() -> None:
    master, audio = bound(100_000)
    master.sender_report(10**15, 0)
    audio.sender_report(10**15, 7_000_000)
    by_arrival = audio.lead_us
    audio.rebase(audio.media(3_000_000_000), 1024)
    audio.realign(master, master.delay.least_us or 0)
    assert audio.lead_us == by_arrival


def test_a_report_before_the_first_unit_is_passed_over() -> None:
    track = h264_track()
    track.sender_report(10**15, 0, 10**15)
    assert track.camera_offset_us is None
    assert track.report_media_us(0) is None
