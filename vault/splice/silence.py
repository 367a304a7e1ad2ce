"""Audio that says nothing: whole samples to stand where a camera's audio is missing, so that sound and picture stay together.

Players take audio as the clock and most of them play samples back to back whatever the tables say; a hole in the tables would
make all later sound too early.
"""

from __future__ import annotations

from vault.errors import Damaged
from vault.media import Codec, TrackParams
from vault.segment.params import parse_aac

_LC = 2


def silent_sample(params: TrackParams, ticks: int) -> bytes | None:
    """One sample of silence that lasts `ticks`; None where we cannot make one (AAC other than LC, more than two channels)."""
    match params.codec:
        case Codec.ALAW:
            return b"\xd5" * (ticks * params.channels)
        case Codec.ULAW:
            return b"\xff" * (ticks * params.channels)
        case Codec.AAC:
            return _silent_aac(params)
        case _:
            return None


def nominal_ticks(params: TrackParams) -> int:
    """How long one sample of this track usually lasts: an AAC frame, 20 ms of G.711 (RFC 3551 §4.2)."""
    if params.codec is Codec.AAC:
        try:
            return parse_aac(params.sets[0]).frame_samples
        except (Damaged, IndexError):
            return 1024
    return max(params.timescale // 50, 1)


def _silent_aac(params: TrackParams) -> bytes | None:
    """A raw_data_block without spectral data (ISO/IEC 14496-3 §4.4.2.1): one element whose max_sfb is 0, then the end mark."""
    try:
        if parse_aac(params.sets[0]).object_type != _LC:
            return None
    except (Damaged, IndexError):
        return None
    # individual_channel_stream: global_gain 8 bits; ics_info: reserved, window sequence, window shape, max_sfb 6, no predictor;
    # no pulse data, no TNS, no gain control.
    channel = "01100100" + "0" + "00" + "0" + "000000" + "0" + "0" + "0" + "0"
    if params.channels == 1:
        bits = "000" + "0000" + channel
    elif params.channels == 2:
        bits = "001" + "0000" + "0" + channel + channel
    else:
        return None
    bits += "111"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
