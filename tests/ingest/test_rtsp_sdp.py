"""Descriptions as cameras write them: medias, formats, controls, connections, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rtsp.formats import codec_of, parameter_sets, wanted_media, why_not_recorded
from ingest.rtsp.sdp import MAX_ATTRIBUTES, MAX_MEDIA, MAX_SDP_BYTES, Connection, Media, parse_sdp
from vault.errors import SourceError
from vault.media import Codec

CAMERA = b"""v=0\r
o=- 0 0 IN IP4 192.0.2.7\r
s=IP camera\r
t=0 0\r
a=range:npt=0-\r
a=control:*\r
m=video 0 RTP/AVP 96\r
b=AS:5000\r
a=rtpmap:96 H265/90000\r
a=fmtp:96 sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ; sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAlqADwIARB8u605E=; sprop-pps=RAHA8vA8kAA=\r
a=framerate:12.5\r
a=control:track1\r
m=audio 0 RTP/AVP 97 0\r
a=rtpmap:97 mpeg4-generic/48000/2\r
a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r
a=control:rtsp://192.0.2.7/audio\r
"""


def one(lines: str) -> Media:
    (media,) = parse_sdp(("v=0\n" + lines).encode()).media
    return media


def test_a_cameras_description_gives_its_tracks_with_codec_clock_and_parameters() -> None:
    description = parse_sdp(CAMERA)
    assert (description.name, description.control, description.range) == ("IP camera", "*", "npt=0-")
    video, audio = description.media
    assert (video.kind, video.format.encoding, video.format.clock_rate, video.framerate) == ("video", "H265", 90_000, 12.5)
    assert [item[0] >> 1 & 63 for item in parameter_sets(video)] == [32, 33, 34]
    assert video.control == "track1"
    assert (audio.format.encoding, audio.format.clock_rate, audio.format.channels) == ("MPEG4-GENERIC", 48_000, 2)
    assert [item.encoding for item in audio.formats] == ["MPEG4-GENERIC", "PCMU"]
    assert parameter_sets(audio) == (b"\x11\x90",)
    assert [codec_of(media) for media in description.media] == [Codec.H265, Codec.AAC]
    assert video.extra == (("b", "AS:5000"),)


@pytest.mark.parametrize(
    ("number", "kind", "encoding", "clock_rate", "channels", "codec"),
    [
        (0, "audio", "PCMU", 8000, 1, Codec.ULAW),
        (8, "audio", "PCMA", 8000, 1, Codec.ALAW),
        (14, "audio", "MPA", 90_000, 0, Codec.OPAQUE),
        (26, "video", "JPEG", 90_000, 0, Codec.OPAQUE),
        (96, "video", "", 0, 0, Codec.OPAQUE),
    ],
)
def test_static_payload_types_need_no_rtpmap(
    number: int, kind: str, encoding: str, clock_rate: int, channels: int, codec: Codec
) -> None:
    media = one(f"m={kind} 0 RTP/AVP {number}\n")
    assert (media.format.encoding, media.format.clock_rate, media.format.channels) == (encoding, clock_rate, channels)
    assert codec_of(media) is codec


@pytest.mark.parametrize(
    "lines",
    [
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "m=video 0 RTP/AVP 96\na=rtpmap:96\tH264/90000/1\n",
        "m=video 0 RTP/AVP 96\na=rtpmap: 96 h264 / 90000\n",
        "M = video  0  rtp/avp  96 \nA=RtpMap:96 H264/90000\n",
        "m=video 0 RTP/AVP\na=rtpmap:96 H264/90000\n",
        "\n\n m=video 0 RTP/AVP 96\nnonsense\n=\na\na=\na=rtpmap:96 H264/90000\n",
        "m=video 0 RTP/AVP 96 96\na=rtpmap:9 X/1\na=rtpmap:960 X/1\na=rtpmap:96 H264/90000\na=rtpmap:96 H265/90000\n",
    ],
)
def test_odd_lines_still_give_the_video(lines: str) -> None:
    media = one(lines)
    assert codec_of(media) is Codec.H264
    assert media.format.clock_rate == 90_000
    assert media.proto == "RTP/AVP"


def test_connections_are_inherited_and_know_multicast() -> None:
    description = parse_sdp(
        b"v=0\nc=IN IP4 239.1.2.3/127/3\nm=video 5000/2 RTP/AVP 96\nm=audio 5004 RTP/AVP 8\nc=IN IP6 FF15::101/3\nm=audio 1 RTP/AVP 8\nc=IN IP4 192.0.2.9\n"
    )
    first, second, third = description.media
    assert first.connection == Connection("239.1.2.3", 127, 3)
    assert first.port == 5000
    assert first.connection.is_multicast
    assert second.connection == Connection("FF15::101", None, 3)
    assert second.connection.is_multicast
    assert third.connection == Connection("192.0.2.9")
    assert not third.connection.is_multicast


def test_lines_of_gb_28181_are_kept() -> None:
    description = parse_sdp(
        b"v=0\no=34020000 0 0 IN IP4 192.0.2.7\ns=Play\nc=IN IP4 192.0.2.7\nt=0 0\nm=video 6000 RTP/AVP 96\na=recvonly\na=rtpmap:96 PS/90000\ny=0100000001\nf=v/2/5/25/1/4096a/1/8/1\n"
    )
    (media,) = description.media
    assert dict(media.extra) == {"y": "0100000001", "f": "v/2/5/25/1/4096a/1/8/1"}
    assert media.has("recvonly")
    assert description.name == "Play"


def test_parameter_sets_that_are_no_base64_or_no_sets_are_passed_over() -> None:
    head = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 "
    assert parameter_sets(one(head + "sprop-parameter-sets=!!!,aM4=\n")) == (b"\x68\xce",)
    # The PPS first, padding missing, a start code in front: still SPS, PPS.
    assert parameter_sets(one(head + "sprop-parameter-sets=AAAAAWjO,Z0IA\n")) == (b"\x67\x42", b"\x68\xce")
    assert parameter_sets(one(head + "packetization-mode=1\n")) == ()
    assert (
        parameter_sets(one("m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/8000\na=fmtp:97 mode=AAC-hbr;config=xyz\n")) == ()
    )


def test_aac_in_another_mode_is_kept_as_it_is() -> None:
    lines = "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/8000\na=fmtp:97 mode={};sizelength={}\n"
    assert codec_of(one(lines.format("AAC-lbr", 6))) is Codec.OPAQUE
    assert codec_of(one(lines.format("", 13))) is Codec.AAC


def test_one_video_one_audio_and_every_application_track_are_wanted() -> None:
    sections = [
        "video 0 RTP/AVP 26",
        "video 0 RTP/AVP 96",
        "audio 0 RTP/AVP 14",
        "audio 0 RTP/AVP 8",
        "application 0 RTP/AVP 107",
        "text 0 UDP t140",
    ]
    description = parse_sdp(("v=0\n" + "".join(f"m={item}\na=rtpmap:96 H264/90000\n" for item in sections)).encode())
    assert wanted_media(description.media) == [1, 3, 4]
    assert why_not_recorded(description.media[5]) == "its transport UDP is not plain RTP"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a=x\n" * (MAX_SDP_BYTES // 4 + 1), "bytes"),
        (b"a\n" * 10_000, "lines"),
        (b"m=video 0 RTP/AVP 96\n" * (MAX_MEDIA + 1), "media sections"),
        (b"", "not SDP"),
        (b"<html>", "not SDP"),
    ],
)
def test_what_is_too_large_or_no_description_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        parse_sdp(data)


LINE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["m=video 0 RTP/AVP 96", "m=audio 5000/3 RTP/AVP 97 8", "c=IN IP4 239.0.0.1/5/9", "a=control:x", "s=", "y=1"]
    ),
    st.from_regex(r"a=(rtpmap|fmtp|framerate): ?\d{0,4} [A-Za-z0-9/=;,+ -]{0,40}", fullmatch=True),
    st.from_regex(r"[mc]=[a-z0-9/. ]{0,40}", fullmatch=True),
)


@given(st.lists(LINE, max_size=40), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_text_is_parsed_within_bounds_or_refused(lines: list[str], eol: str) -> None:
    try:
        description = parse_sdp(eol.join(lines).encode())
    except SourceError:
        return
    assert len(description.media) <= MAX_MEDIA
    assert all(0 <= at < len(description.media) for at in wanted_media(description.media))
    for media in description.media:
        assert 0 <= media.port <= 65535
        assert all(0 <= item.payload_type <= 127 for item in media.formats)
        assert len(media.attributes) <= MAX_ATTRIBUTES
        assert all(isinstance(item, bytes) for item in parameter_sets(media))
        assert 0 <= media.framerate <= 1000
