"""A short life of an engine in one thread, for `strace` to count and to hit: every step is the product's own.

Run as a program: `short_life.py DATA SOCKET`. Each thing that was acknowledged is said on the socket, which is no call that
changes a disk. It ends with exit code 3 when the product refused with an error of its own. The clock is the test's, so that
two runs make the same calls. `go_on` is the next start.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from index.cameras import NewCamera
from index.node import Node, init_node, open_node
from ingest.adopter import Adopter
from ingest.closer import Closer, Keep
from ingest.jobs import Appended, Finished, Opened
from ingest.keeper import Keeper
from ingest.lanes import Lanes
from ingest.uploader import Uploader
from ingest.writer import Writer
from vault.clock import ManualClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import NotFound, StreamvaultError
from vault.ids import CameraNumber, SegmentKey
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.media import Codec, SegmentFlag, SegmentHead, TrackParams
from vault.segment.build import TrackRun
from vault.timebase import US

START_US = 1_795_000_000_000_000
DAYS_US = 40 * 86_400 * US
ONE = CameraNumber(1)
ALAW = TrackParams(Codec.ALAW, 8_000, channels=1)
BATCH = "batch-1"
REFUSED = 3
Say = Callable[[dict[str, Any]], None]


def live(data: Path, say: Say) -> None:
    """Set up, record two segments, upload one, remove it when its time is over; changes of the registry in between."""
    clock = ManualClock(START_US)
    folder = init_node(data, lambda _: Config(), clock)
    say({"init": True})
    with open_node(folder, Config(), clock) as node:
        node.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/stream"))
        say({"camera": "cam-1", "name": ""})
        node.cameras.begin_recording(ONE, START_US)
        epoch = node.catalog.raise_epoch(ONE)
        node.catalog.open_gap(ONE, START_US, "connecting")
        first = record(node, clock, START_US + US, epoch, 0, say)
        upload(node)
        node.cameras.set("cam-1", name="gate")
        say({"camera": "cam-1", "name": "gate"})
        record(node, clock, START_US + 2 * US, epoch, 1, say)
        remove(node, clock, first, say)


def record(node: Node, clock: ManualClock, start_us: int, epoch: int, sequence: int, say: Say) -> SegmentKey:
    """A second of sound in two fragments, written, closed and committed."""
    failures: list[Exception] = []

    def failed(camera: CameraNumber, epoch: int, error: Exception) -> None:
        failures.append(error)

    closer = Closer(
        node.spool, node.catalog, clock, node.config.retention, lambda _: Keep("general", 30),
        sync_us=US, fenced=lambda camera, epoch: None, failed=failed,
    )  # fmt: skip
    closer.took(ONE, epoch)
    writer = Writer(node.spool, closer.finish, failed)
    opened = Opened(SegmentHead(SegmentKey(ONE, start_us, epoch, sequence), "cam-1", 0.0, None, SegmentFlag.NONE), (ALAW,))
    halves = [TrackRun(0, [at * 160 for at in some], None, [160] * 25, None) for some in (range(25), range(25, 50))]
    fragments = [Appended(opened, [half], [bytes([sequence + 1]) * 4000]) for half in halves]
    writer.submit([opened, *fragments, Finished(opened, start_us + US, [8000], SegmentFlag.NONE, None)])
    # In this thread, so that strace counts one sequence of calls.
    writer._queue.put(None)
    writer._run()
    clock.advance(US)
    for _ in range(3):
        closer.cycle()
    if failures:
        raise failures[0]
    row = node.catalog.row(opened.head.key)
    assert row is not None
    say({"segment": row.key.object_key, "blake3": row.blake3.hex()})
    return row.key


def submit_here(lanes: Lanes[Any], job: Callable[[], Any]) -> None:
    """Puts in this thread, in the place of `Lanes.submit`: strace counts the calls of each thread by themselves."""
    lanes.busy += 1
    lanes._results.put(job())


def upload(node: Node) -> None:
    uploader = Uploader(node.spool, node.store, node.catalog, node.registry, node.clock)
    while uploader.run_once():
        pass


def remove(node: Node, clock: ManualClock, key: SegmentKey, say: Say) -> None:
    """D2 to D6 for a segment whose time is over."""
    clock.advance(DAYS_US)
    assert not node.catalog.doom([key], at_us=clock.now_us(), reason="expired").refused
    say({"doomed": key.object_key})
    finish_removal(node)
    say({"erased": key.object_key})


def finish_removal(node: Node) -> None:
    """From wherever it stands."""
    keys = [row.key for row, _ in node.catalog.doomed()]
    if not keys:
        return
    node.catalog.mark_deleting(keys, BATCH)
    body: dict[str, Value] = {"segments": len(keys)}
    node.ledger.append([NewEntry(Kind.DELETION, "retention", {"batch": BATCH}, body, id=f"deletion:{BATCH}")], unless_since=0)
    for failure in node.store.delete(key.object_key for key in keys):
        raise failure.error
    node.catalog.erase(keys)


def go_on(data: Path, say: Say) -> Iterator[Node]:
    """The next start, whatever happened before: yields the node as it is found, and then as it is when it has recorded on."""
    clock = ManualClock(START_US + 2 * DAYS_US)
    with open_node(opened_or_made(data, clock), Config(), clock) as node:
        # The supervisor's first step.
        node.outbox.drain()
        yield node
        if not node.cameras.list():
            node.cameras.add(NewCamera("cam-1", "rtsp://192.0.2.1/stream"))
        keeper = Keeper(node, node.folder.credentials())
        keeper.start()
        try:
            keeper.take(keeper.wanted[ONE], "crash")
            epoch = keeper.taken.get(timeout=20).epoch
        finally:
            assert keeper.stop(20)
        Adopter(node.spool, node.catalog, clock, node.config, keeper.keep_of).adopt()
        finish_removal(node)
        upload(node)
        node.cameras.set("cam-1", name="goes on")
        record(node, clock, clock.now_us(), epoch, 0, say)
        upload(node)
        node.catalog.open_gap(ONE, clock.now_us(), "recorder stopped")
        yield node


def opened_or_made(data: Path, clock: ManualClock) -> DataFolder:
    """What a person does: open it, and where it is no data folder (yet) repeat the init."""
    try:
        return DataFolder.open(data)
    except NotFound:
        return init_node(data, lambda _: Config(), clock)


def main(data: Path, said: socket.socket) -> int:
    Lanes.submit = submit_here  # type: ignore[method-assign]
    try:
        live(data, lambda what: said.sendall(json.dumps(what).encode()))
    except StreamvaultError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))
