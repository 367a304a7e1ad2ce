"""`ledger verify` where no private key is: against which public key it verifies, whose word that is, and what it then finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streamvault
from index.environment import Table
from index.node import init_node, open_node
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.signing.ed25519 import PrivateKey

OWN_WORD = "nobody but the ledger itself says that this is its key"


def run(data: Path, *arguments: str) -> int:
    return streamvault.run(["--data", str(data), *arguments])


def verified(data: Path, capsys: pytest.CaptureFixture[str], *trusted: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, report, and what was said on standard error."""
    capsys.readouterr()
    code = run(data, "ledger", "verify", "--json", *(part for one in trusted for part in ("--trust", one)))
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def word(report: dict[str, Any]) -> tuple[str, str]:
    against = report["verified_against"]
    return against["word_of"], against["fingerprint"]


@pytest.fixture
def made(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A node with some entries, its private key moved to `office.key` beside it and its public one kept as `office.pem`."""
    init_node(data_path, lambda folder: Config(), SystemClock())
    assert run(data_path, "camera", "add", "cam-1", "rtsp://192.0.2.1/a") == 0
    (data_path / "keys" / "ledger.key").rename(data_path.parent / "office.key")
    shutil.copy(data_path / "ledger" / "public.pem", data_path.parent / "office.pem")
    return data_path


def fingerprint(made: Path) -> str:
    return PrivateKey.parse((made.parent / "office.key").read_bytes()).public.fingerprint


def bring_back(made: Path) -> None:
    (made.parent / "office.key").rename(made / "keys" / "ledger.key")


def forge(made: Path) -> None:
    """As whoever may write everything here does: another ledger with another key, and an index that remembers nothing."""
    folder = DataFolder.open(made)
    shutil.rmtree(folder.ledger)
    with open_node(folder, Config(), SystemClock()) as node, node.environment.write("forget") as txn:
        txn.delete(Table.META, b"ledger-checkpoint")
    Ledger(folder.ledger, folder.ledger_key).append([NewEntry(Kind.READ, "nobody", {"camera": 1}, {})])


def test_it_says_whose_word_its_key_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    office = fingerprint(made)
    code, report, said = verified(made, capsys)
    assert (code, word(report)) == (0, ("ledger", office))
    assert OWN_WORD in said
    for given in (office, " ".join(office[at : at + 4] for at in range(0, 64, 4)), str(made.parent / "office.pem")):
        code, report, said = verified(made, capsys, given)
        assert (code, word(report), said) == (0, ("given", office), "")
    assert run(made, "ledger", "verify") == 0
    assert f"verified against the key {office[:4]} {office[4:8]}" in capsys.readouterr().out
    bring_back(made)
    code, report, said = verified(made, capsys)
    assert (code, word(report), said) == (0, ("private key", office), "")


def test_a_key_in_the_environment_is_not_needed_either(
    data_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMVAULT_SIGNING_KEY", PrivateKey.generate().pem().decode())
    config = data_path.parent / "own.toml"
    config.write_text("[signing]\nkind = 'environment'\n")
    assert run(data_path, "--config", str(config), "init") == 0
    shutil.copy(config, data_path / "streamvault.toml")
    assert word(verified(data_path, capsys)[1])[0] == "private key"
    monkeypatch.delenv("STREAMVAULT_SIGNING_KEY")
    code, report, said = verified(data_path, capsys)
    assert (code, word(report)[0]) == (0, "ledger")
    assert OWN_WORD in said
    # What writes still needs it.
    assert run(data_path, "key", "rotate") == 3
    assert run(data_path, "camera", "add", "cam-1", "rtsp://192.0.2.1/a") == 0
    assert "waits to be written in the ledger" in capsys.readouterr().err


@pytest.mark.parametrize("leave_its_key", [True, False], ids=["with its private key", "without"])
def test_a_ledger_that_was_forged_as_a_whole_is_found_by_the_fingerprint_and_only_said_to_be_its_own_word_else(
    made: Path, capsys: pytest.CaptureFixture[str], leave_its_key: bool
) -> None:
    office = fingerprint(made)
    forge(made)
    if not leave_its_key:
        (made / "keys" / "ledger.key").unlink()
    code, report, _ = verified(made, capsys, office)
    assert (code, word(report)) == (8, ("given", office))
    assert "none that is trusted here" in report["findings"][0]["message"]
    # Nobody who has nothing from elsewhere can know better, and is told so.
    code, report, said = verified(made, capsys)
    assert (code, word(report)[0]) == (0, "private key" if leave_its_key else "ledger")
    assert (OWN_WORD in said) is not leave_its_key
    assert word(report)[1] != office


def other_key(path: Path) -> None:
    path.write_bytes(PrivateKey.generate().public.pem)


HARMS: dict[str, Callable[[Path], object]] = {
    "another key": other_key,
    "no key": lambda path: path.write_bytes(b"-----BEGIN"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("rotated", [False, True], ids=["first key", "second key"])
def test_a_public_key_that_was_tampered_with_is_found_with_and_without_a_fingerprint(
    made: Path, capsys: pytest.CaptureFixture[str], harm: str, rotated: bool
) -> None:
    office = fingerprint(made)
    if rotated:
        bring_back(made)
        assert run(made, "key", "rotate") == 0
        (made / "keys" / "ledger.key").rename(made.parent / "office.key")
    HARMS[harm](made / "ledger" / "public.pem")
    for given in ((), (office,), (fingerprint(made),)):
        code = run(made, "ledger", "verify", *(part for one in given for part in ("--trust", one)))
        said = capsys.readouterr()
        assert code == 8
        assert "public.pem" in said.out + said.err
    # With the private key at hand too: whoever has the public one only would be misled.
    bring_back(made)
    code, report, _ = verified(made, capsys)
    assert (code, [one["where"] for one in report["findings"]]) == (8, ["public.pem"])


def test_a_key_that_another_followed_may_be_the_one_that_is_given(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = fingerprint(made)
    bring_back(made)
    assert run(made, "key", "rotate") == 0
    (made / "keys" / "ledger.key").rename(made.parent / "office.key")
    for given in (first, fingerprint(made)):
        code, report, _ = verified(made, capsys, given)
        assert (code, word(report)) == (0, ("given", given))
    code, report, said = verified(made, capsys)
    assert (code, word(report)) == (0, ("ledger", fingerprint(made)))
    assert OWN_WORD in said
    # Without its statements the second key follows from nothing.
    (made / "ledger" / "keys").unlink()
    for given in ((), (first,)):
        assert verified(made, capsys, *given)[0] == 8


def test_what_is_given_counts_alone(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bring_back(made)
    code, report, _ = verified(made, capsys, "ab" * 32)
    assert (code, word(report)) == (8, ("given", "ab" * 32))
    assert run(made, "ledger", "verify", "--trust", str(made / "nowhere.pem")) == 2
    assert run(made, "ledger", "verify", "--trust", str(made / "keys" / "ledger.key")) == 2
    assert "BEGIN PRIVATE" not in capsys.readouterr().err
    secret = made / "keys" / "credentials.key"
    assert run(made, "ledger", "verify", "--trust", str(secret)) == 2
    assert secret.read_text().strip() not in (said := capsys.readouterr().err)
    assert "holds neither a public key" in said
