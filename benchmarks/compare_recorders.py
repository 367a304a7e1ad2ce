"""CPU per camera of recording, end to end, beside its rivals on the same cameras in one run.

    python benchmarks/compare_recorders.py [--cameras 50] [--seconds 30] [--rounds 2]

Contenders, one after the other in each round: streamvault with the compiled and the interpreted inner loop (supervisor, worker,
hash, sync, commit, local store, everything), `ffmpeg -c copy -f segment` with a process per camera, a PyAV thread per camera,
and `floor.c`: recv and write, nothing else. The cameras are simulated by another process, whose cost is printed apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Cost, cost

ROOT = Path(__file__).resolve().parent.parent
SETTLE_SECONDS = 12
VAULT = [sys.executable, "-m", "streamvault"]


def run(words: list[str], **more: str) -> None:
    subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **more})


def ended(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def simulator(cameras: int, bitrate: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The cameras: the process and their addresses."""
    words = [*VAULT, "simulate", "rtsp", "--cameras", str(cameras), "--bitrate", bitrate, "--port", "0"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        yield process, [f"{first.rpartition('/')[0]}/{number + 1}" for number in range(cameras)]
    finally:
        ended(process)


@contextmanager
def streamvault(urls: list[str], folder: Path, workers: int, interpreted: bool) -> Iterator[list[int]]:
    data = folder / "data"
    run([*VAULT, "--data", str(data), "init"])
    rows = "".join(f"cam-{number},{url},tcp\n" for number, url in enumerate(urls, 1))
    (folder / "cameras.csv").write_text("id,url,transport\n" + rows)
    run([*VAULT, "--data", str(data), "camera", "import", str(folder / "cameras.csv")])
    with (data / "streamvault.toml").open("a") as config:
        config.write(f"[recording]\nworkers = {workers}\n")
    env = {**os.environ, "STREAMVAULT_INNER": "interpreted" if interpreted else "compiled"}
    words = [*VAULT, "--data", str(data), "serve", "--only", "ingest"]
    process = subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
    try:
        yield [process.pid]
    finally:
        ended(process)


@contextmanager
def ffmpeg(urls: list[str], folder: Path) -> Iterator[list[int]]:
    started: list[subprocess.Popen[str]] = []
    try:
        for number, url in enumerate(urls):
            (folder / str(number)).mkdir()
            words = ["ffmpeg", "-nostdin", "-v", "quiet", "-rtsp_transport", "tcp", "-i", url, "-c", "copy", "-f", "segment"]
            words += ["-segment_time", "60", "-segment_format", "mp4", str(folder / str(number) / "%05d.mp4")]
            started.append(subprocess.Popen(words, text=True))
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            ended(process)


@contextmanager
def other(words: list[str]) -> Iterator[list[int]]:
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield [process.pid]
    finally:
        ended(process)


def contenders(urls: list[str], folder: Path, workers: int, floor: Path) -> dict[str, Callable[[Path], object]]:
    host, _, port = urls[0].removeprefix("rtsp://").partition("/")[0].rpartition(":")
    return {
        "streamvault, compiled": lambda at: streamvault(urls, at, workers, False),
        "ffmpeg -c copy -f segment": lambda at: ffmpeg(urls, at),
        "floor.c, sweep of 200 ms": lambda at: other([str(floor), host, port, str(len(urls)), str(at), "200"]),
        "floor.c, sweep of 1 s": lambda at: other([str(floor), host, port, str(len(urls)), str(at), "1000"]),
        "streamvault, interpreted": lambda at: streamvault(urls, at, workers, True),
        "PyAV, a thread per camera": lambda at: other(
            [sys.executable, str(ROOT / "benchmarks/pyav_threads.py"), str(at), *urls]
        ),
    }


def measure(make: Callable[[Path], object], seconds: int) -> tuple[Cost, int]:
    """What a contender costs after it has settled, and the bytes it wrote while it was looked at."""
    folder = Path(tempfile.mkdtemp(prefix="compare-recorders-"))
    try:
        with make(folder) as pids:  # type: ignore[attr-defined]
            time.sleep(SETTLE_SECONDS)
            before, size = cost(pids), written(folder)
            time.sleep(seconds)
            return cost(pids).since(before), written(folder) - size
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def written(folder: Path) -> int:
    """Bytes in the folder; a hard link counts once."""
    sizes = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=50)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names that begin so")
    given = parser.parse_args()
    floor = Path(tempfile.mkdtemp(prefix="floor-")) / "floor"
    run(["cc", "-O2", "-D_GNU_SOURCE", "-o", str(floor), str(ROOT / "benchmarks/floor.c")])
    found: dict[str, list[float]] = {}
    with simulator(given.cameras, given.bitrate) as (camera_process, urls):
        chosen = contenders(urls, Path(), given.workers, floor)
        if given.only:
            chosen = {name: make for name, make in chosen.items() if name.startswith(tuple(given.only))}
        for number in range(given.rounds):
            for name, make in chosen.items():
                before = cost([camera_process.pid])
                spent, size = measure(make, given.seconds)
                simulated = cost([camera_process.pid]).since(before)
                share = 100 / given.seconds / given.cameras
                found.setdefault(name, []).append(spent.cpu_s * share)
                print(
                    f"round {number + 1}  {name:28} {spent.cpu_s * share:.4f} % of a core per camera"
                    f"  (user {spent.user_s * share:.4f})  {size * 8 / given.seconds / given.cameras / 1e6:.2f} Mbit/s kept"
                    f"  {spent.resident_mb:.0f} MB  cameras {simulated.cpu_s * 100 / (given.seconds + SETTLE_SECONDS) / given.cameras:.4f} %",
                    flush=True,
                )
    shutil.rmtree(floor.parent)
    base = statistics.median(found.get("ffmpeg -c copy -f segment", [0]))
    ground = statistics.median(found.get("floor.c, sweep of 1 s", [0]))
    print(
        f"\n{given.cameras} cameras, {given.bitrate}bit/s H.264 over TCP, median of {given.rounds} rounds of {given.seconds} s"
    )
    for name, values in found.items():
        middle = statistics.median(values)
        against = f"{middle / base:.3f} x ffmpeg" if base else ""
        print(f"{name:28} {middle:.4f} %   {against}   {f'{middle / ground:.2f} x floor (1 s)' if ground else ''}")


if __name__ == "__main__":
    main()
