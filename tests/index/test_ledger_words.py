"""What `ledger show` says of each kind of entry, to people."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.occasion import Outcome
from index.ledger_words import SHOWN_CHARS, about, what
from tests.support.deeds import START_US, step
from vault.ledger.canonical import MAX_INTEGER, Value
from vault.ledger.entry import Entry, Kind, NewEntry, decode_entry, encode_entry
from vault.timebase import US, format_local

WHEN = format_local(START_US)
MIDNIGHT_US = 1_801_411_200 * US
"""Where the last day of January 2027 ends in China."""


def made(kind: Kind, body: dict[str, Value], subject: dict[str, Value] | None = None) -> Entry:
    return decode_entry(encode_entry(NewEntry(kind, "x", subject or {}, body, "id", 5), 0, 5))


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (Kind.REGISTRY, {"version": 1, "sha256": "0", "changed": {"name": [None, "gate"], "record": [None, True]}}, "new: name gate; record yes"),
        (Kind.REGISTRY, {"version": 3, "sha256": "0", "changed": {"name": ["a", ""]}}, "version 3: name a → –"),
        (Kind.HOLD, {"version": 2, "sha256": "0", "changed": {"until_us": [START_US, None]}}, f"version 2: until {WHEN} → –"),
        (Kind.HOLD, {"version": 1, "sha256": "0", "changed": {
            "interval": [None, {"start_us": START_US, "end_us": START_US + 60 * US}], "until_us": [None, MIDNIGHT_US],
            "placed": [None, {"at_us": START_US, "by": "x"}]}}, f"new: interval {WHEN} – {format_local(START_US + 60 * US)}; placed by x {WHEN}; until 2027-01-31"),
        (Kind.REGISTRY, {"version": 2, "sha256": "0", "changed": {
            "window": [None, {"start_us": START_US, "end_us": MIDNIGHT_US}], "valid_from_us": [None, MIDNIGHT_US], "stays": [[{"from_us": 0, "site": "yard"}], [{"from_us": START_US, "site": "gate"}]], "who": [None, {"a": 1}]}},
            f"version 2: stays {{from the beginning, site yard}} → {{from {WHEN}, site gate}}; valid_from – → 2027-02-01; who – → {{a 1}}; window – → from {WHEN} to 2027-01-31"),
        (Kind.POLICY, {"version": 2, "sha256": "0", "changed_fields": ["days"]}, "version 2: days changed"),
        (Kind.DELETION, {"segments": 1200, "bytes": 5_000_000, "reasons": ["expired"]}, "1,200 segments, 5.0 MB are about to be deleted: expired"),
        (Kind.DELETED, {"segments": 2, "bytes": 10, "list": {}}, "2 segments, 10 B, are gone"),
        (Kind.RETENTION, {"halted": "p1", "at_us": 1, "due": 9, "foretold": 2}, "halted: 9 segments are due and 2 were foretold (plan p1)"),
        (Kind.RETENTION, {"foretold": [[1, 5], [2, 6]], "doomed_since_last": 3, "run_us": 1}, "foretells 11 segments; 3 were doomed since the last time"),
        (Kind.RETENTION, {"confirmed": "p1", "segments": 4, "at_us": 1}, "plan p1 of 4 segments was confirmed"),
        (Kind.CLOCK, {"unconfirmed_since_us": START_US, "why": "stepped", "segments_fixed": 0}, f"unconfirmed since {WHEN}; stepped; segments_fixed 0"),
        (Kind.READ, {"what": "credentials exported", "cameras": 4}, "cameras 4; what credentials exported"),
        (Kind.REPAIR, {"action": "delete", "objects": [f"o{at}" for at in range(8)]}, "delete: o0, o1, o2, o3, o4, o5 and 2 more"),
        (Kind.ACCESS, {"what": "locked", "failures": 5, "grace_us": 90 * US, "address": ""}, "failures 5; grace 90 s; what locked"),
        (Kind.EXPORT, {"outcome": "done", "bytes": []}, "bytes –; outcome done"),
    ],
)  # fmt: skip
def test_each_kind_is_said_in_words(kind: Kind, body: dict[str, Value], says: str) -> None:
    assert what(made(kind, body)) == says


def test_a_step_of_an_export_says_what_why_and_how_it_ended() -> None:
    asked = step("a", Outcome.ASKED, START_US)
    said = what(decode_entry(encode_entry(asked, 0, 5)))
    for words in (
        "export asked",
        WHEN,
        "investigation: theft of a bicycle, case 2026-117",
        "to case file, by first officer 9901001",
    ):
        assert words in said
    refused = step("a", Outcome.REFUSED, START_US, said=None, article="Art. 14 (4)", reason="not within")
    assert what(decode_entry(encode_entry(refused, 0, 5))).endswith("; Art. 14 (4); not within")


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ({"document": "cameras/0000000007", "camera": 7}, "camera #7"),
        ({"document": "sites/0000000000", "site": "0000000000"}, "site 0000000000"),
        ({"document": "grants/0000000003", "grant": 3, "unit": "u-1", "cameras": [1, 2]}, "grant #3, cameras #1, #2, unit u-1"),
        ({"cameras": [1], "user": "a"}, "camera #1, user a"),
        ({"document": "grants/0000000003", "grant": 3, "unit": "u-1", "cameras": []}, "grant #3, unit u-1"),
        ({}, ""),
    ],
)
def test_what_it_is_about_is_named(subject: dict[str, Value], says: str) -> None:
    assert about(made(Kind.READ, {}, subject)) == says


json = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "segments", "from_us", "start_us", "end_us", "at_us", "by"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = ["version", "changed", "changed_fields", "segments", "bytes", "reasons", "from_us", "to_us", "foretold", "halted", "action",
         "objects", "outcome", "start_us", "end_us", "why", "doomed_since_last", "unconfirmed_since_us", "document", "cameras"]  # fmt: skip


@given(st.sampled_from(list(Kind)), st.dictionaries(st.sampled_from(NAMES), json, max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_entry_is_beyond_words(kind: Kind, body: dict[str, Value]) -> None:
    entry = made(kind, body, dict(body))
    assert len(what(entry)) <= SHOWN_CHARS + 1
    assert len(about(entry)) <= SHOWN_CHARS + 1
