"""The SDP that a simulated camera describes itself with (RFC 8866; fmtp by RFC 6184 §8.1, RFC 7798 §7.1, RFC 3640 §4.1)."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from ingest.simulate.feed import payload_type
from vault.media import Codec, TrackParams


def sdp_of(tracks: Sequence[TrackParams], name: str, base_url: str, with_sets: bool = True) -> str:
    """The session description; `with_sets` False leaves the parameter sets to the stream itself."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        f"s={name}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        f"a=control:{base_url}/",
        "a=range:npt=now-",
    ]
    for number, params in enumerate(tracks):
        kind = "video" if params.codec.is_video else "audio"
        number_pt = payload_type(number, params.codec)
        lines.append(f"m={kind} 0 RTP/AVP {number_pt}")
        lines += [f"a={line}" for line in _attributes(params, number_pt, with_sets)]
        lines.append(f"a=control:trackID={number}")
    return "\r\n".join(lines) + "\r\n"


def _attributes(params: TrackParams, number: int, with_sets: bool) -> list[str]:
    codec, clock = params.codec, params.timescale
    sets = [base64.b64encode(item).decode() for item in params.sets]
    if codec is Codec.H264:
        profile = params.sets[0][1:4].hex().upper()
        fmtp = f"packetization-mode=1;profile-level-id={profile}"
        if with_sets:
            fmtp += f";sprop-parameter-sets={','.join(sets)}"
        return [f"rtpmap:{number} H264/{clock}", f"fmtp:{number} {fmtp}"]
    if codec is Codec.H265:
        lines = [f"rtpmap:{number} H265/{clock}"]
        if with_sets:
            lines.append(f"fmtp:{number} sprop-vps={sets[0]};sprop-sps={sets[1]};sprop-pps={sets[2]}")
        return lines
    if codec is Codec.AAC:
        fmtp = f"streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={params.sets[0].hex()}"
        return [f"rtpmap:{number} mpeg4-generic/{clock}/{params.channels}", f"fmtp:{number} {fmtp}"]
    return [f"rtpmap:{number} {'PCMA' if codec is Codec.ALAW else 'PCMU'}/{clock}"]
