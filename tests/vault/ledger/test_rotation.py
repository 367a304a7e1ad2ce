"""A ledger under one key after another: its name stays, each key signs in its time, a kill at any step leaves one that goes on."""

from __future__ import annotations

import functools
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.keychains import statement
from tests.support.killing import killed_at
from tests.support.ledgers import all_ids, append_without_end, entries, fill, new_ledger
from vault.errors import Damaged, NotFound, Refused
from vault.ledger.checkpoint import Checkpoint, parse_note, split_notes
from vault.ledger.ledger import Ledger
from vault.ledger.signing import is_note_signature, sign_checkpoint
from vault.ledger.succession import trusted_from
from vault.ledger.verify import Anchor, Finding, What, verify
from vault.signing.filekey import FileSigner, read_signer
from vault.signing.keys import Keys

BY, WHY = "second officer", "年度更换"


def findings(ledger: Ledger, *anchors: str, trusted: tuple[str, ...] = ()) -> list[Finding]:
    return verify(ledger.folder, ledger.keys, [Anchor("elsewhere", note) for note in anchors], trusted=trusted).findings


def notes(ledger: Ledger) -> list[str]:
    return split_notes((ledger.folder / "checkpoints").read_text())[0]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that is: processes are killed here and no power is cut, and syncs take most of the time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Seven entries, the file of its first key kept aside as `first.key`."""
    (tmp_path / "keys").mkdir()
    made = Ledger(tmp_path / "ledger", tmp_path / "keys" / "ledger.key")
    fill(made, 7, 3)
    shutil.copy(tmp_path / "keys" / "ledger.key", tmp_path / "first.key")
    return made


@pytest.fixture
def first(ledger: Ledger, tmp_path: Path) -> FileSigner:
    return read_signer(tmp_path / "first.key")


def test_the_name_stays_and_each_checkpoint_is_its_keys(ledger: Ledger, first: FileSigner, tmp_path: Path) -> None:
    # Made before the rotation, as a recorder has one: it is told nothing.
    other = Ledger(ledger.folder, ledger.keys)
    old = ledger.newest()
    assert old is not None
    signed = ledger.rotate(BY, WHY)
    second = ledger.signer()
    assert (signed.statement.size, signed.statement.root) == (7, old.checkpoint.root)
    other.append(entries(7, 9))
    third = ledger.rotate(BY, WHY).statement.new
    other.append(entries(9, 11))
    keys = {**dict.fromkeys(range(1, 8), first.public), **dict.fromkeys(range(8, 11), second.public), 11: third, 13: third}
    for note in notes(ledger):
        one = parse_note(note)
        assert one.checkpoint.origin == old.checkpoint.origin
        for key in {*keys.values()}:
            was = is_note_signature(one.checkpoint.origin, key, one.checkpoint.text, one.signature)
            assert was == (key == keys[one.checkpoint.size])
    assert findings(ledger, old.note, *(one.note for one in ledger.succession().statements)) == []
    told = [found for found in ledger.entries() if found.kind == "key"]
    assert [found.sequence for found in told] == [7, 10]
    assert (told[0].actor, told[0].body["why"]) == (BY, WHY)
    assert ledger.prove(3).signed.checkpoint.size == 13
    newest, _ = ledger.prove_growth(old.checkpoint)
    assert newest.checkpoint.size == 13
    # The earlier keys' files are gone, and what lies beside the checkpoints is the key that signs now.
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["ledger.key"]
    assert read_signer(tmp_path / "keys" / "ledger.key").public == third
    assert (ledger.folder / "public.pem").read_bytes() == third.pem


def test_who_trusted_the_first_key_can_go_on_with_what_is_handed_out(ledger: Ledger, first: FileSigner) -> None:
    ledger.rotate(BY, WHY)
    newest = ledger.newest()
    assert newest is not None
    found = ledger.succession()
    spans = trusted_from(first.fingerprint, found.statements, found.origin, (ledger.folder / "public.pem").read_bytes())
    [key] = [span.public for span in spans if span.covers(newest.checkpoint.size)]
    assert is_note_signature(found.origin, key, newest.checkpoint.text, newest.signature)
    assert found.note.encode() == (ledger.folder / "keys").read_bytes()


def test_an_earlier_key_may_be_kept_and_is_not_used(ledger: Ledger, first: FileSigner, tmp_path: Path) -> None:
    ledger.rotate(BY, WHY, keep_old=True)
    [kept] = ledger.keys.old_files
    assert read_signer(kept).public == first.public
    assert ledger.signer().public != first.public
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_ledger_without_an_entry_needs_no_other_key(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no entry"):
        new_ledger(tmp_path).rotate(BY, WHY)
    with pytest.raises(NotFound):
        new_ledger(tmp_path / "none").succession()


@pytest.mark.parametrize("lost", [False, True], ids=["rotated", "replaced"])
def test_a_kill_at_any_step_leaves_a_ledger_that_goes_on(ledger: Ledger, first: FileSigner, tmp_path: Path, lost: bool) -> None:
    if lost:
        # Two whole entries wait for their signature, and there is no key any more that could sign them.
        before = (ledger.folder / "checkpoints").read_bytes()
        ledger.append(entries(7, 9))
        (ledger.folder / "checkpoints").write_bytes(before)
        (tmp_path / "keys" / "ledger.key").unlink()
    counts, steps = set(), 0
    while True:
        copy = tmp_path / f"copy-{steps}"
        shutil.copytree(tmp_path / "keys", copy / "keys")
        shutil.copytree(ledger.folder, copy / "ledger")
        tried = Ledger(copy / "ledger", copy / "keys" / "ledger.key")
        again = functools.partial(tried.replace_lost_key if lost else tried.rotate, BY, WHY)
        killed = killed_at(steps, again)
        if lost and not (copy / "ledger" / "keys").exists():
            again()
        tried.append(entries(20, 22))
        found = tried.succession()
        counts.add(len(found.statements))
        ids = [one for one in all_ids(tried) if not one.startswith("key:")]
        assert ids == [f"deed-{number}" for number in (*range(9 if lost else 7), 20, 21)]
        assert sum(one.kind == "key" for one in tried.entries()) == len(found.statements)
        assert findings(tried, trusted=(found.head.fingerprint,)) == []
        if found.statements:
            assert (copy / "ledger" / "public.pem").read_bytes() == found.head.pem
            assert read_signer(copy / "keys" / "ledger.key").public == found.head
        # And the next one is as any other.
        tried.rotate(BY, WHY)
        tried.append(entries(30, 31))
        assert findings(tried, trusted=(tried.signer().fingerprint,)) == []
        assert {path.name for path in (copy / "keys").iterdir() if ".old" not in path.name} == {"ledger.key"}
        if not killed:
            break
        steps += 1
    assert steps > 15
    assert counts == ({1} if lost else {0, 1})


def test_others_append_while_keys_follow_each_other(ledger: Ledger) -> None:
    path = ledger.folder.parent
    shutil.move(path / "keys" / "ledger.key", path / "ledger.key")
    mine = new_ledger(path)
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=append_without_end, args=(path, "other", 2, there))
    process.start()
    done: list[str] = []
    try:
        for _ in range(4):
            for _ in range(10):
                what, ids = here.recv()
                done += ids if what == "done" else []
            mine.rotate(BY, WHY)
        here.recv()
    finally:
        process.kill()
        process.join()
    mine.append(entries(100, 101))
    assert set(done) <= set(all_ids(mine))
    assert len(mine.succession().statements) == 4
    assert findings(mine) == []


def test_a_bad_statement_among_many_is_found_soon_and_what_was_before_it_still_counts(ledger: Ledger) -> None:
    for number in range(12):
        ledger.rotate(BY, WHY)
        ledger.append(entries(10 + number, 11 + number))
    statements = ledger.succession().statements
    text = (ledger.folder / "keys").read_text()
    (ledger.folder / "keys").write_text(text.replace(statements[7].note, statements[7].note.replace(WHY, "没有原因")))
    [finding] = findings(ledger)
    assert finding.what is What.SUCCESSION
    assert "statement of succession 8 is forged" in finding.message


def remove(ledger: Ledger) -> None:
    (ledger.folder / "keys").unlink()


def remove_last(ledger: Ledger) -> None:
    (ledger.folder / "keys").write_text(ledger.succession().statements[0].note)


def remove_first(ledger: Ledger) -> None:
    (ledger.folder / "keys").write_text(ledger.succession().statements[1].note)


def reorder(ledger: Ledger) -> None:
    (ledger.folder / "keys").write_text("".join(one.note for one in reversed(ledger.succession().statements)))


def forge(ledger: Ledger) -> None:
    text = (ledger.folder / "keys").read_text()
    (ledger.folder / "keys").write_text(text.replace(WHY, "没有原因", 1))


def cut(ledger: Ledger) -> None:
    raw = (ledger.folder / "keys").read_bytes()
    (ledger.folder / "keys").write_bytes(raw[:-100])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(data=st.data())
def test_a_flipped_bit_of_a_statement_is_found(ledger: Ledger, data: st.DataObject) -> None:
    path = ledger.folder / "keys"
    if not path.exists():
        ledger.rotate(BY, WHY)
        ledger.append(entries(10, 11))
    good = path.read_bytes()
    raw = bytearray(good)
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)
    found = findings(ledger)
    path.write_bytes(good)
    assert {one.what for one in found} == {What.SUCCESSION}


@pytest.mark.parametrize("harm", [remove, remove_last, remove_first, reorder, forge, cut])
def test_a_succession_that_is_not_what_it_was_is_found_and_nothing_else_is_blamed(
    ledger: Ledger, harm: Callable[[Ledger], None]
) -> None:
    for number in range(2):
        ledger.rotate(BY, WHY)
        ledger.append(entries(10 + number, 11 + number))
    harm(ledger)
    assert {found.what for found in findings(ledger)} == {What.SUCCESSION}
    with pytest.raises(Damaged, match="ledger verify"):
        ledger.append(entries(20, 21))


def test_a_forged_succession_by_a_thief_of_the_old_key_is_found(ledger: Ledger, first: FileSigner, tmp_path: Path) -> None:
    """He has the first key and all rights on the folder; the node's own key is another one meanwhile."""
    kept = ledger.rotate(BY, WHY)
    ledger.append(entries(10, 11))
    shutil.copytree(tmp_path / "keys", tmp_path / "right")
    for path in (ledger.folder / "keys", ledger.folder / "checkpoints"):
        path.unlink()
    (tmp_path / "keys" / "ledger.key").unlink()
    for file in ledger.folder.glob("*.jsonl"):
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:5]))
    (ledger.folder / "tree.hashes").unlink()
    shutil.copy(tmp_path / "first.key", tmp_path / "keys" / "ledger.key")
    ledger.append(entries(30, 33))
    ledger.rotate("thief", "planned")
    mine = Keys(tmp_path / "right" / "ledger.key")
    found = verify(ledger.folder, mine, [Anchor("elsewhere", kept.note)]).findings
    assert {What.SUCCESSION} <= {one.what for one in found}
    assert any("none that is trusted here" in one.message for one in found)
    assert any(one.where == "elsewhere" for one in found)


def test_a_checkpoint_of_a_key_outside_its_time_is_found(ledger: Ledger, first: FileSigner) -> None:
    ledger.rotate(BY, WHY)
    ledger.append(entries(10, 11))
    second = ledger.signer()
    path = ledger.folder / "checkpoints"
    good = path.read_text()
    for size, wrong in ((9, first), (6, second)):
        [note] = [note for note in notes(ledger) if parse_note(note).checkpoint.size == size]
        again = sign_checkpoint(parse_note(note).checkpoint, wrong)
        path.write_text(good.replace(note, again.note))
        [finding] = [found for found in findings(ledger) if found.what is What.CHECKPOINT]
        assert "outside its time" in finding.message
        path.write_text(good)
        # Kept elsewhere it is no better.
        assert [found.what for found in findings(ledger, again.note)] == [What.CHECKPOINT]
    assert findings(ledger) == []


def test_a_statement_that_no_entry_tells_of_is_found(ledger: Ledger, first: FileSigner) -> None:
    """Whoever has both keys writes a succession into the past."""
    signed = ledger.rotate(BY, WHY)
    second = ledger.signer()
    assert isinstance(second, FileSigner)
    early = statement(1, first, second, 4, origin=signed.statement.origin)
    (ledger.folder / "keys").write_text(early.note)
    messages = [found.message for found in findings(ledger) if found.what is What.SUCCESSION]
    assert any("no entry tells of statement of succession 1" in message for message in messages)
    assert any("entry 7 tells of a statement of succession that is not there" in message for message in messages)
    assert any("speaks of another ledger" in message for message in messages)


def test_a_lost_key_is_replaced_by_a_break_that_is_told_until_the_new_one_is_trusted(
    ledger: Ledger, first: FileSigner, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="not lost"):
        ledger.replace_lost_key(BY, "lost")
    (tmp_path / "keys" / "ledger.key").unlink()
    with pytest.raises(NotFound):
        ledger.append(entries(7, 8))
    with pytest.raises(NotFound):
        ledger.rotate(BY, WHY)
    ledger.replace_lost_key(BY, "the disk of the key is broken")
    ledger.append(entries(7, 8))
    second = ledger.signer()
    [finding] = findings(ledger)
    assert finding.what is What.BREAK
    assert BY in finding.message
    assert "the disk of the key is broken" in finding.message
    assert findings(ledger, trusted=(second.fingerprint,)) == []
    assert findings(ledger, trusted=(first.fingerprint,)) != []
    found = ledger.succession()
    assert [span.public for span in trusted_from(first.fingerprint, found.statements, found.origin)] == [first.public]
    # What follows the break by a rotation is accepted with it.
    ledger.rotate(BY, WHY)
    assert [one.what for one in findings(ledger)] == [What.BREAK]
    assert findings(ledger, trusted=(ledger.signer().fingerprint,)) == []


def test_a_key_file_that_cannot_be_read_is_kept_beside_its_replacement(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "keys" / "ledger.key").write_bytes(b"half a k")
    ledger.replace_lost_key(BY, "the file is torn")
    ledger.append(entries(7, 8))
    assert [path.read_bytes() for path in ledger.keys.old_files] == [b"half a k"]
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {"ledger.key", "ledger.key.unread.old"}


def test_a_checkpoint_of_a_ledger_cut_back_before_a_rotation_is_not_continued(ledger: Ledger) -> None:
    known = Checkpoint("streamvault-ledger-0000000000000000", 9, bytes(32), "000000000000-202609.jsonl", 1)
    with pytest.raises(Damaged, match="cut back"):
        ledger.rotate(BY, WHY, expected=known)
    assert not (ledger.folder / "keys").exists()
