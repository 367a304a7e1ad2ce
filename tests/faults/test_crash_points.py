"""A short life of an engine, hit at each of its disk-changing calls: killed there, or told that the disk failed or is full.

`strace` lists the calls of one whole life and then hits one of them in another (`tests.support.short_life`). Afterwards the
folder opens, what was acknowledged is there, the next start goes on, and `check` finds nothing. CRASH_POINTS is how many are
drawn by chance; `make crashpoints` tries every one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from index.check import Severity
from index.check_objects import digest_of
from index.node import Node
from index.rows import Place, State
from tests.support.node import ROOT, findings_of
from tests.support.short_life import REFUSED, go_on
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.timebase import US

POINTS = os.environ.get("CRASH_POINTS", "40")
CALLS = ",".join(
    f"?{name}"
    for name in (
        "write", "pwrite64", "writev", "pwritev", "pwritev2", "fdatasync", "fsync", "syncfs", "sync_file_range", "msync",
        "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat",
        "rmdir", "truncate", "ftruncate", "fallocate", "copy_file_range", "sendfile", "fchmod", "chmod",
    )
)  # fmt: skip
HITS = {"killed": "signal=KILL", "failed": "error=EIO", "full": "error=ENOSPC"}


@dataclass(frozen=True)
class Life:
    """How it ended, what it said on the way, and what it wrote to its standard error."""

    code: int
    said: list[dict[str, Any]]
    errors: str


def live(data: Path, *options: str) -> Life:
    """One life in a process of its own, under strace."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        program = [sys.executable, str(ROOT / "tests/support/short_life.py"), str(data), str(theirs.fileno())]
        done = subprocess.run(
            ["strace", "-f", "-qq", *options, *program],
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        ours.setblocking(False)
        return Life(done.returncode, list(_received(ours)), done.stderr)


def _received(ours: socket.socket) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield json.loads(ours.recv(10_000))
        except BlockingIOError:
            return


def assert_kept(node: Node, life: Life) -> None:
    """What was acknowledged, as the next start finds it."""
    for what in life.said:
        if "camera" in what:
            assert node.cameras.get(what["camera"]).name in (what["name"], "gate")
    over = {what["doomed"] for what in life.said if "doomed" in what}
    for what in life.said:
        if "segment" in what and what["segment"] not in over:
            key = SegmentKey.parse(what["segment"])
            row = node.catalog.row(key)
            assert row is not None, f"{key} was acknowledged"
            assert row.blake3.hex() == what["blake3"]
            if row.state is State.COMMITTED:
                stored = row.place is Place.STORE
                with node.store.open(key.object_key) if stored else node.spool.open_source(key, system_grant("test")) as source:
                    assert digest_of(source) == row.blake3


def errors_of(node: Node) -> list[str]:
    return [str(one) for one in findings_of(node, 400 * US) if one.severity is Severity.ERROR and one.invariant != "I6"]


@pytest.mark.slow
def test_every_disk_changing_call_may_be_the_last_or_fail(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("hitting single calls needs strace: apt-get install strace")
    trace = tmp_path / "trace"
    whole = live(tmp_path / "whole", "-o", str(trace), "-e", f"trace={CALLS}")
    assert (whole.code, whole.errors) == (0, "")
    every = [(call, number, hit) for call, number in calls_of(trace) for hit in HITS]
    seed = random.randrange(2**32)
    drawn = every if POINTS == "all" else random.Random(seed).sample(every, int(POINTS))
    sys.stdout.write(f"seed {seed}: {len(drawn)} of {len(every)} points\n")
    failures: list[str] = []
    folders = {point: tmp_path / "-".join(map(str, point)) for point in drawn}

    def hit(point: tuple[str, int, str]) -> Life:
        call, number, how = point
        return live(folders[point], "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", f"inject={call}:{HITS[how]}:when={number}")

    # The lives are processes, two at a time; what they left is looked at here.
    with ThreadPoolExecutor(2) as pool:
        for point, life in zip(drawn, pool.map(hit, drawn), strict=True):
            try:
                check_after(folders[point], life, point[2])
            except Exception as error:  # the rest of the sweep is worth knowing too
                where = "".join(traceback.format_exception(error, limit=-4))
                failures.append(f"{point}: {where}; {life.errors[-2000:]}")
            shutil.rmtree(folders[point], ignore_errors=True)
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)


def calls_of(trace: Path) -> list[tuple[str, int]]:
    """Each call of a trace, and the how manieth of its name it is, which is how strace counts."""
    names = [line.split()[1].partition("(")[0] for line in trace.read_text().splitlines() if "(" in line]
    seen: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for name in names:
        seen[name] += 1
        found.append((name, seen[name]))
    return found


def check_after(data: Path, life: Life, hit: str) -> None:
    if hit == "killed":
        assert life.code == -9
    else:
        # An error of ours, told in one line; or it did not matter.
        assert life.code in (0, REFUSED), life.errors
    if any("init" in what for what in life.said):
        assert (data / "VERSION").exists()
    start = go_on(data, lambda what: None)
    node = next(start)
    assert_kept(node, life)
    assert errors_of(node) == []
    node = next(start)
    assert findings_of(node, 400 * US) == []
    assert next(start, None) is None
