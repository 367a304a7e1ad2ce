"""A rival: one PyAV thread per camera that copies packets into MP4 files of a minute. `pyav_threads.py FOLDER URL…`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import av


def record(url: str, folder: Path) -> None:
    with av.open(url, options={"rtsp_transport": "tcp"}) as source:
        stream = source.streams.video[0]
        number, output, target, begun = 0, None, None, 0.0
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            at = float(packet.dts * stream.time_base)
            if packet.is_keyframe and (output is None or at - begun >= 60):
                if output is not None:
                    output.close()
                output = av.open(str(folder / f"{number}.mp4"), "w", options={"movflags": "frag_keyframe+empty_moov"})
                target = output.add_stream_from_template(stream)
                number, begun = number + 1, at
            if output is not None:
                packet.stream = target
                output.mux(packet)


def main() -> None:
    folder = Path(sys.argv[1])
    for number, url in enumerate(sys.argv[2:]):
        (folder / str(number)).mkdir()
        threading.Thread(target=record, args=(url, folder / str(number)), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
