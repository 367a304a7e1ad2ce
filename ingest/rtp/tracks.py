"""From one media section of an SDP to the track that takes its payloads apart and the parameters known so far.

Choosing which media are set up belongs to `ingest.rtsp.formats`, the payload formats themselves to `ingest.rtp.video` and
`ingest.rtp.audio`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingest.rtp.engine import AacTrack, G711Track, OpaqueTrack, Track, VideoTrack
from ingest.rtsp.formats import codec_of, parameter_sets
from ingest.rtsp.sdp import Format, Media
from vault.errors import Damaged, SourceRefused
from vault.media import Codec, TrackParams
from vault.segment.params import parse_aac, video_params
from vault.timebase import VIDEO_RATE

MAX_NAME = 1024

# AU header fields besides size and index (RFC 3640 §4.1); a stream that uses one is kept as it is.
_OTHER_AU_FIELDS = (
    "ctsdeltalength",
    "dtsdeltalength",
    "randomaccessindication",
    "streamstateindication",
    "auxiliarydatasizelength",
)


@dataclass(frozen=True, slots=True)
class MadeTrack:
    """A track to receive with. `clock_rate`: ticks a second of its timestamps. `params` None: a video whose parameter sets
    the description does not give, so they will come in band.
    """

    track: Track
    codec: Codec
    clock_rate: int
    params: TrackParams | None


def make_track(index: int, media: Media, chosen: Format | None = None) -> MadeTrack:
    """The track for `chosen`, or for the format that the server prefers; `index` will stand in its frames.

    What is unknown or does not describe itself well enough becomes an opaque track. Raises SourceRefused for video whose
    NAL units come in another order than decoding needs (RFC 6184 §6.2 interleaved mode, DONL of RFC 7798 §4.4).
    """
    item = chosen or media.format
    codec = codec_of(media, item)
    payload_type = item.payload_type if item.encoding else -1
    sets = parameter_sets(media, item)
    if codec.is_video:
        refuse_other_order(codec, item)
        return MadeTrack(VideoTrack(index, codec, payload_type), codec, VIDEO_RATE, _known_video(codec, sets))
    made = None
    if codec is Codec.AAC and sets:
        made = _aac(index, item, sets[0], payload_type)
    elif codec.is_audio and codec is not Codec.AAC:
        made = _g711(index, item, codec, payload_type)
    return made or _opaque(index, item, payload_type)


def refuse_other_order(codec: Codec, item: Format) -> None:
    """Raises SourceRefused when NAL units are sent in another order than decoding order; its message says how to change it."""
    if codec is Codec.H264 and item.parameter("packetization-mode").strip() == "2":
        raise SourceRefused(
            "the camera sends H.264 in interleaved mode (packetization-mode=2, RFC 6184 §6.2), which cannot be recorded: "
            "set it to mode 0 or 1"
        )
    for name in ("sprop-max-don-diff", "sprop-depack-buf-nalus"):
        value = item.parameter(name).strip()
        if codec is Codec.H265 and value.strip("0"):
            raise SourceRefused(
                f"the camera sends H.265 with decoding order numbers ({name}={value[:20]}, RFC 7798 §4.4), which cannot be "
                "recorded: turn interleaving of NAL units off"
            )


def _known_video(codec: Codec, sets: tuple[bytes, ...]) -> TrackParams | None:
    try:
        return video_params(codec, sets)
    except Damaged:
        return None


def _aac(index: int, item: Format, config: bytes, payload_type: int) -> MadeTrack | None:
    if any(item.parameter(name).strip("0") for name in _OTHER_AU_FIELDS):
        return None
    try:
        parsed = parse_aac(config)
        # The RTP clock may count samples behind the spectral band replication while the core runs at half its rate.
        ticks = _number(item, "constantduration", parsed.frame_samples * item.clock_rate // parsed.rate)
        size_bits, index_bits = _number(item, "sizelength", 13), _number(item, "indexlength", 3)
        track = AacTrack(index, ticks, size_bits, index_bits, _number(item, "indexdeltalength", 3), payload_type)
    except (Damaged, ValueError, OverflowError):
        return None
    params = TrackParams(Codec.AAC, item.clock_rate, (config,), channels=parsed.channels)
    return MadeTrack(track, Codec.AAC, item.clock_rate, params)


def _number(item: Format, name: str, usual: int) -> int:
    text = item.parameter(name).strip()
    return int(text[:9]) if text else usual


def _g711(index: int, item: Format, codec: Codec, payload_type: int) -> MadeTrack | None:
    channels = item.channels or 1
    try:
        track = G711Track(index, codec is Codec.ALAW, item.clock_rate, channels, payload_type)
    except (ValueError, OverflowError):
        return None
    return MadeTrack(track, codec, item.clock_rate, TrackParams(codec, item.clock_rate, channels=channels))


def _opaque(index: int, item: Format, payload_type: int) -> MadeTrack:
    rate = item.clock_rate or VIDEO_RATE
    name = f"{item.encoding or item.payload_type}/{rate}"
    params = TrackParams(Codec.OPAQUE, rate, name=f"{name} {item.fmtp_text}".strip()[:MAX_NAME])
    if item.channels:
        params = replace(params, channels=item.channels)
    return MadeTrack(OpaqueTrack(index, payload_type), Codec.OPAQUE, rate, params)
