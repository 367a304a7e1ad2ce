"""`streamvault verify`: the same verdict as the file that is handed out, and this installation's own ledger beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streamvault
from access.package.bundle import verifier
from access.package.container import Form, deliver
from access.package.verifier.command import VARIABLE
from tests.support.packages import Installation, custody_of
from tests.support.verifying import bare_json, kinds
from vault.ledger.entry import Kind, NewEntry

PASSWORD = "a password of some length"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """A data folder in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMVAULT_DATA", raising=False)
    assert streamvault.run(["--data", "data", "init"]) == 0
    return Installation(tmp_path / "data")


def verified(capsys: pytest.CaptureFixture[str], package: Path, *options: str, data: str | None = None) -> dict[str, Any]:
    capsys.readouterr()
    code = streamvault.run([*(["--data", data] if data else []), "verify", str(package), "--json", *options])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return document


def spoil(package: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    (package / path).write_bytes(change((package / path).read_bytes()))


HARMS: dict[str, Callable[[Path], object]] = {
    "none": lambda p: None,
    "media": lambda p: spoil(p, "data/report.html", lambda data: data + b" "),
    "custody": lambda p: spoil(p, "data/custody.json", lambda data: data.replace(b"unit-1", b"unit-2")),
    "proof": lambda p: spoil(p, "proof/intent.json", lambda data: data.replace(b"index", b"indix")),
    "checkpoint": lambda p: spoil(p, "proof/checkpoint", lambda data: data[:-3] + b"x" + data[-2:]),
    "key": lambda p: spoil(p, "proof/public.pem", lambda data: data[::-1]),
    "gone": lambda p: (p / "proof/completion.json").unlink(),
    "link": lambda p: (p / "data/link").symlink_to("nowhere"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_it_says_what_the_file_that_is_handed_out_says(
    harm: str, installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = installation.export()
    HARMS[harm](package)
    assert verified(capsys, package) == bare_json(tmp_path / "bare", package)


def test_it_says_the_same_of_a_tar_and_of_an_encrypted_one(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = installation.export()
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    secret = ("--password-file", str(tmp_path / "password"))
    for form, password in ((Form.TAR, None), (Form.ENCRYPTED, PASSWORD)):
        whole = deliver(package, tmp_path / form.file_name("x9901"), form, password).path
        said = verified(capsys, whole, *secret)
        assert said == bare_json(tmp_path / "bare", whole, *secret)
        assert said["whole"]
        with whole.open("r+b") as file:
            file.truncate(whole.stat().st_size // 2)
        said = verified(capsys, whole, *secret)
        assert said == bare_json(tmp_path / "bare", whole, *secret)
        assert kinds(said["findings"]) == {"container"}


def test_beside_a_data_folder_its_own_keys_are_the_ones_that_are_trusted(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, foreign = installation.export(), Installation(tmp_path / "other").export(custody_of("x9902"))
    assert verified(capsys, own, data="data")["whole"]
    said = verified(capsys, foreign, data="data")
    assert (said["exit_code"], kinds(said["findings"])) == (4, {"key"})
    installation.ledger.rotate("someone", "yearly")
    assert verified(capsys, own, data="data")["whole"]
    # Another's package is judged by the key that is given, and not by this ledger.
    assert verified(capsys, foreign, "--key", str(foreign / "proof/public.pem"), data="data")["whole"]


def test_a_ledger_that_was_cut_back_after_the_hand_out_is_found(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = installation.ledger.folder
    shutil.copytree(ledger, tmp_path / "before")
    package = installation.export()
    assert verified(capsys, package, data="data")["whole"]
    shutil.rmtree(ledger)
    shutil.copytree(tmp_path / "before", ledger)
    said = verified(capsys, package, data="data")
    assert (said["exit_code"], kinds(said["findings"])) == (8, {"ledger"})
    assert "cut back" in said["findings"][0]["message"]
    # Filled up again with other entries it is another one still.
    installation.ledger.append([NewEntry(Kind.POLICY, "someone", {}, {"n": n}) for n in range(50)])
    said = verified(capsys, package, data="data")
    assert kinds(said["findings"]) == {"ledger"}


def test_beside_a_data_folder_no_private_key_is_needed_and_whose_word_its_key_is_is_said(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, office = installation.export(), installation.fingerprint
    said = verified(capsys, package, data="data")
    assert (said["whole"], said["verified_against"]["word_of"]) == (True, "private key")
    (tmp_path / "data" / "keys" / "ledger.key").rename(tmp_path / "office.key")
    said = verified(capsys, package, data="data")
    assert (said["whole"], said["verified_against"]["word_of"]) == (True, "ledger")
    assert said["verified_against"]["fingerprint"] == office
    assert verified(capsys, package, "--key", office, data="data")["whole"]
    assert streamvault.run(["--data", "data", "verify", str(package)]) == 0
    read = capsys.readouterr()
    assert "the ledger's own word" in read.out
    assert "give that one with --key" in read.err
    # What the ledger no longer holds is found without it as well.
    for name in ("checkpoints", "tree.hashes"):
        (installation.ledger.folder / name).unlink()
    for log in installation.ledger.folder.glob("*.jsonl"):
        log.unlink()
    (tmp_path / "office.key").rename(tmp_path / "data" / "keys" / "ledger.key")
    installation.ledger.append([NewEntry(Kind.POLICY, "someone", {}, {})])
    (tmp_path / "data" / "keys" / "ledger.key").unlink()
    said = verified(capsys, package, data="data")
    assert (said["exit_code"], kinds(said["findings"])) == (8, {"ledger"})


def test_a_data_folder_whose_ledger_has_no_entry_has_nothing_to_say(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = installation.export()
    shutil.rmtree(installation.ledger.folder)
    assert verified(capsys, package, data="data") == bare_json(tmp_path / "bare", package)


def test_people_read_the_verdict_in_both_languages(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    package = installation.export()
    assert streamvault.run(["verify", str(package)]) == 0
    assert "VERDICT: whole, unchanged" in capsys.readouterr().out
    (package / "data/report.html").unlink()
    assert streamvault.run(["verify", str(package)]) == 8
    said = capsys.readouterr().out
    assert "✗ 缺失 missing: data/report.html" in said
    assert "不可采信" in said


def test_folders_in_folders_without_end_are_no_fault(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = installation.export()
    with monkeypatch.context() as inside:
        inside.chdir(package)
        for _ in range(1_200):
            os.mkdir("a")
            os.chdir("a")
    assert streamvault.run(["verify", str(package)]) == 8
    assert "name: a/a" in capsys.readouterr().out
    # What cleans up behind tests does not go so deep.
    subprocess.run(["rm", "-r", str(package / "a")], check=True)


def test_the_office_hands_the_verifier_over_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "verify.py"
    assert streamvault.run(["verifier", "-o", str(file)]) == 0
    assert file.read_bytes() == verifier()
    assert hashlib.sha256(verifier()).hexdigest() in capsys.readouterr().out
    assert streamvault.run(["verifier", "-o", str(file)]) == 2
    assert streamvault.run(["verifier", "-o", str(file), "--force"]) == 0


def test_a_call_that_is_wrong_is_said_to_be(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", None)
    package = installation.export()
    assert streamvault.run(["verify", str(package), "--key", "nonsense"]) == 2
    assert streamvault.run(["--data", "nowhere", "verify", str(package)]) == 3
    assert streamvault.run(["verify", str(tmp_path / "nowhere")]) == 7
    enc = deliver(package, tmp_path / "x.enc", Form.ENCRYPTED, PASSWORD).path
    assert streamvault.run(["verify", str(enc)]) == 2
    assert VARIABLE in capsys.readouterr().err
