"""The ledger as its users see it: what is acknowledged stays, whatever dies; what is proven holds."""

from __future__ import annotations

import contextlib
import errno
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disks import small_disk
from tests.support.ledgers import NOW_US, all_ids, append_without_end, entries, entry, fill, new_ledger, small_files
from tests.test_house import ROOT
from vault.clock import ManualClock
from vault.errors import Damaged, NotFound, Refused, StoreError, StoreFull, UsageError
from vault.ledger.book import newest_checkpoint
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.ledger.lists import read_list, write_list
from vault.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from vault.ledger.verify import verify
from vault.signing.keys import Keys


def assert_sound(ledger: Ledger, path: Path) -> None:
    assert verify(ledger.folder, Keys(path / "ledger.key")).findings == []


def add(path: Path, data: bytes) -> None:
    """Behind what the file holds; it may be new."""
    path.write_bytes((path.read_bytes() if path.exists() else b"") + data)


def test_entries_come_back_in_order_and_every_one_has_a_proof(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    with small_files(4_000):
        receipts = fill(ledger, 100, 7)
    assert [sequence for receipt in receipts for sequence in receipt.sequences] == list(range(100))
    assert [found.subject["camera"] for found in ledger.entries()] == list(range(100))
    assert [found.sequence for found in ledger.entries(93)] == list(range(93, 100))
    assert len(list(ledger.folder.glob("*.jsonl"))) > 3
    newest = receipts[-1].signed.checkpoint
    for sequence in (0, 1, 50, 98, 99):
        proof = ledger.prove(sequence)
        assert proof.entry.sequence == sequence
        assert verify_inclusion(leaf_hash(proof.entry.line), sequence, newest.size, proof.path, newest.root)
    for receipt in receipts:
        old = receipt.signed.checkpoint
        signed, path = ledger.prove_growth(old)
        assert verify_consistency(old.size, newest.size, old.root, signed.checkpoint.root, path)
    with pytest.raises(NotFound):
        ledger.prove(100)
    assert_sound(ledger, tmp_path)


def test_an_empty_ledger_has_nothing_and_says_so(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    assert ledger.newest() is None
    assert list(ledger.entries()) == []
    with pytest.raises(UsageError):
        ledger.append([])
    assert not ledger.folder.exists()


def test_a_month_begins_a_file_of_its_own(tmp_path: Path) -> None:
    clock = ManualClock(NOW_US)
    ledger = new_ledger(tmp_path, clock)
    ledger.append(entries(0, 2))
    clock.advance(32 * 86_400_000_000)
    ledger.append(entries(2, 3))
    ledger.append(entries(3, 4))
    assert sorted(path.name for path in ledger.folder.glob("*.jsonl")) == [
        "000000000000-202609.jsonl",
        "000000000002-202610.jsonl",
    ]
    assert_sound(ledger, tmp_path)


def test_a_deed_told_twice_stands_once(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    ledger.append(entries(0, 5))
    assert ledger.append([entry(4), entry(9), entry(9)], unless_since=3).sequences == (4, 5, 5)
    assert ledger.append([entry(4), entry(9)], unless_since=0).sequences == (4, 5)
    # Without a word on where to look, and where nobody looks, it is another deed.
    assert ledger.append([entry(4)]).sequences == (6,)
    assert ledger.append([entry(0)], unless_since=1).sequences == (7,)
    assert all_ids(ledger) == ["deed-0", "deed-1", "deed-2", "deed-3", "deed-4", "deed-9", "deed-4", "deed-0"]


@pytest.mark.parametrize(
    "tear",
    [
        lambda folder, log: add(log, b'{"actor":"op'),
        lambda folder, log: add(log, bytes(5_000)),
        lambda folder, log: add(log, b"\n\n{}\n"),
        lambda folder, log: add(folder / "000000000010-202609.jsonl", b'{"actor"'),
        lambda folder, log: add(folder / "000000000010-202609.jsonl", b""),
        lambda folder, log: add(folder / "checkpoints", b"streamvault-ledger-1\n12\nab"),
        lambda folder, log: add(folder / "tree.hashes", b"half a hash"),
        lambda folder, log: (folder / "tree.hashes").write_bytes(b""),
        lambda folder, log: (folder / "tree.hashes").unlink(),
    ],
    ids=["line", "zeros", "no-entries", "next-file", "empty-file", "checkpoint", "hash", "hashes-emptied", "hashes-gone"],
)  # fmt: skip
def test_what_a_crash_left_torn_is_cut_off_and_nothing_else(tmp_path: Path, tear: Callable[[Path, Path], object]) -> None:
    ledger = new_ledger(tmp_path)
    ledger.append(entries(0, 10))
    log = ledger.folder / "000000000000-202609.jsonl"
    tear(ledger.folder, log)
    assert ledger.append(entries(10, 12)).sequences == (10, 11)
    assert all_ids(ledger) == [f"deed-{number}" for number in range(12)]
    assert ledger.prove(5).entry.sequence == 5
    assert_sound(ledger, tmp_path)


def test_whole_entries_that_a_crash_left_unsigned_are_kept_and_signed_with_the_next(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    ledger.append(entries(0, 10))
    notes = (ledger.folder / "checkpoints").read_bytes()
    ledger.append(entries(10, 13))
    (ledger.folder / "checkpoints").write_bytes(notes)
    log = ledger.folder / "000000000000-202609.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    report = verify(ledger.folder, Keys(tmp_path / "ledger.key"))
    assert (report.entries, report.unsigned, report.findings) == (10, 2, [])
    # A repetition of the deed whose end was torn: two of its entries are there.
    assert ledger.append(entries(10, 13), unless_since=10).sequences == (10, 11, 12)
    assert all_ids(ledger) == [f"deed-{number}" for number in range(13)]
    assert_sound(ledger, tmp_path)


def test_a_ledger_whose_signed_entries_are_cut_is_not_continued(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    old = ledger.append(entries(0, 10)).signed
    log = ledger.folder / "000000000000-202609.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-100])
    with pytest.raises(Damaged, match="ledger verify"):
        ledger.append(entries(10, 11))
    log.write_bytes(whole)
    ledger.append(entries(10, 11))
    # Cut back with everything that belongs to it, it is what it was; only who knew better can tell.
    log.write_bytes(whole)
    (ledger.folder / "checkpoints").write_bytes(old.note.encode())
    ledger.append(entries(20, 21), expected=old.checkpoint)
    fork = new_ledger(tmp_path / "x")
    (tmp_path / "x").mkdir()
    os.link(tmp_path / "ledger.key", tmp_path / "x" / "ledger.key")
    other = fork.append(entries(30, 41)).signed.checkpoint
    with pytest.raises(Damaged, match="forked"):
        ledger.append(entries(21, 22), expected=other)
    with pytest.raises(Damaged, match="cut back"):
        ledger.append(entries(21, 22), expected=fork.append(entries(41, 49)).signed.checkpoint)
    assert len(all_ids(ledger)) == 11


def test_a_lost_key_is_not_replaced_by_another(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    ledger.append(entries(0, 3))
    key = tmp_path / "ledger.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match="backup"):
        ledger.append(entries(3, 4))
    (tmp_path / "elsewhere").rename(key)
    key.chmod(0o640)
    with pytest.raises(Refused):
        ledger.append(entries(3, 4))
    key.chmod(0o600)
    ledger.append(entries(3, 4))


def test_openssl_alone_confirms_a_checkpoint_as_the_document_says(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    fill(ledger, 9, 4)
    document = (ROOT / "vault" / "ledger" / "FORMAT.md").read_text()
    [recipe] = [
        block
        for block in re.findall(r"^```\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
        if "checkpoints" in block and "openssl" in block
    ]
    command = ["sh", "-e", "-c", recipe]
    run = subprocess.run(command, cwd=ledger.folder, capture_output=True, text=True, check=True)
    assert "Verified Successfully" in run.stdout
    notes = ledger.folder / "checkpoints"
    notes.write_text(notes.read_text().replace("\n9\n", "\n8\n"))
    assert subprocess.run(command, cwd=ledger.folder, capture_output=True, check=False).returncode != 0


def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with small_disk(tmp_path, 1 << 20) as disk:
        ledger = new_ledger(disk)
        ledger.append(entries(0, 10))
        signed = ledger.newest()
        filler = disk / "filler"
        room = os.statvfs(disk).f_bavail * 4096
        filler.write_bytes(bytes(room - 3 * 4096))
        big = [entry(number, text="x" * 10_000) for number in range(5)]
        with pytest.raises(StoreFull):
            ledger.append(big)
        assert ledger.newest() == signed
        assert_sound(ledger, disk)
        # To the last byte: lines, hashes or the checkpoint, one of them finds no room in the end.
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        written = 10
        with contextlib.suppress(StoreFull):
            while ledger.append([entry(written)]):
                written += 1
        assert len(all_ids(ledger)) == written
        assert_sound(ledger, disk)
        filler.unlink()
        ledger.append(big)
        assert len(all_ids(ledger)) == written + 5
        assert_sound(ledger, disk)


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_first_entry_whose_folder_cannot_be_synced_leaves_a_ledger_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    ledger, calls = new_ledger(tmp_path), itertools.count(1)

    def sync_folder(path: Path) -> None:
        if next(calls) == fails:
            raise OSError(errno.EIO, "the disk failed")

    with monkeypatch.context() as patch:
        patch.setattr("vault.ledger.book.sync_folder", sync_folder)
        with contextlib.suppress(StoreError):
            fill(ledger, 1, 1)
    fill(new_ledger(tmp_path), 3, 1)
    assert_sound(ledger, tmp_path)


def test_processes_that_are_killed_while_they_append_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ledger = new_ledger(tmp_path)
    done: list[str] = []
    tried: set[str] = set()
    with small_files(40_000):
        ledger.append(entries(0, 3))
    for round_ in range(2):
        ends, men = [], []
        for man in range(3):
            mine, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=append_without_end, args=(tmp_path, f"{round_}-{man}", 3 + 20 * man, theirs))
            process.start()
            theirs.close()
            ends.append(mine)
            men.append(process)
        for at, (end, process) in enumerate(zip(ends, men, strict=True)):
            batches = 0
            while batches < 15 + at:
                what, ids = end.recv()
                tried.update(ids)
                if what == "done":
                    done += ids
                    batches += 1
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            try:
                while True:
                    what, ids = end.recv()
                    tried.update(ids)
                    done += ids if what == "done" else []
            except EOFError:
                end.close()
    ledger.append(entries(3, 4))
    found = all_ids(ledger)
    assert len(found) == len(set(found))
    assert set(done) <= set(found) <= tried | {f"deed-{number}" for number in range(4)}
    assert_sound(ledger, tmp_path)


def test_a_list_is_kept_beside_the_ledger_under_its_hash(tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path)
    keys = [f"segments/{number:04d}.mp4" for number in range(3_000)]
    ref = write_list(ledger.folder, reversed(keys))
    assert write_list(ledger.folder, keys) == ref
    assert read_list(ledger.folder, ref.sha256) == keys
    ledger.append([NewEntry(Kind.DELETION, "retention@test", {"batch": "b-1"}, {"list": ref.value})])
    assert_sound(ledger, tmp_path)
    [path] = ledger.folder.glob("lists/*/*.gz")
    path.write_bytes(path.read_bytes()[:-9])
    [finding] = verify(ledger.folder, Keys(tmp_path / "ledger.key")).findings
    assert (finding.what, finding.first) == ("list", 0)
    with pytest.raises(Damaged):
        read_list(ledger.folder, ref.sha256)
    with pytest.raises(UsageError):
        write_list(ledger.folder, ["two\nlines"])


def test_the_newest_checkpoint_of_no_file_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
