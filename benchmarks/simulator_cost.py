"""What the simulated cameras cost: CPU of the simulator's process for each camera, with a reader that only reads.

    python benchmarks/simulator_cost.py [--cameras 50 200] [--seconds 10]

Measured on a 2-core virtual machine shared with other work, 2026-11-22: 1080p 25 fps 4 Mbit/s H.264 over TCP, 0.061 % of a
core for each of 50 cameras and 0.031 % for each of 200 (6.3 % of one core in all). More cameras share one stamped block,
which is why the share of each falls.
"""

from __future__ import annotations

import argparse
import resource
import select
import socket
import subprocess
import sys
import time

from ingest.simulate.loop import LoopSpec
from ingest.simulate.run import SimulatorOptions, simulated

_BUFFER = bytearray(1 << 20)


def read_only(port: int, cameras: int, seconds: float) -> None:
    """Play every camera over TCP and read every 0.2 s; prints when it began and what came."""
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(cameras)]
    for number, sock in enumerate(socks, 1):
        base = f"rtsp://127.0.0.1:{port}/cam/{number}"
        for line in (
            f"SETUP {base}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1",
            f"PLAY {base} RTSP/1.0\r\nCSeq: 2",
        ):
            sock.sendall(f"{line}\r\n\r\n".encode())
            if b"200 OK" not in sock.recv(4096):
                sys.exit(f"camera {number} does not play")
        sock.setblocking(False)
    time.sleep(3)
    _sweep(socks)
    print("began", flush=True)
    begin = time.monotonic()
    total = 0
    while time.monotonic() - begin < seconds:
        time.sleep(0.2)
        total += _sweep(socks)
    print(f"{total * 8 / (time.monotonic() - begin) / cameras / 1e6:.3f} Mbit/s a camera", flush=True)


def _sweep(socks: list[socket.socket]) -> int:
    total = 0
    for sock in select.select(socks, [], [], 0)[0]:
        while True:
            try:
                got = sock.recv_into(_BUFFER)
            except BlockingIOError:
                break
            if got == 0:
                sys.exit("the simulator closed a connection")
            total += got
    return total


def measure(cameras: int, seconds: float) -> None:
    """Serve from this process to a reader in another, and print this one's CPU."""
    with simulated(SimulatorOptions(cameras=cameras, spec=LoopSpec())) as simulator:
        command = [
            sys.executable,
            __file__,
            "--read",
            str(simulator.port),
            "--cameras",
            str(cameras),
            "--seconds",
            str(seconds),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            before, begin = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
            rate = reader.stdout.readline().strip()
            after, elapsed = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begin
    used = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / elapsed * 100
    print(
        f"{cameras} cameras, {rate}: {used / cameras:.4f} % of a core a camera, {used:.1f} % in all, {after.ru_maxrss // 1024} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--read", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        read_only(given.read, given.cameras[0], given.seconds)
        return
    for cameras in given.cameras:
        measure(cameras, given.seconds)


if __name__ == "__main__":
    main()
