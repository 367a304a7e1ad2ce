"""Real faults of real file systems: a small disk that fills, one whose power is cut, another file system, a process without
root's rights."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
EXT4_IOC_SHUTDOWN = 0x8004587D
"""`_IOR('X', 125, __u32)` of the kernel's ext4.h."""
NO_LOG_FLUSH = 2
UNMOUNT_SECONDS = 20


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


class PowerCutDisk:
    """An ext4 file system of its own. `cut` ends it as a power cut does: what was not synced is not there after `mend`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.path = folder
        self._image = image

    def mount(self) -> None:
        """Skips where this process may not."""
        made = subprocess.run(["mount", "-o", "loop", str(self._image), str(self.path)], capture_output=True, check=False)
        if made.returncode:
            pytest.skip(f"cutting a disk's power needs the right to mount (root): {made.stderr.decode().strip()[:100]}")

    def cut(self) -> None:
        """From now on every write fails, and nothing that the journal had not taken reaches the disk any more."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def mend(self) -> None:
        """The power is back: the journal is played. Whoever had a file of it open is being killed."""
        deadline = time.monotonic() + UNMOUNT_SECONDS
        while subprocess.run(["umount", str(self.path)], capture_output=True, check=False).returncode:
            # The threads of a killed process let go of its files one after the other.
            assert time.monotonic() < deadline, f"{self.path} is in use"
            time.sleep(0.02)
        self.mount()


@contextlib.contextmanager
def power_cut_disk(beside: Path, size_bytes: int) -> Iterator[PowerCutDisk]:
    """A new disk, mounted below `beside`. Nothing of it is set aside for root, so that what is full is full for everybody."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("cutting a disk's power needs mkfs.ext4: apt-get install e2fsprogs")
    image, folder = beside / "disk.img", beside / "disk"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], capture_output=True, check=True)
    folder.mkdir()
    disk = PowerCutDisk(image, folder)
    disk.mount()
    try:
        yield disk
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
