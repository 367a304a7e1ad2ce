"""A key on a real PKCS#11 token: it signs there and never leaves; moving onto it and from it are rotations.

Everything that touches the library is done in processes of its own, as other programs would.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from tests.support.killing import elsewhere, killed_at
from tests.support.ledgers import entries
from tests.support.tokens import PIN, Token, new_token
from tests.support.tools import need
from tests.test_house import ROOT
from vault.ledger.ledger import Ledger
from vault.ledger.succession import parse_succession, trusted_from
from vault.ledger.verify import verify
from vault.signing.ed25519 import PublicKey
from vault.signing.keys import Keys


@pytest.fixture
def token(tmp_path: Path) -> Token:
    return new_token(tmp_path / "hsm", "vault-9901")


def run(token: Token, data: Path, *steps: object, code: int = 0) -> list[str]:
    """Commands in a process of their own, as lists of arguments; nothing that they say holds the PIN or a private key."""
    whole = [["--data", str(data), *step] if isinstance(step, list) else step for step in steps]
    command = [sys.executable, "-m", "tests.support.commands_main"]
    environ = {**os.environ, **token.environ}
    done = subprocess.run(command, cwd=ROOT, env=environ, input=json.dumps(whole), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PIN not in done.stdout + done.stderr
    assert "PRIVATE" not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [one for one, _ in told] == [code] * len(told), told
    return [text for _, text in told]


def fingerprint(text: str) -> str:
    return str(json.loads(text)["fingerprint"])


def objects(token: Token) -> list[str]:
    """The kinds of the keys that another program sees on the token."""
    command = [
        need("pkcs11-tool"),
        "--module",
        token.library,
        "--token-label",
        token.label,
        "--login",
        "--pin",
        "env:PIN",
        "-O",
    ]
    done = subprocess.run(command, env={**os.environ, **token.environ, "PIN": PIN}, capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if " Key Object" in line]


def test_a_ledger_moves_onto_a_token_and_back_and_everything_verifies(token: Token, tmp_path: Path) -> None:
    data = tmp_path / "data"
    show, config = ["key", "show", "--json"], str(data / "streamvault.toml")
    _, first, moved, second = run(
        token, data, ["init"], show, {"path": config, "text": token.toml}, ["key", "rotate", "--why", "onto the token"], show
    )
    assert "vault-9901" in moved
    assert not (data / "keys" / "ledger.key").exists()
    assert json.loads(second)["place"] == "the token vault-9901"
    assert sorted(objects(token)) == ["Private", "Public"]
    # Another process finds the key there and goes on with it; a second key on the same token; then back into a file while the
    # token is still told of, and at last without the token, which nothing needs any more.
    back = {"path": config, "text": token.toml.replace("'pkcs11'", "'file'")}
    _, _, third, _, _, last, verified = run(
        token, data, ["camera", "add", "cam-1", "rtsp://192.0.2.1/a"], ["key", "rotate"], show, back, ["key", "rotate"],
        ["camera", "add", "cam-2", "rtsp://192.0.2.2/a"], {"path": config, "text": ""}, show, ["ledger", "verify", "--json"],
    )  # fmt: skip
    assert (data / "keys" / "ledger.key").stat().st_mode & 0o777 == 0o600
    assert json.loads(verified)["findings"] == []
    fingerprints = [fingerprint(text) for text in (first, second, third, last)]
    assert len(set(fingerprints)) == 4
    end = json.loads(last)
    spans = trusted_from(fingerprints[0], parse_succession(end["statements"]), end["ledger"])
    assert [span.public.fingerprint for span in spans] == fingerprints
    assert PublicKey.parse(end["public_pem"].encode()) == spans[-1].public


def test_a_ledger_may_begin_on_a_token_and_openssl_confirms_its_checkpoint(token: Token, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (tmp_path / "own.toml").write_text(token.toml)
    run(token, data, ["--config", str(tmp_path / "own.toml"), "init"])
    assert [path.name for path in (data / "keys").iterdir()] == ["credentials.key"]
    note = (data / "ledger" / "checkpoints").read_text().splitlines(keepends=True)
    (tmp_path / "text").write_text("".join(note[:4]))
    command = f"tail -n 1 {data}/ledger/checkpoints | cut -d ' ' -f 3 | base64 -d | tail -c 64 > {tmp_path}/signature"
    subprocess.run(["sh", "-c", command], check=True)
    check = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(data / "ledger" / "public.pem")]
    subprocess.run([*check, "-in", str(tmp_path / "text"), "-sigfile", str(tmp_path / "signature")], check=True)
    # Without the token the same is said of it, by public knowledge; and nothing can be added.
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.conf").write_text(f"directories.tokendir = {tmp_path}/empty\nobjectstore.backend = file\n")
    command = [sys.executable, "-m", "streamvault", "--data", str(data), "--config", str(tmp_path / "own.toml")]
    environ = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "none.conf")}
    for arguments, code in ((["ledger", "verify", "--json"], 0), (["key", "rotate"], 3)):
        done = subprocess.run([*command, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        if code == 0:
            assert json.loads(done.stdout)["verified_against"]["word_of"] == "ledger"


def attempts(token: Token, tmp_path: Path, lines: Sequence[str]) -> list[str]:
    """What a program of these lines prints; `keys` is there, and in `head` what makes it."""
    head = "\n".join(
        [
            "import subprocess, sys",
            "from pathlib import Path",
            "from vault.config import Signing",
            "from vault.errors import StreamvaultError",
            "from vault.signing.keys import Keys",
            f"settings = Signing(kind='pkcs11', library={token.library!r}, token={token.label!r}, pin_file={str(token.pin_file)!r})",
            f"keys = Keys(Path({str(tmp_path)!r}) / 'keys' / 'ledger.key', settings)",
            "def told(work):",
            "    try: print(work())",
            "    except StreamvaultError as error: print(type(error).__name__, error)",
            "",
        ]
    )
    program = f"head = {head!r}\n{head}" + "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, env={**os.environ, **token.environ}, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert PIN not in done.stdout
    return done.stdout.splitlines()


def test_a_wrong_pin_is_tried_once_and_the_right_one_works_after_it(token: Token, tmp_path: Path) -> None:
    lines = [
        "from pathlib import Path",
        f"pin = Path({str(token.pin_file)!r})",
        "right = pin.read_text()",
        "pin.write_text('11111111')",
        *["told(lambda: keys.begin().fingerprint)"] * 3,
        "pin.write_text(right)",
        "told(lambda: len(keys.begin().fingerprint))",
        "told(lambda: keys.begin().fingerprint == keys.begin().fingerprint)",
    ]
    told = attempts(token, tmp_path, lines)
    assert "refuses the PIN" in told[0]
    assert all("not tried again" in line for line in told[1:3])
    assert told[3:] == ["64", "True"]


def test_what_is_wrong_with_a_token_is_said(token: Token, tmp_path: Path) -> None:
    lines = [
        "import dataclasses",
        "told(lambda: dataclasses.replace(keys, settings=dataclasses.replace(settings, token='none-9902')).begin())",
        "told(lambda: dataclasses.replace(keys, settings=dataclasses.replace(settings, library='/nowhere.so')).begin())",
        "told(lambda: dataclasses.replace(keys, settings=dataclasses.replace(settings, pin_file=''), environ={}).begin())",
        "told(lambda: keys.find('0' * 64))",
        "print(keys.begin(), repr(keys.begin()), keys.begin().place)",
        # A repetition takes the pair that is there and no statement names.
        "one = keys.begin().fingerprint",
        "print(keys.succeed([]).fingerprint == one, keys.succeed([one]).fingerprint == one, len(keys.held()))",
        # A pair that another process makes is found by one that has looked before.
        "program = 'known = ' + repr([found.fingerprint for found in keys.held()])",
        "other = subprocess.run([sys.executable, '-c', head + program + '; print(keys.succeed(known).fingerprint)'], stdout=-1, text=True)",
        "print(keys.find(one).fingerprint == one, keys.find(other.stdout.strip()).fingerprint == other.stdout.strip())",
        "signer = keys.begin()",
        "print(signer.public.made(signer.sign(b'x'), b'x'))",
        # A session that ended, as when a token was pulled out and put back.
        "import vault.signing.token as token",
        "for session in token._SESSIONS.values(): session.close()",
        "print(signer.public.made(signer.sign(b'y'), b'y'))",
    ]
    told = attempts(token, tmp_path, lines)
    assert "NotFound" in told[0]
    assert "none-9902" in told[0]
    assert told[1].startswith("StoreError")
    assert "STREAMVAULT_PKCS11_PIN" in told[2]
    assert told[3].startswith("NotFound")
    assert "the token vault-9901" in told[4]
    assert told[5:] == ["True False 2", "True True", "True", "True"]


def test_a_pin_that_others_may_read_is_refused(token: Token, tmp_path: Path) -> None:
    token.pin_file.chmod(0o644)
    data = tmp_path / "data"
    (tmp_path / "own.toml").write_text(token.toml)
    [told] = run(token, data, ["--config", str(tmp_path / "own.toml"), "init"], code=4)
    assert "chmod 600" in told


def test_a_kill_while_a_ledger_moves_onto_a_token_leaves_one_that_goes_on(token: Token, tmp_path: Path) -> None:
    """The library is used in forked processes only, each new to it; this one never loads it."""
    made = Ledger(tmp_path / "made" / "ledger", tmp_path / "made" / "keys" / "ledger.key")
    (tmp_path / "made" / "keys").mkdir(parents=True)
    made.append(entries(0, 3))
    shutil.copytree(token.folder, tmp_path / "made" / "hsm")
    steps = 0
    killed = True
    while killed:
        copy = tmp_path / f"copy-{steps}"
        shutil.copytree(tmp_path / "made", copy)
        conf = copy / "hsm" / "softhsm2.conf"
        conf.write_text(conf.read_text().replace(str(token.folder), str(copy / "hsm")))
        tried = Ledger(copy / "ledger", Keys(copy / "keys" / "ledger.key", token.settings()))

        def go_on(tried: Ledger = tried, copy: Path = copy) -> None:
            tried.append(entries(3, 5))
            if not tried.succession().statements:
                tried.rotate("operator@test", "again")
                tried.append(entries(5, 6))
            assert verify(tried.folder, tried.keys).findings == []
            # One pair, however often it was tried.
            assert [one.place for one in tried.keys.held()] == ["the token vault-9901"]
            assert not (copy / "keys" / "ledger.key").exists()

        with mock.patch.dict(os.environ, {"SOFTHSM2_CONF": str(conf)}):
            killed = killed_at(steps, functools.partial(tried.rotate, "operator@test", "onto the token"))
            elsewhere(go_on)
        steps += 1
    assert steps > 10
