"""Run by the system's Python: plays a file through GStreamer and prints each picture's running time and first bytes' number.

`gst_decode.py FILE`: one line of JSON, a list of [running time in ns, painted number]. Knows nothing of what is expected.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

BITS, WIDTH, HEIGHT = 10, 160, 96


def number_of(luma: bytes) -> int:
    """As `tests.support.numbered.read_number`, without numpy, which the system may not have."""
    number = 0
    for bit in range(BITS):
        x = int((bit + 0.5) * WIDTH / BITS)
        top, bottom = luma[HEIGHT // 4 * WIDTH + x] > 128, luma[HEIGHT * 3 // 4 * WIDTH + x] > 128
        if top == bottom:
            return -1
        number += top << bit
    return number


def main() -> None:
    Gst.init(None)
    pipeline = Gst.parse_launch(
        "filesrc name=file ! qtdemux name=d d.video_0 ! queue ! decodebin ! videoconvert ! videoscale "
        f"! video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT} ! appsink name=sink sync=false"
    )
    pipeline.get_by_name("file").set_property("location", sys.argv[1])
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    seen = []
    while (sample := sink.emit("pull-sample")) is not None:
        buffer = sample.get_buffer()
        good, view = buffer.map(Gst.MapFlags.READ)
        luma = bytes(view.data) if good else b""
        buffer.unmap(view)
        seen.append([sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts), number_of(luma)])
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message is not None:
        sys.exit(str(message.parse_error()))
    sys.stdout.write(json.dumps(seen) + "\n")


main()
