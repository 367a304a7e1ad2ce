"""The process that decodes one picture: what it makes of good bytes, of junk, and what it may not do."""

from __future__ import annotations

import contextlib
import io
import os

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access import decode
from access.decode import decode_apart, picture
from tests.support.segments import make_segment, video_track
from tests.support.streams import encode_h264, encode_h265
from vault.errors import Damaged, Refused
from vault.grant import system_grant
from vault.media import Codec

GRANT = system_grant("test")
MOVIE = make_segment([video_track(encode_h264(5))]).closed_bytes


def size_of(still: bytes) -> tuple[int, int]:
    with av.open(io.BytesIO(still)) as container:
        stream = container.streams.video[0]
        assert len(list(container.decode(stream))) == 1
        return stream.width, stream.height


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_picture_comes_out_of_a_movie(form: str) -> None:
    assert size_of(decode_apart(MOVIE, form, GRANT)) == (160, 96)


def test_h265_is_decoded_too() -> None:
    movie = make_segment([video_track(encode_h265(5), Codec.H265)]).closed_bytes
    assert size_of(decode_apart(movie, "png", GRANT)) == (160, 96)


@pytest.mark.parametrize("junk", [b"", b"junk" * 1000, MOVIE[:200], MOVIE[: len(MOVIE) // 2]])
def test_junk_is_damaged_and_says_so_in_one_line(junk: bytes) -> None:
    with pytest.raises(Damaged, match="the picture cannot be decoded") as error:
        decode_apart(junk, "jpeg", GRANT)
    assert len(str(error.value).splitlines()) == 1


def test_a_movie_beyond_the_bound_is_not_given_to_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_INPUT_BYTES", 1000)
    with pytest.raises(Refused, match="at most 1,000"):
        decode_apart(MOVIE, "jpeg", GRANT)


def test_a_process_that_takes_too_much_is_ended_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/sh")
    monkeypatch.setattr(decode, "_CPU_SECONDS", 0.05)
    monkeypatch.setattr(decode.subprocess, "run", _slow(decode.subprocess.run))
    with pytest.raises(Refused, match="given up"):
        decode_apart(MOVIE, "jpeg", GRANT)


def _slow(run: object) -> object:
    assert callable(run)
    return lambda command, **options: run(["sleep", "30"], **options)


def test_the_process_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "geheim")
    monkeypatch.setattr(decode.subprocess, "run", _printing_environment(decode.subprocess.run))
    assert b"geheim" not in decode_apart(MOVIE, "jpeg", GRANT)


def _printing_environment(run: object) -> object:
    assert callable(run)
    return lambda command, **options: run(["env"], **options)


@settings(max_examples=30)
@given(st.integers(0, len(MOVIE) - 1), st.binary(min_size=1, max_size=40))
def test_flipped_bytes_give_a_picture_or_an_error_that_is_foreseen(at: int, junk: bytes) -> None:
    movie = MOVIE[:at] + junk + MOVIE[at + len(junk) :]
    with contextlib.suppress(av.FFmpegError, ValueError, MemoryError, IndexError):
        assert picture(movie, "jpeg")


def test_a_sample_entry_that_names_no_codec_is_damage() -> None:
    at = MOVIE.rindex(b"avc1")
    with pytest.raises(Damaged, match="in no codec that can be decoded here"):
        decode_apart(MOVIE[:at] + b"\0" + MOVIE[at + 1 :], "jpeg", GRANT)


def test_libavs_messages_do_not_reach_the_person(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Damaged):
        decode_apart(MOVIE[:300] + os.urandom(500), "jpeg", GRANT)
    assert capfd.readouterr().err == ""
