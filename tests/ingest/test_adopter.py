"""The adopter and the disk: what it commits is durable before its row is, whatever its writer had come to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.adopter import Adopter
from ingest.closer import Keep
from tests.support.index_vault import ALAW, open_vault
from tests.support.torn_disk import TornDisk
from vault.config import Config
from vault.digest import bytes_digest
from vault.ids import CameraNumber, SegmentKey
from vault.media import SegmentFlag, SegmentHead
from vault.segment.build import SegmentBuilder, TrackRun
from vault.spool import append

START_US = 1_795_000_000_000_000


@pytest.mark.parametrize("syncs_at_once", [True, False])
def test_what_a_killed_writer_never_synced_survives_a_power_cut_once_it_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syncs_at_once: bool
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    if not syncs_at_once:
        monkeypatch.setattr("vault.spool.find_syncfs", lambda: None)
    with open_vault(before, START_US) as vault, monkeypatch.context() as patch:
        disk = TornDisk(before, ["spool", "store"])
        disk.install(patch)
        key = SegmentKey(CameraNumber(1), START_US, vault.catalog.raise_epoch(CameraNumber(1)), 0)
        builder = SegmentBuilder(SegmentHead(key, "cam-1", 0.0, None, SegmentFlag.NONE), [ALAW])
        fd = vault.spool.create(key)
        size = append(fd, 0, [builder.opening()])
        append(fd, size, [builder.fragment([TrackRun(0, [0], None, [160], None)]), bytes(160)])
        os.close(fd)
        vault.catalog.raise_epoch(key.camera)
        done = Adopter(vault.spool, vault.catalog, vault.clock, Config(), lambda _: Keep("general", 30)).adopt()
        assert done.committed == [key]
        row = vault.catalog.row(key)
        # Of what was not synced, nothing is left.
        disk.make_torn(after, lambda most: 0)
    assert row is not None
    assert bytes_digest((after / vault.spool.path_of(key).relative_to(before)).read_bytes()) == row.blake3
