"""From a media section to what can be recorded of it: codec, parameter sets out of band, and which media to set up."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from ingest.rtsp.sdp import Format, Media
from vault.media import Codec

MAX_SET_BYTES = 65_536
MAX_SETS = 64
MAX_TRACKS = 8

_CODECS = {
    ("video", "H264"): Codec.H264,
    ("video", "H265"): Codec.H265,
    ("video", "HEVC"): Codec.H265,
    ("audio", "MPEG4-GENERIC"): Codec.AAC,
    ("audio", "PCMA"): Codec.ALAW,
    ("audio", "PCMU"): Codec.ULAW,
}


def codec_of(media: Media, chosen: Format | None = None) -> Codec:
    """How a media's format is recorded; OPAQUE for what is kept without being understood.

    AAC only in the mode AAC-hbr of RFC 3640 §3.3.6, or without a mode but with its usual sizes; G.711 at 8 kHz mono or more.
    """
    item = chosen or media.format
    codec = _CODECS.get((media.kind, item.encoding), Codec.OPAQUE)
    if codec is Codec.AAC:
        mode = item.parameter("mode").lower()
        if mode != "aac-hbr" and not (mode == "" and item.parameter("sizelength") == "13"):
            return Codec.OPAQUE
    if codec.is_audio and not item.clock_rate:
        return Codec.OPAQUE
    return codec


def parameter_sets(media: Media, chosen: Format | None = None) -> tuple[bytes, ...]:
    """What the description gives of `TrackParams.sets`, in that order: VPS, SPS, PPS, or the AudioSpecificConfig; often empty.

    H.264: `sprop-parameter-sets` (RFC 6184 §8.1); H.265: `sprop-vps`, `-sps`, `-pps` (RFC 7798 §7.1); AAC: `config`
    (RFC 3640 §4.1). What is not base64, or hexadecimal for AAC, is passed over: cameras send the sets in band as well.
    """
    item = chosen or media.format
    codec = codec_of(media, item)
    if codec is Codec.H264:
        sets = _base64_sets(item.parameter("sprop-parameter-sets"))
        return tuple(sorted((one for one in sets if one[0] & 31 in (7, 8)), key=lambda one: one[0] & 31))
    if codec is Codec.H265:
        wanted = ((32, "sprop-vps"), (33, "sprop-sps"), (34, "sprop-pps"))
        return tuple(
            one for number, name in wanted for one in _base64_sets(item.parameter(name)) if (one[0] >> 1) & 63 == number
        )
    if codec is Codec.AAC:
        try:
            config = bytes.fromhex(item.parameter("config")[:512])
        except ValueError:
            return ()
        return (config,) if len(config) >= 2 else ()
    return ()


def _base64_sets(text: str) -> list[bytes]:
    out: list[bytes] = []
    for part in text.split(",")[:MAX_SETS]:
        part = part.strip()
        try:
            raw = base64.b64decode(part + "=" * (-len(part) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        # Some cameras put an Annex B start code in front.
        raw = raw.removeprefix(b"\x00\x00\x00\x01").removeprefix(b"\x00\x00\x01").rstrip(b"\x00")
        if 2 <= len(raw) <= MAX_SET_BYTES:
            out.append(raw)
    return out


def is_rtp(media: Media) -> bool:
    """Whether a media runs over RTP at all, in a profile without encryption; an empty profile is taken for RTP/AVP."""
    return media.proto in ("", "RTP/AVP", "RTP/AVPF", "RTP/AVP/TCP", "RTP/AVP/UDP", "AVP")


def why_not_recorded(media: Media) -> str | None:
    """A reason why a media cannot be recorded at all, for people; None when it can, if only as an opaque track."""
    if not is_rtp(media):
        return f"its transport {media.proto[:40]} is not plain RTP"
    if media.kind not in ("video", "audio", "application", "text"):
        return f"a medium of kind '{media.kind[:40]}' is not known"
    return None


def wanted_media(media: Sequence[Media]) -> list[int]:
    """Positions in `media` of what a camera's recording holds: one video, one audio, every application track; at most 8.

    Of several video or audio sections the first in a codec we understand is taken, else the first. A back channel
    (audio toward the camera, ONVIF Streaming §5.3) is left out: it is marked `sendonly` where its siblings are `recvonly`.
    """
    receiving = any(item.has("recvonly") for item in media)
    usable = [
        (at, item)
        for at, item in enumerate(media)
        if why_not_recorded(item) is None and not (receiving and item.kind == "audio" and item.has("sendonly"))
    ]
    chosen: list[int] = []
    for kind in ("video", "audio"):
        of_kind = [(at, item) for at, item in usable if item.kind == kind]
        known = [pair for pair in of_kind if codec_of(pair[1]) is not Codec.OPAQUE]
        chosen += [at for at, _ in (known or of_kind)[:1]]
    chosen += [at for at, item in usable if item.kind in ("application", "text")]
    return sorted(chosen[:MAX_TRACKS])
