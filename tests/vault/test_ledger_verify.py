"""Whatever is done to a ledger's files, `verify` finds it and says which entry it is about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ledgers import entries, entry, fill, new_ledger, small_files
from vault.ledger.checkpoint import split_notes
from vault.ledger.journal import log_files
from vault.ledger.verify import Anchor, Finding, Report, What, verify
from vault.signing.keys import Keys

COUNT = 40
BATCH = 4


@dataclass(frozen=True)
class Made:
    """A ledger of `COUNT` entries in several files, `notes` its checkpoints; `again` is a fresh copy to do harm to."""

    path: Path
    notes: list[str]

    def again(self) -> Path:
        target = self.path.parent / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.path, target)
        return target


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("ledger") / "made"
    path.mkdir()
    with small_files(2_500):
        fill(new_ledger(path), COUNT, BATCH)
    notes, _ = split_notes((path / "ledger" / "checkpoints").read_text())
    assert len(notes) == COUNT // BATCH
    assert len(log_files(path / "ledger")) >= 3
    return Made(path, notes)


def look(path: Path, *anchors: str) -> Report:
    return verify(path / "ledger", Keys(path / "ledger.key"), [Anchor("elsewhere", note) for note in anchors])


def lines(path: Path) -> list[tuple[Path, list[bytes]]]:
    return [(file.path, file.path.read_bytes().splitlines(keepends=True)) for file in log_files(path / "ledger")]


def write(files: list[tuple[Path, list[bytes]]]) -> None:
    for file, content in files:
        file.write_bytes(b"".join(content))


def place(files: list[tuple[Path, list[bytes]]], sequence: int) -> tuple[list[bytes], int]:
    """The list of lines that holds the entry, and where in it."""
    for _, content in files:
        if sequence < len(content):
            return content, sequence
        sequence -= len(content)
    raise AssertionError


def names(findings: list[Finding], what: What) -> set[int]:
    return {
        at for found in findings if found.what is what and found.first is not None and found.last is not None
        for at in range(found.first, found.last + 1)
    }  # fmt: skip


def test_a_ledger_as_it_was_written_is_sound_with_all_that_was_kept_of_it(made: Made) -> None:
    report = look(made.path, *made.notes)
    assert (report.entries, report.checkpoints, report.findings) == (COUNT, 2 * len(made.notes), [])


ANY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=25
)


@ANY
@given(data=st.data())
def test_a_flipped_bit_names_its_entry(made: Made, data: st.DataObject) -> None:
    path = made.again()
    files = lines(path)
    sequence = data.draw(st.integers(0, COUNT - 1))
    content, at = place(files, sequence)
    raw = bytearray(content[at])
    bit = data.draw(st.integers(0, len(raw) * 8 - 9))
    raw[bit // 8] ^= 1 << bit % 8
    content[at] = bytes(raw)
    write(files)
    findings = look(path).findings
    # A bit can make a line's end or its number another; the entry that is not there any more is named all the same.
    assert sequence in names(findings, What.EDITED) | names(findings, What.REMOVED) | names(findings, What.REORDERED)
    assert {found.what for found in findings} <= {What.EDITED, What.REMOVED, What.REORDERED}


@ANY
@given(first=st.integers(0, COUNT - 1), count=st.integers(1, 9))
def test_removed_entries_are_named(made: Made, first: int, count: int) -> None:
    path = made.again()
    files = lines(path)
    gone = set(range(first, min(first + count, COUNT)))
    for sequence in sorted(gone, reverse=True):
        content, at = place(files, sequence)
        del content[at]
    write(files)
    findings = look(path).findings
    what = What.TRUNCATED if max(gone) == COUNT - 1 else What.REMOVED
    assert names(findings, what) == gone
    assert {found.what for found in findings} == {what}


@ANY
@given(one=st.integers(0, COUNT - 1), other=st.integers(0, COUNT - 1))
def test_entries_that_changed_places_are_named(made: Made, one: int, other: int) -> None:
    path = made.again()
    files = lines(path)
    (left, at), (right, to) = place(files, one), place(files, other)
    left[at], right[to] = right[to], left[at]
    write(files)
    findings = look(path).findings
    assert {found.what for found in findings} <= {What.REORDERED}
    assert bool(findings) == (one != other)
    assert names(findings, What.REORDERED) <= {one, other}


@ANY
@given(source=st.integers(0, COUNT - 1), to=st.integers(0, COUNT - 1))
def test_an_entry_that_stands_twice_is_named(made: Made, source: int, to: int) -> None:
    path = made.again()
    files = lines(path)
    content, at = place(files, source)
    target, where = place(files, to)
    target.insert(where, content[at])
    write(files)
    findings = look(path).findings
    assert source in names(findings, What.REORDERED)
    assert {found.what for found in findings} == {What.REORDERED}


@ANY
@given(cut=st.integers(1, 4_000))
def test_a_log_that_ends_early_is_found_by_its_own_checkpoints(made: Made, cut: int) -> None:
    path = made.again()
    for file in reversed(log_files(path / "ledger")):
        size = file.path.stat().st_size
        file.path.write_bytes(file.path.read_bytes()[: max(0, size - cut)])
        cut -= size
        if cut <= 0:
            break
    kept = sum(line.endswith(b"\n") for _, content in lines(path) for line in content)
    assert names(look(path).findings, What.TRUNCATED) == set(range(kept, COUNT))


def cut_back(path: Path, made: Made, batches: int) -> None:
    """As whoever has all rights on the folder would: entries, checkpoints and hashes as they were then."""
    files = lines(path)
    left = batches * BATCH
    for file, content in files:
        del content[max(0, left) :]
        left -= len(content)
        if not content:
            file.unlink()
    write([(file, content) for file, content in files if content])
    (path / "ledger" / "checkpoints").write_text("".join(made.notes[:batches]))
    (path / "ledger" / "tree.hashes").unlink()
    new_ledger(path).append([entry(0)], unless_since=0)


@ANY
@given(batches=st.integers(1, COUNT // BATCH - 1), kept=st.integers(1, COUNT // BATCH))
def test_a_ledger_cut_back_whole_is_found_by_a_checkpoint_kept_elsewhere(made: Made, batches: int, kept: int) -> None:
    path = made.again()
    cut_back(path, made, batches)
    assert look(path).findings == []
    findings = look(path, made.notes[kept - 1]).findings
    if kept <= batches:
        assert findings == []
    else:
        assert names(findings, What.TRUNCATED) == set(range(batches * BATCH, kept * BATCH))
        assert {found.where for found in findings} == {"elsewhere"}


@ANY
@given(batches=st.integers(1, COUNT // BATCH - 1), more=st.integers(1, COUNT))
def test_a_forked_ledger_is_found_by_a_checkpoint_kept_elsewhere(made: Made, batches: int, more: int) -> None:
    path = made.again()
    cut_back(path, made, batches)
    new_ledger(path).append(entries(1_000, 1_000 + more))
    assert look(path).findings == []
    [finding] = look(path, *made.notes).findings
    # The first kept checkpoint that is not this ledger's, or one that it does not reach.
    assert finding.first == batches * BATCH or finding.what is What.TRUNCATED
    assert finding.where == "elsewhere"
    assert finding.what is (What.FORKED if more >= BATCH else What.TRUNCATED)


@ANY
@given(sequence=st.integers(0, COUNT - 1))
def test_an_edited_entry_is_found_without_the_file_of_hashes_by_the_checkpoints_about_it(made: Made, sequence: int) -> None:
    path = made.again()
    files = lines(path)
    content, at = place(files, sequence)
    content[at] = content[at].replace("试验".encode(), "公务".encode())
    write(files)
    (path / "ledger" / "tree.hashes").unlink()
    findings = look(path).findings
    batch = sequence // BATCH * BATCH
    assert names(findings, What.EDITED) == set(range(batch, batch + BATCH))
    assert {found.what for found in findings} == {What.EDITED, What.HASHES}


@ANY
@given(data=st.data())
def test_a_wrong_file_of_hashes_alone_is_told_from_wrong_entries(made: Made, data: st.DataObject) -> None:
    path = made.again()
    hashes = path / "ledger" / "tree.hashes"
    raw = bytearray(hashes.read_bytes())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    hashes.write_bytes(raw)
    assert [found.what for found in look(path).findings] == [What.HASHES]


def harmed_notes(made: Made) -> Iterator[tuple[str, str]]:
    whole = "".join(made.notes)
    yield "size", whole.replace("\n40\n", "\n39\n")
    yield "origin", whole.replace("streamvault-ledger-", "streamvault-ledger-0", 1)
    yield "signature", whole[:-10] + ("A" if whole[-10] != "A" else "B") + whole[-9:]
    yield "gone", ""
    yield "a line", whole.replace("\n", "", 1)


def test_checkpoints_that_are_not_ours_are_named(made: Made) -> None:
    for what, text in harmed_notes(made):
        path = made.again()
        (path / "ledger" / "checkpoints").write_text(text)
        assert What.CHECKPOINT in {found.what for found in look(path).findings}, what


def test_entries_that_another_key_signed_are_not_ours(made: Made, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    fill(new_ledger(tmp_path / "other"), COUNT, BATCH)
    report = verify(tmp_path / "other" / "ledger", Keys(made.path / "ledger.key"), [Anchor("elsewhere", made.notes[-1])])
    assert What.CHECKPOINT in {found.what for found in report.findings}


def test_a_missing_file_is_the_entries_that_were_in_it(made: Made) -> None:
    path = made.again()
    files = log_files(path / "ledger")
    files[1].path.unlink()
    assert names(look(path).findings, What.REMOVED) == set(range(files[1].first, files[2].first))


def test_garbage_between_entries_is_named_by_its_place(made: Made) -> None:
    path = made.again()
    files = lines(path)
    content, at = place(files, 7)
    content.insert(at, b"x" * 200_000 + b"\n")
    content.insert(at, b"{}\n")
    write(files)
    findings = look(path).findings
    assert {found.what for found in findings} == {What.EDITED}
    assert all("byte" in found.where for found in findings)
