"""The ledger as syslog messages: read back they are the entry to the byte, and no text breaks out of them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ledgers import NOW_US, entries, new_ledger
from vault.ledger.canonical import dumped
from vault.ledger.checkpoint import SignedCheckpoint
from vault.ledger.entry import Kind, NewEntry, decode_entry, encode_entry
from vault.ledger.message import checkpoint_message, entry_messages, escaped, notes_in
from vault.syslog import encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3_000)


@given(TEXT, st.sampled_from([2_048, 8_192]))
@settings(max_examples=60, deadline=None)
def test_an_entry_comes_back_to_the_byte_and_no_message_is_too_long(why: str, most: int) -> None:
    new = NewEntry(Kind.READ, "x", {"camera": 1}, {"why": why}, "i" * 64, NOW_US)
    entry = decode_entry(encode_entry(new, 10**12, NOW_US))
    made = list(entry_messages(entry, most))
    assert "".join(message.text for message in made).isprintable()
    assert dumped(json.loads("".join(message.text for message in made))) == entry.line
    for at, message in enumerate(made, 1):
        raw = encode(message, "h" * 255, 4_000_000, most)
        assert len(raw) <= most
        # Nothing was cut off or replaced on the way.
        assert raw.decode().endswith(message.text)
        assert message.fields.get("part", "1") == str(at)
        assert message.fields.get("parts", "1") == str(len(made))


@given(TEXT)
@settings(max_examples=60, deadline=None)
def test_escaped_json_says_the_same(text: str) -> None:
    line = json.dumps(text, ensure_ascii=False)
    assert json.loads(escaped(line)) == text
    assert escaped(line).isprintable()


def test_a_checkpoint_is_found_in_whatever_a_log_looks_like(tmp_path: Path) -> None:
    signed = _signed(tmp_path)
    text = checkpoint_message(signed, NOW_US).text
    for log in (
        text, f"<134>1 2026-11-30T00:00:00Z h streamvault 1 CHECKPOINT - \ufeff{text}\n", json.dumps({"msg": text}),
        json.dumps({"msg": text}, ensure_ascii=False) + "\n", signed.note, f"noise\n{signed.note}noise\n",
        f"Nov 30 h {text.replace('—', '#342#200#224')}\n{text}",
    ):  # fmt: skip
        assert list(notes_in(log)) == [signed], log


@given(
    st.text(max_size=400) | st.sampled_from(['{"note": "a\\', '{"note":"\\u"}', "\u2014 \n" * 9, '{"note": "' + "x" * 3_000])
)
@settings(max_examples=60, deadline=None)
def test_whatever_else_a_log_holds_is_passed_over(text: str) -> None:
    assert list(notes_in(text * 3)) == []


def _signed(path: Path) -> SignedCheckpoint:

    ledger = new_ledger(path)
    ledger.append(entries(0, 3))
    found = ledger.newest()
    assert found is not None
    return found
