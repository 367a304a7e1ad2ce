"""What the index asks of the file system under it: that it is local, and that space is really there. No LMDB here."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from vault.errors import Refused, StoreError, StoreFull

_NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gfs", "gfs2", "ocfs2",
        "glusterfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse",
        "fuse.juicefs", "fuse.davfs2", "davfs",
    }
)  # fmt: skip
_ESCAPE = re.compile(r"\\([0-7]{3})")


def filesystem_type(path: Path, mountinfo: str) -> str | None:
    """The type of the mount that holds `path` (absolute, resolved), from the text of /proc/self/mountinfo (proc(5)).

    The longest mount point wins, and of equal ones the last, which hides the others. None when no line fits.
    """
    best: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not separator or len(fields) < 5 or not kind:
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), fields[4]))
        if (path == point or point in path.parents) and (best is None or len(point.parts) >= best[0]):
            best = len(point.parts), kind[0]
    return best[1] if best else None


def refuse_network(path: Path) -> None:
    """Raise Refused when `path` lies on a network file system, where shared memory and locks do not mean what LMDB needs."""
    try:
        kind = filesystem_type(path.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return
    if kind in _NETWORK:
        raise Refused(f"the index cannot live in {path}: {kind} is a network file system; give it a folder on a local disk")


def disk_space(path: Path) -> tuple[int, int]:
    """What an unprivileged process may still write on the file system of `path`, and that system's size. Raises StoreError."""
    try:
        status = os.statvfs(path)
    except OSError as error:
        raise StoreError(f"asking for free space in {path}: {error.strerror}") from error
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def preallocate(path: Path, size_bytes: int) -> None:
    """See that the first `size_bytes` of the file have blocks on disk; never shrinks it. Raises StoreFull, StoreError."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(handle).st_size < size_bytes:
            os.posix_fallocate(handle, 0, size_bytes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFull(f"no space to grow the index {path} to {size_bytes} bytes: free space on its disk") from error
        raise StoreError(f"growing the index {path} to {size_bytes} bytes: {error.strerror}") from error
    finally:
        if handle >= 0:
            os.close(handle)
