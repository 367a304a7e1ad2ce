"""Which file system a folder lies on, from the kernel's own table."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.filesystem import filesystem_type, preallocate
from vault.errors import StoreError

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /srv/video rw shared:2 - nfs4 192.0.2.7:/export rw
31 30 0:26 / /srv/video/local rw shared:3 master:1 - xfs /dev/vdb rw
32 22 0:27 / /mnt/two\040words rw - cifs //192.0.2.8/share rw
33 22 0:28 / /over rw - nfs 192.0.2.7:/a rw
34 33 0:29 / /over rw - ext4 /dev/vdc rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/index", "ext4"),
        ("/srv/video", "nfs4"),
        ("/srv/video/index", "nfs4"),
        ("/srv/videos", "ext4"),
        ("/srv/video/local/index", "xfs"),
        ("/mnt/two words/x", "cifs"),
        ("/over/x", "ext4"),
    ],
)
def test_the_deepest_and_last_mount_over_a_path_tells(path: str, kind: str) -> None:
    assert filesystem_type(Path(path), MOUNTS) == kind


def test_nothing_is_claimed_of_a_table_without_a_mount() -> None:
    assert filesystem_type(Path("/data"), "") is None


def test_preallocating_never_shrinks_and_keeps_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000)
    preallocate(path, 5_000)
    assert path.stat().st_size == 10_000
    preallocate(path, 20_000)
    assert path.read_bytes() == b"x" * 10_000 + bytes(10_000)
    with pytest.raises(StoreError):
        preallocate(tmp_path / "absent", 1)
