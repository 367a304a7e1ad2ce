"""The commands `ledger show` and `ledger verify`, as a person runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import streamvault
from index.duties import Duties
from index.environment import Table
from index.ledger_anchor import anchor, drained, object_key
from index.node import init_node, open_node
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.ledger.message import checkpoint_message


def run(data: Path, *arguments: str) -> int:
    return streamvault.run(["--data", str(data), *arguments])


@pytest.fixture
def made(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    init_node(data_path, lambda folder: Config(), SystemClock())
    for number in (1, 2):
        assert run(data_path, "camera", "add", f"cam-{number}", f"rtsp://192.0.2.{number}/a") == 0
    capsys.readouterr()
    return data_path


def shown(data: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert run(data, "ledger", "show", "--json", *arguments) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_init_makes_the_key_and_every_change_of_the_registry_is_shown(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (made / "keys" / "ledger.key").stat().st_mode & 0o777 == 0o600
    found = shown(made, capsys)
    assert [entry["subject"] for entry in found] == [
        {"document": "sites/default", "site": "default"},
        {"document": "cameras/0000000001", "camera": 1},
        {"document": "cameras/0000000002", "camera": 2},
    ]
    assert str(found[0]["time"]).endswith("Z")
    assert [entry["sequence"] for entry in found] == [0, 1, 2]
    assert run(made, "ledger", "show") == 0
    text = capsys.readouterr().out
    assert "camera #2" in text
    assert "new: id cam-2" in " ".join(text.split())
    assert "operator@" in text


def test_entries_are_chosen_by_camera_kind_time_and_number(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, "camera", "set", "cam-2", "--name", "yard") == 0
    capsys.readouterr()
    assert [entry["sequence"] for entry in shown(made, capsys, "--camera", "cam-2")] == [2, 3]
    assert [entry["sequence"] for entry in shown(made, capsys, "--camera", "#1")] == [1]
    assert shown(made, capsys, "--kind", "export") == []
    assert len(shown(made, capsys, "--kind", "export", "--kind", "registry")) == 4
    assert shown(made, capsys, "--to", "now-1h") == []
    assert len(shown(made, capsys, "--from", "now-1h", "--to", "now")) == 4
    assert [entry["sequence"] for entry in shown(made, capsys, "--limit", "2")] == [2, 3]
    assert run(made, "ledger", "show", "--limit", "3") == 0
    assert "1 older" in capsys.readouterr().out


def test_verify_confirms_and_then_names_what_was_edited(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, "ledger", "verify") == 0
    assert "entries: 3" in capsys.readouterr().out
    [log] = (made / "ledger").glob("*.jsonl")
    log.write_bytes(log.read_bytes().replace(b"192.0.2.1", b"192.0.2.9"))
    assert run(made, "ledger", "verify") == 8
    output = capsys.readouterr()
    assert "entry 1 is not the one that was signed" in output.out
    assert run(made, "ledger", "verify", "--json") == 8
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["what"], finding["first"], finding["last"], finding["where"]) == ("edited", 1, 1, log.name)


def test_a_data_folder_from_before_there_were_ledgers_has_none_yet_and_a_lost_one_is_an_error(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder.open(made)
    shutil.rmtree(folder.ledger)
    folder.ledger_key.unlink()
    assert run(made, "ledger", "verify") == 8
    assert "its public key, public.pem, is missing" in capsys.readouterr().err
    # As it was made then: nothing in the index remembers a ledger either.
    with open_node(folder, Config(), SystemClock()) as node, node.environment.write("as of old") as txn:
        txn.delete(Table.META, b"ledger-checkpoint")
    assert run(made, "ledger", "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 0
    assert run(made, "camera", "set", "cam-1", "--name", "gate") == 0
    assert run(made, "ledger", "verify") == 0
    assert "entries: 1," in capsys.readouterr().out


@pytest.mark.parametrize("where", ["index", "store"])
def test_a_ledger_made_anew_is_found_by_what_index_and_store_remember(
    made: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder.open(made)
    with open_node(folder, Config(), SystemClock()) as node:
        if where == "store":
            node.ledger.append([NewEntry(Kind.READ, "someone", {"camera": 1}, {}) for _ in range(4)])
            newest = node.ledger.newest()
            assert newest is not None
            node.store.put_bytes(object_key(newest), newest.note.encode())
        for path in folder.ledger.iterdir():
            path.unlink()
        node.ledger.append([NewEntry(Kind.READ, "someone else", {}, {}) for _ in range(3)])
    assert run(made, "ledger", "verify", "--json") == 8
    findings = json.loads(capsys.readouterr().out)["findings"]
    told = {(finding["what"], finding["where"].split(",")[0]) for finding in findings}
    # The index knows three entries, which this ledger has others of; the store seven, more than there are.
    assert (
        told == {("forked", "the index")} if where == "index" else told & {("forked", "the index"), ("truncated", "the store")}
    )


def test_a_change_is_done_and_said_where_the_ledger_cannot_take_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = made / "keys" / "ledger.key"
    key.rename(made / "elsewhere")
    assert run(made, "camera", "add", "cam-3", "rtsp://192.0.2.3/a") == 0
    assert "waits to be written in the ledger" in capsys.readouterr().err
    (made / "elsewhere").rename(key)
    assert run(made, "camera", "list") == 0
    capsys.readouterr()
    assert [entry["subject"] for entry in shown(made, capsys)][-1] == {"document": "cameras/0000000003", "camera": 3}


def test_an_index_made_anew_remembers_the_ledger_by_the_store(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = DataFolder.open(made)
    with open_node(folder, Config(), SystemClock()) as node:
        newest = node.ledger.newest()
        assert newest is not None
        node.store.put_bytes(object_key(newest), newest.note.encode())
        node.store.put_bytes("ledger/zzz/999999999999.txt", b"not a checkpoint")
    assert run(made, "index", "rebuild") == 0
    with open_node(folder, Config(), SystemClock()) as node:
        with node.environment.read() as txn:
            assert anchor(txn) == newest.checkpoint
            assert drained(txn) == newest.checkpoint.size
        # What was told before the index was lost is not told again.
        assert node.outbox.waiting() == 0
    assert run(made, "camera", "set", "cam-1", "--name", "gate") == 0
    capsys.readouterr()
    assert [entry["sequence"] for entry in shown(made, capsys)] == [0, 1, 2, 3]


def test_a_ledger_that_was_cut_back_is_found_by_a_log_that_was_kept_elsewhere(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = Ledger(made / "ledger", made / "keys" / "ledger.key").newest()
    assert newest is not None
    log, notes, other = tmp_path / "messages", tmp_path / "notes", tmp_path / "other"
    text = checkpoint_message(newest, 5).text
    log.write_text(f"Nov 30 host streamvault: {text}\n" + json.dumps({"msg": text}, ensure_ascii=False) + "\n")
    notes.write_text(newest.note)
    other.write_text("nothing\n")
    for kept in (log, notes):
        assert run(made, "ledger", "verify", "--kept", str(kept), "--json") == 0
        assert json.loads(capsys.readouterr().out)["kept_elsewhere"] > 0
    assert run(made, "ledger", "verify", "--kept", str(other)) == 3
    # Ledger and index go back to what they were before the last entry.
    with open_node(DataFolder.open(made), Config(), SystemClock()) as node:
        [log_file] = node.ledger.folder.glob("*.jsonl")
        lines = log_file.read_bytes().splitlines(keepends=True)
        first = node.folder.ledger / "checkpoints"
        log_file.write_bytes(lines[0])
        first.write_text("".join(first.read_text().splitlines(keepends=True)[:6]))
        with node.environment.write("go back") as txn:
            txn.delete(Table.META, b"ledger-checkpoint")
    capsys.readouterr()
    assert run(made, "ledger", "verify", "--json") == 0
    assert run(made, "ledger", "verify", "--kept", str(log)) == 8
    assert "truncated" in capsys.readouterr().out


def test_how_far_the_forwarding_is_can_be_seen(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, "ledger", "forward", "status") == 3
    (made / "streamvault.toml").write_text('[forward]\naddress = "tcp://127.0.0.1:9"\n')
    assert run(made, "ledger", "forward", "status") == 0
    assert "0 of 3 entries" in capsys.readouterr().out
    with open_node(DataFolder.open(made), Config(), SystemClock()) as node:
        state = {"receiver": "tcp://127.0.0.1:9", "settled": 1, "read": 2, "behind_since_us": 5_000_000, "error": "x\x1b[31my"}
        Duties(node.environment).put("forward", state)
    assert run(made, "ledger", "forward", "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["read"], found["settled"], found["waiting"], found["behind_since"]) == (
        2,
        1,
        1,
        "1970-01-01T00:00:05.000000Z",
    )
    assert run(made, "ledger", "forward", "status") == 0
    assert "\x1b" not in capsys.readouterr().out
