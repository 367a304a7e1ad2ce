"""What a browser is told of a stream before it gets it: `codecs` strings (RFC 6381 §3.3, ISO/IEC 14496-15 annex E)."""

from __future__ import annotations

from collections.abc import Sequence

from vault.errors import Refused
from vault.media import Codec, TrackParams
from vault.segment.params import first_sps, parse_aac


def codec_string(params: TrackParams) -> str:
    """Such as `avc1.640028`, `hvc1.1.6.L93.B0`, `mp4a.40.2`. Raises Refused for a codec that browsers have no name for, Damaged
    for broken parameter sets."""
    match params.codec:
        case Codec.H264:
            return f"avc1.{first_sps(params.codec, params.sets).profile_tier_level.hex().upper()}"
        case Codec.H265:
            return _hevc(first_sps(params.codec, params.sets).profile_tier_level)
        case Codec.AAC:
            return f"mp4a.40.{parse_aac(params.sets[0]).object_type}"
        case _:
            raise Refused(f"{params.codec} cannot be played by MSE or HLS")


def mime_type(tracks: Sequence[TrackParams]) -> str:
    """For `MediaSource.isTypeSupported`, `addSourceBuffer` and a master playlist's CODECS."""
    return f'video/mp4; codecs="{",".join(codec_string(params) for params in tracks)}"'


def _hevc(profile_tier_level: bytes) -> str:
    """profile_space, idc; the 32 compatibility flags turned round; tier and level; constraint bytes without trailing zeros."""
    space, tier, profile = profile_tier_level[0] >> 6, profile_tier_level[0] >> 5 & 1, profile_tier_level[0] & 31
    compatible = int(f"{int.from_bytes(profile_tier_level[1:5], 'big'):032b}"[::-1], 2)
    constraints = [f".{byte:X}" for byte in profile_tier_level[5:11].rstrip(b"\x00")]
    name = f"hvc1.{' ABC'[space].strip()}{profile}.{compatible:X}.{'LH'[tier]}{profile_tier_level[11]}"
    return name + "".join(constraints)
