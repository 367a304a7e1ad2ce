"""The commands `key …` as a person runs them, and what index and store remember of keys that followed each other."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

import streamvault
from index.alarms import Alarms
from index.ledger_anchor import anchor, stored_anchors
from index.node import open_node
from ingest.bookkeeper import Bookkeeper
from tests.support.tools import need
from tests.test_house import ROOT
from vault.clock import SystemClock
from vault.config import Config, Signing, parse
from vault.datafolder import DataFolder
from vault.errors import ConfigError, Damaged
from vault.signing.ed25519 import PrivateKey, PublicKey

BEFORE = ROOT / "tests" / "fixtures" / "ledger" / "one_key_and_no_succession.tar.gz"


def run(data: Path, *arguments: str) -> int:
    return streamvault.run(["--data", str(data), *arguments])


@pytest.fixture
def made(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(data_path, "init") == 0
    capsys.readouterr()
    return data_path


def shown(data: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    capsys.readouterr()
    assert run(data, *arguments, "--json") == 0
    found: dict[str, str] = json.loads(capsys.readouterr().out)
    return found


def test_the_public_key_is_shown_as_text_and_as_a_code_that_is_read_as_it(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = (made / "keys" / "ledger.key").read_text().splitlines()[1]
    assert run(made, "key", "show") == 0
    text = capsys.readouterr().out
    pem = (made / "ledger" / "public.pem").read_text()
    assert pem in text
    public = PublicKey.parse(pem.encode())
    assert " ".join(public.fingerprint[at : at + 4] for at in range(0, 64, 4)) in text
    assert run(made, "key", "show", "--qr", str(tmp_path / "key.png")) == 0
    read = subprocess.run(
        [need("zbarimg"), "--raw", "-q", str(tmp_path / "key.png")], check=True, capture_output=True, text=True
    )
    assert read.stdout.strip() == pem.strip()
    assert run(made, "key", "show", "--qr", str(tmp_path / "key.png")) == 2
    assert run(made, "key", "show", "--qr", str(tmp_path / "key.svg"), "--force") == 0
    assert run(made, "key", "show", "--qr", "terminal") == 0
    assert "▀" in capsys.readouterr().out
    assert run(made, "key", "show", "--qr", str(tmp_path / "key.gif")) == 2
    assert run(made, "key", "show", "--qr", "terminal", "--json") == 2
    found = shown(made, capsys, "key", "show")
    assert (found["public_pem"], found["fingerprint"], found["earlier"]) == (pem, public.fingerprint, [])
    assert secret not in f"{text}{found}"
    # Whoever lost the private key can still show which it was.
    (made / "keys" / "ledger.key").unlink()
    assert "not at hand" in shown(made, capsys, "key", "show")["place"]


def test_a_rotation_is_known_to_index_and_store_and_outlives_the_index(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, before = shown(made, capsys, "key", "show"), len(entries(made, capsys))
    assert run(made, "key", "rotate", "--by", "second officer", "--why", "left the office") == 0
    assert run(made, "camera", "add", "cam-1", "rtsp://192.0.2.1/a") == 0
    second = shown(made, capsys, "key", "show")
    [earlier] = second["earlier"]
    assert isinstance(earlier, dict)
    assert (earlier["fingerprint"], earlier["by"], earlier["why"]) == (
        first["fingerprint"],
        "second officer",
        "left the office",
    )
    assert run(made, "key", "show") == 0
    assert "left the office" in capsys.readouterr().out
    folder = DataFolder.open(made)
    with open_node(folder, Config(), SystemClock()) as node:
        Bookkeeper(node).run_once()
        with node.environment.read() as txn:
            assert anchor(txn) == (node.ledger.newest() or pytest.fail("no checkpoint")).checkpoint
        kept = [one.note for one in stored_anchors(node.store)]
    assert second["statements"] in kept
    assert len(kept) == 2
    assert shown(made, capsys, "ledger", "verify")["findings"] == []
    shutil.rmtree(made / "index")
    assert run(made, "index", "rebuild") == 0
    assert run(made, "camera", "set", "cam-1", "--name", "gate") == 0
    assert run(made, "check") == 0
    found = shown(made, capsys, "ledger", "verify")
    assert found["findings"] == []
    assert [key["until"] for key in found["keys"] if isinstance(key, dict)] == [before, None]
    # Another succession than the store knows is no longer accepted, nor is none.
    (made / "ledger" / "keys").unlink()
    assert run(made, "ledger", "verify", "--json") == 8
    told = json.loads(capsys.readouterr().out)["findings"]
    assert {one["what"] for one in told} == {"succession"}
    assert run(made, "camera", "set", "cam-1", "--name", "yard") == 0
    assert "waits to be written in the ledger" in capsys.readouterr().err
    # Back from the store, as the README says.
    parts = sorted((made / "store" / "ledger").glob("*/keys/*.txt"))
    (made / "ledger" / "keys").write_bytes(b"".join(path.read_bytes() for path in parts))
    assert run(made, "camera", "list") == 0
    assert shown(made, capsys, "ledger", "verify")["findings"] == []


def test_a_store_that_knows_another_succession_is_said(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that was set back, with its keys, and let another key follow."""
    with open_node(DataFolder.open(made), Config(), SystemClock()) as node:
        Bookkeeper(node).run_once()
    shutil.copytree(made, made.parent / "before")
    assert run(made, "key", "rotate") == 0
    for part in ("keys", "ledger", "index"):
        shutil.rmtree(made / part)
        shutil.copytree(made.parent / "before" / part, made / part)
    assert run(made, "key", "rotate") == 8
    output = capsys.readouterr()
    assert "000001.txt" in output.err
    assert "is signed by" in output.out
    assert run(made, "ledger", "verify", "--json") == 8
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert finding["what"] == "succession"
    assert "000001.txt" in finding["where"]
    with open_node(DataFolder.open(made), Config(), SystemClock()) as node:
        with pytest.raises(Damaged):
            Bookkeeper(node).run_once()
        assert [alarm.kind for alarm in Alarms(node.environment).lasting()] == ["ledger broken"]


def test_a_lost_key_is_replaced_only_by_a_word_and_told_until_it_is_trusted(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(entries(made, capsys))
    assert run(made, "key", "replace", "--why", "x") == 2
    assert run(made, "key", "replace", "--lost", "--why", "x") == 4
    (made / "keys" / "ledger.key").unlink()
    assert run(made, "camera", "add", "cam-1", "rtsp://192.0.2.1/a") == 0
    assert run(made, "key", "replace", "--lost", "--why", "two\nlines") == 2
    assert run(made, "key", "replace", "--lost", "--by", "first officer", "--why", "disk of 9901 broke") == 0
    found = shown(made, capsys, "key", "show")
    assert run(made, "ledger", "verify") == 8
    told = capsys.readouterr()
    words = " ".join(told.out.split())
    assert "break" in words
    assert "9901" in words
    assert run(made, "ledger", "verify", "--trust", found["fingerprint"]) == 0
    assert run(made, "ledger", "verify", "--trust", "0" * 64) == 8
    assert run(made, "ledger", "verify", "--trust", "nothing") == 2
    # What waited for a key went in behind the break.
    assert [entry["kind"] for entry in entries(made, capsys)][before - 1 :] == ["registry", "key", "registry"]


def entries(data: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    assert run(data, "ledger", "show", "--json") == 0
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_a_key_in_the_environment_takes_over_and_is_never_in_a_file(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = PrivateKey.generate().pem().decode()
    (made / "streamvault.toml").write_text("[signing]\nkind = 'environment'\n")
    assert run(made, "key", "rotate") == 4
    monkeypatch.setenv("STREAMVAULT_SIGNING_KEY", pem)
    assert run(made, "key", "rotate") == 0
    assert not (made / "keys" / "ledger.key").exists()
    assert run(made, "key", "rotate") == 4
    monkeypatch.setenv("STREAMVAULT_SIGNING_KEY_NEXT", PrivateKey.generate().pem().decode())
    assert run(made, "key", "rotate") == 0
    said = capsys.readouterr()
    assert "still in the environment variable STREAMVAULT_SIGNING_KEY;" in said.err
    monkeypatch.delenv("STREAMVAULT_SIGNING_KEY")
    assert shown(made, capsys, "ledger", "verify")["findings"] == []
    secret = pem.splitlines()[1]
    assert not [path for path in made.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert secret not in said.out + said.err


def test_a_key_in_a_file_that_the_configuration_names_is_made_and_followed_there(
    data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "elsewhere" / "signing.pem"
    named.parent.mkdir()
    (tmp_path / "own.toml").write_text(f"[signing]\nfile = '{named}'\n")
    for arguments in (["init"], ["key", "rotate", "--keep-old"], ["key", "rotate"]):
        assert run(data_path, "--config", str(tmp_path / "own.toml"), *arguments) == 0
    assert not (data_path / "keys" / "ledger.key").exists()
    assert len(list(named.parent.iterdir())) == 2
    assert run(data_path, "--config", str(tmp_path / "own.toml"), "ledger", "verify") == 0
    # Without the configuration nobody knows where the key is: what is there can be verified, and nothing be added.
    capsys.readouterr()
    assert run(data_path, "ledger", "verify") == 0
    assert "the ledger's own word" in capsys.readouterr().out
    assert run(data_path, "key", "rotate") == 3


def test_a_data_folder_from_before_keys_could_follow_each_other_opens_and_verifies(
    data_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made by the program as it was then; only its index is left out, which is made anew."""
    data_path.mkdir(mode=0o700)
    with tarfile.open(BEFORE) as archive:
        archive.extractall(data_path, filter="data")
    data_path.chmod(0o700)
    assert not (data_path / "ledger" / "keys").exists()
    before = (data_path / "ledger" / "checkpoints").read_bytes()
    assert run(data_path, "index", "rebuild") == 0
    found = shown(data_path, capsys, "ledger", "verify")
    assert (found["findings"], found["entries"]) == ([], 3)
    assert run(data_path, "camera", "set", "gate-1", "--name", "east gate") == 0
    assert run(data_path, "key", "rotate") == 0
    assert run(data_path, "camera", "set", "gate-1", "--name", "west gate") == 0
    found = shown(data_path, capsys, "ledger", "verify")
    assert (found["findings"], found["entries"]) == ([], 6)
    assert (data_path / "ledger" / "checkpoints").read_bytes().startswith(before)


def test_a_token_is_named_whole_or_not_at_all() -> None:
    path = Path("a.toml")
    assert parse(b"[signing]\nlibrary = '/x.so'\ntoken = 't'\n", path).signing == Signing(library="/x.so", token="t")
    for text in (b"kind = 'pkcs11'\n", b"token = 't'\n", b"library = '/x.so'\n", b"kind = 'usb'\n"):
        with pytest.raises(ConfigError, match="signing"):
            parse(b"[signing]\n" + text, path)
