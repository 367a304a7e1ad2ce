"""From SDP media sections to tracks: what is understood, what is kept as it is, what is refused."""

from __future__ import annotations

import base64

import pytest

from ingest.rtp import engine
from ingest.rtp.engine import AacTrack, G711Track, OpaqueTrack, VideoTrack
from ingest.rtp.tracks import MadeTrack, make_track
from ingest.rtsp.sdp import parse_sdp
from tests.support.packetize import Packetizer, aac_hbr, interleave
from tests.support.rtploop import Receiver
from tests.support.streams import encode_aac, encode_h264, encode_h265, parameter_sets
from vault.errors import SourceRefused
from vault.media import Codec, TrackParams


def made(*lines: str) -> MadeTrack:
    sdp = "v=0\r\ns=-\r\n" + "".join(f"{line}\r\n" for line in lines)
    return make_track(3, parse_sdp(sdp.encode()).media[0])


def text(*sets: bytes) -> str:
    return ",".join(base64.b64encode(one).decode() for one in sets)


def test_h264_with_its_parameter_sets() -> None:
    sets = parameter_sets(encode_h264()[0])
    one = made(
        "m=video 0 RTP/AVP 97", "a=rtpmap:97 H264/90000", f"a=fmtp:97 packetization-mode=1;sprop-parameter-sets={text(*sets)}"
    )
    assert isinstance(one.track, VideoTrack)
    assert (one.track.index, one.track.payload_type, one.track.hevc) == (3, 97, False)
    assert (one.codec, one.clock_rate) == (Codec.H264, 90_000)
    assert one.params == TrackParams(Codec.H264, 90_000, sets, 160, 96)


def test_h265_with_its_parameter_sets() -> None:
    vps, sps, pps = parameter_sets(encode_h265()[0], h265=True)
    one = made(
        "m=video 0 RTP/AVP 98",
        "a=rtpmap:98 H265/90000",
        f"a=fmtp:98 sprop-vps={text(vps)};sprop-sps={text(sps)};sprop-pps={text(pps)}",
    )
    assert isinstance(one.track, VideoTrack)
    assert one.track.hevc
    assert one.params == TrackParams(Codec.H265, 90_000, (vps, sps, pps), 160, 96)


@pytest.mark.parametrize("fmtp", ["", "sprop-parameter-sets=", "sprop-parameter-sets=Z2dn,aA==", "sprop-parameter-sets=!!"])
def test_video_without_usable_parameter_sets_has_none_yet(fmtp: str) -> None:
    one = made("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", f"a=fmtp:96 {fmtp}")
    assert (one.codec, one.params) == (Codec.H264, None)


@pytest.mark.parametrize(
    ("encoding", "fmtp"),
    [("H264", "packetization-mode=2"), ("H265", "sprop-max-don-diff=3"), ("H265", "sprop-depack-buf-nalus=1")],
)
def test_nal_units_out_of_decoding_order_are_refused_with_the_setting_that_does_it(encoding: str, fmtp: str) -> None:
    with pytest.raises(SourceRefused, match=fmtp):
        made("m=video 0 RTP/AVP 96", f"a=rtpmap:96 {encoding}/90000", f"a=fmtp:96 {fmtp}")
    assert made("m=video 0 RTP/AVP 96", "a=rtpmap:96 H265/90000", "a=fmtp:96 sprop-max-don-diff=0").codec is Codec.H265


def aac(config: bytes, rate: int, more: str = "") -> MadeTrack:
    fmtp = f"streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={config.hex()}{more}"
    return made("m=audio 0 RTP/AVP 96", f"a=rtpmap:96 MPEG4-GENERIC/{rate}/2", f"a=fmtp:96 {fmtp}")


def test_aac_as_its_config_says() -> None:
    stream = encode_aac()
    one = aac(stream.config, 48_000)
    assert isinstance(one.track, AacTrack)
    assert (one.clock_rate, one.track.unit_ticks) == (48_000, 1024)
    assert one.params == TrackParams(Codec.AAC, 48_000, (stream.config,), channels=2)
    sender = Packetizer()
    receiver = Receiver(engine, [OpaqueTrack(0)] * 3 + [one.track])
    receiver.stream(interleave([sender.packet(0, aac_hbr([stream.frames[0].data]), True)], 6))
    assert [unit.data for unit in receiver.units] == [stream.frames[0].data]


def test_a_clock_behind_spectral_band_replication_counts_twice_the_samples() -> None:
    # AudioSpecificConfig of HE-AAC with a core of 24 kHz and an output of 48 kHz, signalled explicitly.
    one = aac(bytes.fromhex("2b118800"), 48_000)
    assert isinstance(one.track, AacTrack)
    assert one.track.unit_ticks == 2048


@pytest.mark.parametrize(
    ("config", "more"),
    [(b"", ""), (b"\xff", ""), (b"\x00\x00", ""), (b"\x11\x90", ";ctsdeltalength=8"), (b"\x11\x90", ";sizelength=x"), (b"\x11\x90", ";constantduration=0")],
)  # fmt: skip
def test_aac_that_does_not_describe_itself_is_kept_as_it_is(config: bytes, more: str) -> None:
    fmtp = f"mode=AAC-hbr;config={config.hex()}{more}"
    one = made("m=audio 0 RTP/AVP 96", "a=rtpmap:96 mpeg4-generic/48000/2", f"a=fmtp:96 {fmtp}")
    assert isinstance(one.track, OpaqueTrack)
    assert (one.codec, one.clock_rate) == (Codec.OPAQUE, 48_000)
    assert one.params is not None
    assert one.params.name == f"MPEG4-GENERIC/48000 {fmtp}"


@pytest.mark.parametrize(("number", "codec"), [(0, Codec.ULAW), (8, Codec.ALAW)])
def test_g711_needs_no_rtpmap(number: int, codec: Codec) -> None:
    one = made(f"m=audio 0 RTP/AVP {number}")
    assert isinstance(one.track, G711Track)
    assert one.track.payload_type == number
    assert one.params == TrackParams(codec, 8000, channels=1)


@pytest.mark.parametrize(
    ("lines", "name", "rate"),
    [
        (("m=application 0 RTP/AVP 107", "a=rtpmap:107 vnd.onvif.metadata/90000"), "VND.ONVIF.METADATA/90000", 90_000),
        (("m=audio 0 RTP/AVP 99", "a=rtpmap:99 G726-32/8000"), "G726-32/8000", 8000),
        (("m=audio 0 RTP/AVP 8", "a=rtpmap:8 PCMA/8001"), "PCMA/8001", 8001),
        (("m=video 0 RTP/AVP 96",), "96/90000", 90_000),
        (("m=video 0 RTP/AVP 96", "a=rtpmap:96 SVAC/90000", "a=fmtp:96 " + "x" * 5000), "SVAC/90000 " + "x" * 1013, 90_000),
    ],
)
def test_whatever_else_it_is_is_kept_under_its_name(lines: tuple[str, ...], name: str, rate: int) -> None:
    one = made(*lines)
    assert isinstance(one.track, OpaqueTrack)
    assert (one.codec, one.clock_rate) == (Codec.OPAQUE, rate)
    assert one.params is not None
    assert (one.params.name, one.params.timescale) == (name, rate)
