"""Statements of succession: their text, whom they let one trust, and that none can be forged, taken out or moved."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.keychains import chain, new_signer, statement
from tests.support.tools import need
from tests.test_house import ROOT
from vault.errors import Damaged, Refused, UsageError
from vault.ledger.signing import origin_of
from vault.ledger.succession import (
    MAX_STATEMENT_BYTES,
    How,
    SignedStatement,
    parse_succession,
    succession_of,
    trusted_from,
)

ROTATED, REPLACED = How.ROTATED, How.REPLACED
SIGNERS, STATEMENTS = chain(ROTATED, ROTATED, REPLACED, ROTATED)
ORIGIN = origin_of(SIGNERS[0].public)
TEXT = "".join(one.note for one in STATEMENTS)


def test_statements_come_back_as_they_were_written() -> None:
    assert parse_succession(TEXT) == tuple(STATEMENTS)
    assert parse_succession("") == ()
    found = succession_of(ORIGIN, tuple(STATEMENTS))
    assert found.note == TEXT
    assert [span.public for span in found.spans] == [signer.public for signer in SIGNERS]
    assert found.head == SIGNERS[-1].public


@pytest.mark.parametrize(
    ("size", "which"), [(0, None), (1, 0), (10, 0), (11, 1), (20, 1), (21, 2), (30, 2), (31, 3), (40, 3), (41, 4), (10**12, 4)]
)
def test_each_size_has_one_key(size: int, which: int | None) -> None:
    key = succession_of(ORIGIN, tuple(STATEMENTS)).key_at(size)
    assert key == (None if which is None else SIGNERS[which].public)


# The chain is 0 → 1 → 2 ⇸ 3 → 4: from a key, trust reaches all before it, and those behind it as far as the break.
@pytest.mark.parametrize(("pinned", "reached"), [(0, 3), (1, 3), (2, 3), (3, 5), (4, 5)])
def test_trust_follows_rotations_and_stops_at_a_break(pinned: int, reached: int) -> None:
    signer = SIGNERS[pinned]
    for pin in (signer.fingerprint, signer.public_pem, signer.public_pem.decode(), signer.fingerprint.upper()):
        found = trusted_from(pin, STATEMENTS, ORIGIN)
        assert [span.public for span in found] == [one.public for one in SIGNERS[:reached]]


def test_another_installations_key_is_refused_by_name() -> None:
    stranger = new_signer()
    with pytest.raises(Refused, match="another installation's key"):
        trusted_from(stranger.fingerprint, STATEMENTS, ORIGIN)
    with pytest.raises(Refused, match="another installation's key"):
        trusted_from(stranger.fingerprint, [], ORIGIN, SIGNERS[0].public_pem)
    with pytest.raises(Damaged, match="did not begin"):
        trusted_from(stranger.fingerprint, [], ORIGIN, stranger.public_pem)
    [span] = trusted_from(SIGNERS[0].fingerprint, [], ORIGIN, SIGNERS[0].public_pem)
    assert (span.public, span.after, span.until) == (SIGNERS[0].public, 0, None)


def test_a_statement_taken_out_moved_or_doubled_is_found() -> None:
    for wanted in itertools.chain(
        itertools.permutations(STATEMENTS), itertools.combinations(STATEMENTS, 3), itertools.combinations(STATEMENTS, 2)
    ):
        if list(wanted) in (STATEMENTS, STATEMENTS[:3], STATEMENTS[:2]):
            continue
        with pytest.raises(Damaged):
            succession_of(ORIGIN, tuple(wanted))
    with pytest.raises(Damaged):
        succession_of(ORIGIN, (*STATEMENTS, STATEMENTS[-1]))


def test_a_statement_that_a_key_did_not_sign_is_forged() -> None:
    thief = new_signer()
    first, second = SIGNERS[:2]
    right = statement(1, first, second, 10)
    forged = [
        # The old key's signature is a stranger's; the new key's is; the size is another one; only the new key signed a rotation.
        statement(1, first, second, 10),
        statement(1, first, thief, 10),
    ]
    forged[0] = SignedStatement(right.statement, (forged[1].signatures[0], right.signatures[1]))
    forged[1] = SignedStatement(forged[1].statement, (forged[1].signatures[1], forged[1].signatures[1]))
    forged.append(SignedStatement(dataclasses.replace(right.statement, size=9), right.signatures))
    for one in forged:
        with pytest.raises(Damaged, match="forged"):
            succession_of(ORIGIN, (one,))
    with pytest.raises(Damaged):
        parse_succession(SignedStatement(right.statement, right.signatures[1:]).note)
    with pytest.raises(Damaged, match="earlier key"):
        succession_of(ORIGIN, (right, statement(2, second, first, 12, origin=ORIGIN)))
    with pytest.raises(Damaged, match="another ledger"):
        succession_of(ORIGIN, (statement(1, first, second, 10, origin="streamvault-ledger-0000000000000000"),))
    with pytest.raises(Damaged, match="did not begin"):
        succession_of(ORIGIN, (statement(1, second, thief, 10, origin=ORIGIN),))


@settings(deadline=None, max_examples=50)
@given(at=st.integers(0, len(TEXT) - 1), character=st.sampled_from("0aA=\n \u2014+/\0é"), remove=st.booleans())
def test_a_changed_character_is_damage_and_never_another_error(at: int, character: str, remove: bool) -> None:
    changed = TEXT[:at] + ("" if remove else character) + TEXT[at + 1 :]
    if changed != TEXT:
        with pytest.raises(Damaged):
            succession_of(ORIGIN, parse_succession(changed))


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=300))
def test_any_text_is_a_succession_or_damage(text: str) -> None:
    for tried in (text, TEXT + text, text + TEXT):
        if text:
            with pytest.raises(Damaged):
                parse_succession(tried)


@pytest.mark.parametrize("words", ["", "x" * 201, "two\nlines", "\u202eright to left", "a\0b", "\ud800"])
def test_words_that_could_be_taken_for_something_else_are_refused(words: str) -> None:
    first, second = SIGNERS[:2]
    for name in ("by", "why"):
        with pytest.raises(UsageError):
            statement(1, first, second, 10, **{name: words})
    longest = statement(1, first, second, 10, by="警" * 200, why="因" * 200)
    assert len(longest.note.encode()) <= MAX_STATEMENT_BYTES
    assert parse_succession(longest.note) == (longest,)


def test_openssl_alone_confirms_both_signatures_as_the_document_says(tmp_path: Path) -> None:
    need("openssl")
    document = (ROOT / "vault" / "ledger" / "FORMAT.md").read_text()
    [recipe] = [block for block in re.findall(r"^```\n(.*?)^```", document, re.MULTILINE | re.DOTALL) if "$key.pem" in block]
    (tmp_path / "statement").write_text(STATEMENTS[0].note)
    run = subprocess.run(["sh", "-e", "-c", recipe], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.count("Verified Successfully") == 2
    assert (tmp_path / "old.pem").read_bytes() == SIGNERS[0].public_pem
    assert base64.b64encode(SIGNERS[1].public.raw).decode() in STATEMENTS[0].note
    (tmp_path / "statement").write_text(STATEMENTS[0].note.replace("planned", "planted"))
    assert subprocess.run(["sh", "-e", "-c", recipe], cwd=tmp_path, capture_output=True, check=False).returncode != 0
