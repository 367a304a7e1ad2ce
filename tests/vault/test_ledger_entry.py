"""An entry's line: one form for one meaning, bounded, and refused where it is another's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ledgers import NOW_US, entry
from vault.errors import Damaged, UsageError
from vault.ledger.canonical import MAX_INTEGER, canonical
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint, parse_note, split_notes
from vault.ledger.entry import MAX_LINE_BYTES, Kind, NewEntry, decode_entry, encode_entry

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


def test_the_form_is_that_of_rfc_8785() -> None:
    """Its example of §3.2.3, without the names that are not ASCII, and its table of escapes in §3.2.2.2."""
    value = {"\r".strip() or "b": 1, "1": "One", "a": [56, {"d": True, "10": None, "1": []}], "": None}
    del value[""]
    assert canonical(value) == b'{"1":"One","a":[56,{"1":[],"10":null,"d":true}],"b":1}'
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\u007f\u2028\U0001f600"
    assert canonical(text).decode() == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028\U0001f600"'
    assert canonical("\b\t\n\f\r\x00\x1f") == b'"\\b\\t\\n\\f\\r\\u0000\\u001f"'


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), MAX_INTEGER + 1, {"ä": 1}, {"": 1}, {1: 2}, "\ud800", b"bytes", {"a": {1}}]
)
def test_what_has_no_one_form_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        canonical({"value": value})


def test_nesting_is_bounded_and_so_is_a_line() -> None:
    value: Any = 1
    for _ in range(9):
        value = [value]
    with pytest.raises(UsageError, match="nested"):
        canonical(value)
    with pytest.raises(UsageError, match="at most"):
        encode_entry(entry(1, text="x" * MAX_LINE_BYTES), 0, NOW_US)
    deep = b"[" * 30_000 + b"]" * 30_000
    with pytest.raises(Damaged):
        decode_entry(encode_entry(entry(1), 0, NOW_US).replace(b'"body":{', b'"body":{"a":' + deep + b","))


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.integers(0, 10**12), st.integers(0, MAX_INTEGER))
def test_an_entry_comes_back_as_it_was_given(body: Any, sequence: int, time_us: int) -> None:
    line = encode_entry(NewEntry(Kind.HOLD, "某人@test", {"camera": 3}, body, "deed"), sequence, time_us)
    found = decode_entry(line)
    assert (found.sequence, found.time_us, found.kind, found.actor, found.body) == (
        sequence,
        time_us,
        "hold",
        "某人@test",
        body,
    )
    assert b"\n" not in line
    assert json.loads(line)["format"] == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format":1', b'"format":2'),
        (b'"format":1', b'"format": 1'),
        (b'"sequence":7', b'"sequence":7.0'),
        (b'"sequence":7', b'"sequence":"7"'),
        (b'"sequence":7', b'"sequence":true'),
        (b'"kind":"read"', b'"kind":"READ"'),
        (b'"kind":"read"', b'"kind":["read"]'),
        (b'"actor":"operator@test",', b""),
        (b'"actor":"operator@test"', b'"actor":"operator@test","actor":"operator@test"'),
        (b'"id":"deed-1"', b'"id":""'),
        (b'"id":"deed-1"', b'"id":7'),
        (b"\xe8\xaf\x95", b"\\u8bd5"),
        (b"\xe8\xaf\x95", b"\xff"),
        (b'{"actor"', b'\xef\xbb\xbf{"actor"'),
        (b"}", b"}}"),
    ],
)
def test_a_line_of_another_form_is_no_entry(old: bytes, new: bytes) -> None:
    line = encode_entry(entry(1), 7, NOW_US)
    assert decode_entry(line).sequence == 7
    assert old in line
    with pytest.raises(Damaged):
        decode_entry(line.replace(old, new, 1))


@pytest.mark.parametrize("line", [b"", b"[]", b"null", b"1", b"{}", b'{"format":1}', b"\0" * 100, b"NaN", b"1e999"])
def test_bytes_that_are_none_are_no_entry(line: bytes) -> None:
    with pytest.raises(Damaged):
        decode_entry(line)


def test_a_kind_that_a_later_program_writes_can_be_read() -> None:
    line = encode_entry(entry(1), 7, NOW_US).replace(b'"kind":"read"', b'"kind":"something new"')
    assert decode_entry(line).kind == "something new"


@pytest.mark.parametrize(
    ("actor", "id_"), [("", "a"), ("x" * 201, "a"), ("line\nbreak", "a"), ("x", ""), ("x", "a b"), ("x", "ä")]
)
def test_actor_and_id_are_bounded(actor: str, id_: str) -> None:
    with pytest.raises(UsageError):
        encode_entry(NewEntry(Kind.READ, actor, {}, {}, id_), 0, NOW_US)


def test_a_note_has_one_form_and_notes_in_a_row_are_told_apart() -> None:
    notes = [
        SignedCheckpoint(
            Checkpoint("some-ledger", size, bytes([size]) * 32, "000000000000-202611.jsonl", 9 * size), bytes(68)
        ).note
        for size in range(1, 5)
    ]
    assert [parse_note(note).checkpoint.size for note in notes] == [1, 2, 3, 4]
    whole = "".join(notes)
    for cut in range(len(notes[-1]) + 1):
        found, rest = split_notes(whole[: len(whole) - cut])
        assert found == notes[: 4 - (cut > 0)]
        assert "".join(found) + rest == whole[: len(whole) - cut]
    for old, new in (
        ("\n1\n", "\n01\n"),
        ("\n1\n", "\n-1\n"),
        ("\n\n", "\n"),
        ("— some", "- some"),
        ("— some", "— other"),
        ("A=", "B="),
    ):
        with pytest.raises(Damaged):
            parse_note(notes[0].replace(old, new, 1))
