"""What `camera probe` found, as tables and as JSON. Finding it is in `ingest.offer` and `ingest.probe`."""

from __future__ import annotations

from dataclasses import asdict

import click

from ingest.offer import Offer
from ingest.probe import Probed
from vault.console import duration_text, print_fields, print_table, size_text


def show_offer(offered: Offer) -> None:
    """What the camera says of itself, and every media it has."""
    print_fields(
        {
            "address": offered.url,
            "server": offered.server or None,
            "authentication": offered.auth or "none",
            "transports": ", ".join(offered.transports) or "none of those asked for",
            "session": duration_text(offered.session_timeout_us),
        }
    )
    rows = [
        [item.kind, item.encoding, item.payload_type, item.clock_rate, "yes" if item.recorded else "no", item.note]
        for item in offered.media
    ]
    print_table(["media", "encoding", "type", "clock rate", "recorded", "note"], rows, right=["type", "clock rate"])


def show_probed(found: Probed) -> None:
    """What came, track by track."""
    seconds = found.listened_us / 1e6
    rows = []
    for track in found.tracks:
        params = track.params
        what = "" if params is None else f"{params.width}x{params.height}" if params.codec.is_video else params.name
        if params is not None and params.codec.is_audio:
            what = f"{params.timescale} Hz, {params.channels} channel{'s' * (params.channels != 1)}"
        rate = f"{track.size_bytes * 8 / seconds / 1e3:,.0f} kbit/s"
        rows.append([track.codec, what, f"{track.units / seconds:.1f}", track.key_units, rate])
    print_table(
        ["track", "what", "units a second", "key frames", "bit rate"], rows, right=["units a second", "key frames", "bit rate"]
    )
    click.echo(
        f"it played after {duration_text(found.connect_us)} and sent "
        f"{size_text(sum(track.size_bytes for track in found.tracks))} in {duration_text(found.listened_us)}"
    )
    if found.clock_offset_us is not None:
        click.echo(f"the camera's clock is {found.clock_offset_us / 1e6:+.3f} s from ours")


def probed_as_json(found: Probed, offered: Offer | None) -> dict[str, object]:
    """Both for programs."""
    seconds = found.listened_us / 1e6
    tracks = [
        {
            "codec": track.codec, "clock_rate": track.clock_rate,
            "width": track.params.width if track.params else None, "height": track.params.height if track.params else None,
            "channels": track.params.channels if track.params else None,
            "units_per_second": round(track.units / seconds, 3), "key_units": track.key_units,
            "bits_per_second": round(track.size_bytes * 8 / seconds),
        }
        for track in found.tracks
    ]  # fmt: skip
    return {
        "offer": None if offered is None else asdict(offered),
        "recordable": found.recordable, "tracks": tracks, "connect_us": found.connect_us, "listened_us": found.listened_us,
        "lost_packets": found.lost_packets, "clock_offset_us": found.clock_offset_us,
    }  # fmt: skip
