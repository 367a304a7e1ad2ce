"""A clip of a live camera shows the pictures of its range and no others, by the clock that is burnt into them."""

from __future__ import annotations

from pathlib import Path

import av

from access.footage import Footage
from ingest.simulate.glyphs import read_clock
from ingest.simulate.live import LiveOptions, LiveSpec, start_live
from tests.support.node import wait_until
from tests.support.station import station
from vault.clock import SystemClock
from vault.grant import system_grant
from vault.splice.plan import plan_clip
from vault.timebase import US, Interval


def test_live_pictures_are_where_their_own_clock_says(tmp_path: Path) -> None:
    """The instant burnt into each picture of a clip over a segment's border lies inside the range that was asked for."""
    live = start_live(LiveOptions((LiveSpec("cam-1 gate", width=448, height=252, fps=25, gop=25),)), SystemClock())
    try:
        with station(tmp_path) as made:
            made.add("cam-1", live.url(1))
            made.start()
            wait_until(lambda: len(made.files("cam-1")) >= 2, 40, "two segments")
            border_us = made.files("cam-1")[1].key.start_us
            wanted = Interval(border_us - 700_000, border_us + 900_000)
            wait_until(lambda: made.status("cam-1")["recorded_to_us"] > wanted.end_us + US, 20, "the range recorded")
            with made.open() as node:
                footage = Footage(node.environment, node.spool, node.store, node.clock)
                with footage.parts(system_grant("test"), made.numbers["cam-1"], wanted) as parts:
                    clip = plan_clip(parts, wanted)
                    path = tmp_path / "clip.mp4"
                    path.write_bytes(b"".join(clip.chunks()))
            made.stop()
    finally:
        live.stop()
    with av.open(str(path)) as container:
        shown = [read_clock(frame.to_ndarray(format="gray")) for frame in container.decode(video=0) if frame.time >= 0]
    assert all(shown)
    instants = [instant for instant in shown if instant is not None]
    assert len(instants) == 40
    assert instants == sorted(instants)
    # A picture is stamped before it is encoded and sent: it was recorded that much later.
    delays = [wanted.start_us + number * 40_000 - instant for number, instant in enumerate(instants)]
    assert max(delays) - min(delays) < 80_000
    assert -40_000 < min(delays) < US
