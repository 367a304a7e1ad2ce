"""A put or a delete killed before each of its system calls in turn: the object is whole or absent, and repeating works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# One process without threads that forks itself for each step: starting Python for each would take most of the time.
_EACH_STEP = """
import json, os, shutil, signal, sys
from pathlib import Path
from vault.store.local import LocalStore

base, links, action = Path(sys.argv[1]), sys.argv[2] == "link", sys.argv[3]
data = bytes(range(256)) * 6000
(base / "file").write_bytes(data)
KEY = "segments/c0000009901/2026-11-22/a.mp4"
NAMES = ("open", "mkdir", "pwritev", "preadv", "fsync", "fdatasync", "link", "rename", "unlink", "rmdir", "close", "stat")

def arm(step):
    count = 0
    def dying(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return call
    for name in NAMES:
        setattr(os, name, dying(getattr(os, name)))

def do(store):
    if action == "put_file":
        store.put_file(KEY, base / "file")
    elif action == "put_bytes":
        store.put_bytes(KEY, data)
    else:
        assert store.delete([KEY]) == []

rows = []
for step in range(1, 200):
    root = base / str(step)
    root.mkdir()
    if action == "delete":
        before = LocalStore(root, hard_links=links)
        before.put_bytes(KEY, data)
        before.close()
    pid = os.fork()
    if pid == 0:
        arm(step)
        store = LocalStore(root, hard_links=links)
        do(store)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    store = LocalStore(root, hard_links=links)
    listed = [item.key for item in store.list("")]
    whole = False
    if listed:
        with store.open(KEY) as source:
            whole = source.read(0, source.size) == data
    leftovers = os.listdir(root / ".tmp")
    do(store)
    after = [item.key for item in store.list("")]
    store.close()
    shutil.rmtree(root)
    rows.append([code, listed, whole, leftovers, after])
    if code == 0:
        break
print(json.dumps(rows))
"""

KEY = "segments/c0000009901/2026-11-22/a.mp4"


@pytest.mark.parametrize("way", ["link", "copy"])
@pytest.mark.parametrize("action", ["put_file", "put_bytes", "delete"])
def test_killed_before_any_system_call_the_object_is_whole_or_absent(tmp_path: Path, way: str, action: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _EACH_STEP, str(tmp_path), way, action], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row[0] for row in rows] == [-9] * (len(rows) - 1) + [0]
    assert len(rows) > 10
    for step, (_, listed, whole, leftovers, after) in enumerate(rows, 1):
        assert whole == (listed == [KEY]), step
        assert whole or listed == [], step
        assert leftovers == [], step
        assert after == ([] if action == "delete" else [KEY]), step
    # Both outcomes of a kill were seen, and the last step, which was not killed, has the wanted one.
    assert {row[2] for row in rows[:-1]} == {True, False}
    assert rows[-1][2] == (action != "delete")
