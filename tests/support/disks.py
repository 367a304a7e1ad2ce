"""Real faults of real file systems: a small disk that fills, another file system, a process without root's rights."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@contextlib.contextmanager
def small_disk(beside: Path, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of that size, mounted below `beside`. Skips where this process may not mount."""
    folder = beside / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a disk that fills needs the right to mount (root): {made.stderr.decode().strip()[:100]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)


@contextlib.contextmanager
def other_file_system(than: Path) -> Iterator[Path]:
    """A folder on another file system than `than`: shared memory, or a tmpfs of our own."""
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shared.stat().st_dev != than.stat().st_dev:
        folder = Path(tempfile.mkdtemp(dir=shared))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
    else:
        with small_disk(than, 50_000_000) as folder:
            yield folder


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[Path]:
    """Without root's rights, which no file mode stops; a new folder that this user owns, reachable by nobody else."""
    if os.geteuid() != 0:
        own = folder / "own"
        own.mkdir()
        yield own
        return
    own = Path(tempfile.mkdtemp())
    os.chown(own, NOBODY, NOBODY)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield own
    finally:
        os.seteuid(0)
        os.setegid(0)
        shutil.rmtree(own)
