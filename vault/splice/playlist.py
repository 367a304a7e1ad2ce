"""The text of an HLS media playlist (RFC 8216 §4.3) over virtual fragments. Which addresses they have is the server's business."""

from __future__ import annotations

from collections.abc import Callable

from vault.splice.fragments import Fragments
from vault.timebase import US, format_us


def media_playlist(
    fragments: Fragments, init_uri: Callable[[int], str], media_uri: Callable[[int], str], *, ended: bool = True
) -> str:
    """`init_uri` and `media_uri` give the address of an init or media segment by number. `ended` False: more will be appended.

    Each segment carries its wall clock; after a gap or a change of parameters there is a discontinuity, and with other parameters
    another init segment. Playback begins at the range that was asked for, inside the first GOP.
    """
    longest = max(item.duration_us for item in fragments.items)
    offset = max(fragments.wanted.start_us - fragments.interval.start_us, 0) / US
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{-(-longest // US)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if ended else 'EVENT'}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-START:TIME-OFFSET={offset:.6f},PRECISE=YES",
    ]
    init = -1
    for number, item in enumerate(fragments.items):
        if item.breaks:
            lines.append("#EXT-X-DISCONTINUITY")
        if item.init != init:
            init = item.init
            lines.append(f'#EXT-X-MAP:URI="{init_uri(init)}"')
        # RFC 8216 §4.3.2.6: milliseconds are enough for players, and more digits break some.
        when = format_us(item.start_us)[:-4] + "Z"
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{when}", f"#EXTINF:{item.duration_us / US:.6f},", media_uri(number)]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"
