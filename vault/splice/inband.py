"""Parameter sets in band: where the picture's parameters change inside a clip, each key sample has to bring its own.

Sample entries alone make Chromium fail and ffmpeg show garbage after a seek; in band alone loses frames in VLC. Cameras mostly
repeat the sets at each key frame. Where they do not, the clip gets the literal bytes; the stored object stays as it is.
"""

from __future__ import annotations

import numpy as np

from vault.media import Codec, TrackParams
from vault.segment.params import is_parameter_set, is_vcl, nal_type
from vault.source import ByteSource
from vault.splice.lanes import Lane
from vault.splice.layout import Insert
from vault.splice.pieces import Selection

_HEAD_BYTES = 512
_DELIMITERS = {Codec.H264: 9, Codec.H265: 35}


def insert_sets(selection: Selection, lane: Lane) -> list[Insert]:
    """What has to be inserted into a lane with more than one sample entry; the lane's sizes are raised by it.

    Reads the beginning of each key sample. Raises what reading raises.
    """
    if len(lane.entries) < 2:
        return []
    inserts = []
    for take in lane.takes:
        params = lane.entries[take.entry]
        literal = b"".join(len(item).to_bytes(4, "big") + item for item in params.sets)
        source = selection.pieces[take.piece].part.source
        keys = np.flatnonzero(take.table.sync[take.first : take.last])
        at: list[int] = []
        offsets = take.table.offset
        for key in keys.tolist():
            offset, size = int(offsets[take.first + key]), int(take.table.size[take.first + key])
            place = _place(source, offset, size, params)
            if place is not None:
                at.append(offset + place)
                lane.size[take.number + key] += len(literal)
        if at:
            inserts.append(Insert(take.piece, np.array(at, np.int64), literal))
    return inserts


def _place(source: ByteSource, offset: int, size: int, params: TrackParams) -> int | None:
    """Where in a key sample the sets belong: in front of it, behind its access unit delimiter; None where it has them all.

    A change within a GOP leaves the stored sets at the key sample other than the entry's; what the camera sent comes later in
    the sample and wins.
    """
    head = source.read(offset, min(size, _HEAD_BYTES))
    missing = {nal_type(params.codec, item) for item in params.sets}
    at, place = 0, 0
    while at + 5 <= len(head):
        length = int.from_bytes(head[at : at + 4], "big")
        kind = nal_type(params.codec, head[at + 4 : at + 5])
        if is_vcl(params.codec, kind):
            break
        if kind == _DELIMITERS[params.codec] and at == 0 and 4 + length < size:
            place = 4 + length
        elif is_parameter_set(params.codec, kind):
            missing.discard(kind)
        at += 4 + length
    return place if missing else None
