"""A signing key in a file or in the environment: private, whole, never shown; what it signs, OpenSSL confirms."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.tools import need
from vault.config import Signing
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.ledger.ledger import Ledger
from vault.signing.ed25519 import PrivateKey, PublicKey
from vault.signing.filekey import create_signer, environment_signer, read_signer
from vault.signing.keys import Keys
from vault.signing.signer import fingerprint_of, grouped


def test_a_new_key_file_is_its_owners_alone_and_is_made_once(tmp_path: Path) -> None:
    made = create_signer(tmp_path / "ledger.key")
    assert (tmp_path / "ledger.key").stat().st_mode & 0o777 == 0o600
    assert read_signer(tmp_path / "ledger.key").fingerprint == made.fingerprint
    with pytest.raises(Refused, match="already"):
        create_signer(tmp_path / "ledger.key")
    (tmp_path / "ledger.key").chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        read_signer(tmp_path / "ledger.key")


def test_openssl_confirms_a_signature_and_shows_the_same_fingerprint(tmp_path: Path) -> None:
    openssl = need("openssl")
    signer = create_signer(tmp_path / "ledger.key")
    (tmp_path / "public.pem").write_bytes(signer.public_pem)
    (tmp_path / "text").write_bytes(b"what is signed")
    (tmp_path / "signature").write_bytes(signer.sign(b"what is signed"))
    check = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "public.pem", "-in", "text", "-sigfile", "signature"]
    subprocess.run(check, cwd=tmp_path, check=True, capture_output=True)
    shown = subprocess.run(
        ["sh", "-c", "openssl pkey -pubin -in public.pem -outform DER | tail -c 32 | sha256sum"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.stdout.split()[0] == signer.fingerprint


def test_a_key_that_openssl_made_is_taken_from_the_environment(tmp_path: Path) -> None:
    pem = subprocess.run(
        [need("openssl"), "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True, text=True
    ).stdout
    key = environment_signer({"KEY": pem}, "KEY")
    # As files of environment variables write it, in one line.
    assert environment_signer({"KEY": pem.replace("\n", "\\n")}, "KEY").fingerprint == key.fingerprint
    assert key.public.made(key.sign(b"x"), b"x")
    with pytest.raises(NotFound):
        environment_signer({}, "KEY")


@pytest.mark.parametrize(
    "text",
    ["", "SECRET-SECRET", "-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----\n", "\0" * 9000],
)
def test_what_is_no_key_is_said_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Damaged) as told:
        read_signer(path)
    assert "SECRET" not in str(told.value)
    assert told.value.__cause__ is None
    if text:
        with pytest.raises(Damaged) as told:
            environment_signer({"KEY": text}, "KEY")
        assert "SECRET" not in str(told.value)


def test_a_key_of_another_kind_or_under_a_password_is_refused(tmp_path: Path) -> None:
    openssl = need("openssl")
    for arguments in (["-algorithm", "ed448"], ["-algorithm", "ed25519", "-aes256", "-pass", "pass:x"]):
        pem = subprocess.run([openssl, "genpkey", *arguments], check=True, capture_output=True).stdout
        with pytest.raises(Damaged):
            PrivateKey.parse(pem)


def test_nothing_that_prints_a_signer_shows_its_key(tmp_path: Path) -> None:
    signer = create_signer(tmp_path / "ledger.key")
    secret = (tmp_path / "ledger.key").read_text().splitlines()[1]
    keys = Keys(tmp_path / "ledger.key", Signing(environment="KEY"), {"KEY": (tmp_path / "ledger.key").read_text()})
    ledger = Ledger(tmp_path / "ledger", keys)
    shown = f"{signer} {signer!r} {signer.place} {keys} {keys!r} {keys.held()} {ledger!r} {PrivateKey.generate()!r}"
    assert secret not in shown


def test_a_fingerprint_is_read_as_people_write_it(tmp_path: Path) -> None:
    public = create_signer(tmp_path / "ledger.key").public
    assert len(grouped(public.fingerprint).split()) == 16
    for text in (public.fingerprint, grouped(public.fingerprint).upper(), public.pem.decode(), public.fingerprint + "\n"):
        assert fingerprint_of(text) == public.fingerprint
    assert PublicKey.parse(public.pem) == public
    for text in ("", public.fingerprint[:-1], "-----BEGIN PUBLIC KEY-----\nx", "x" * 5000):
        with pytest.raises(UsageError):
            fingerprint_of(text)


def test_the_key_is_found_wherever_it_is_by_its_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    own = create_signer(tmp_path / "keys" / "ledger.key")
    named = create_signer(tmp_path / "named.pem")
    other = PrivateKey.generate()
    keys = Keys(tmp_path / "keys" / "ledger.key", Signing(file="named.pem", environment="KEY"), {"KEY": other.pem().decode()})
    for fingerprint in (own.fingerprint, named.fingerprint, other.public.fingerprint):
        assert keys.find(fingerprint).fingerprint == fingerprint
        assert keys.find(fingerprint[:16]).fingerprint == fingerprint
    assert {found.fingerprint for found in keys.held()} == {own.fingerprint, named.fingerprint, other.public.fingerprint}
    with pytest.raises(Damaged, match="none of its places"):
        keys.find("0" * 64)
    with pytest.raises(NotFound, match="backup"):
        Keys(tmp_path / "keys" / "none.key").find("0" * 64)
    with pytest.raises(NotFound, match="variable KEY; set that"):
        Keys(tmp_path / "keys" / "none.key", Signing(kind="environment", environment="KEY"), {}).find("0" * 64)
