"""Whatever stands in a document or a file: it is read as it was written, or it is an error of ours that quotes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.people.checked import MAX_PERSON_CHARS, UNIT_TEXTS, checked_grant, checked_unit, checked_user
from access.people.documents import (
    application_from,
    fitting,
    grant_from,
    named,
    to_fields,
    token_from,
    unit_from,
    user_from,
)
from access.people.model import Act, Application, Role, Terminal, Token, Unit, UnitGrant, User
from access.people.tables import (
    Names,
    grant_of_line,
    read_grants,
    read_terminals,
    read_units,
    read_users,
    terminal_of_line,
    unit_of_line,
    user_of_line,
    write_grants,
    write_terminals,
    write_units,
    write_users,
)
from vault.config import Retention
from vault.days import begin_text, begin_us, end_text, end_us
from vault.errors import Damaged, StreamvaultError, UsageError
from vault.grant import Action
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval

ZONE = Retention().zone
NAMES = Names(ZONE, 0, lambda text: CameraNumber(int(text.removeprefix("cam-"))), lambda number: f"cam-{number}")
READERS = (unit_from, user_from, application_from, grant_from, token_from)

ids = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
moments = st.integers(0, MAX_US - 1)
spans = st.tuples(moments, moments).filter(lambda ends: ends[0] != ends[1]).map(lambda ends: Interval(min(ends), max(ends)))
terminals = st.builds(
    Terminal, st.ip_addresses().map(str), st.text(max_size=MAX_PERSON_CHARS), st.text(max_size=MAX_PERSON_CHARS)
)
units = st.builds(
    Unit, ids, **{name: st.text(max_size=most) for name, most in UNIT_TEXTS.items()}, valid_from_us=moments,
    valid_to_us=st.none() | moments, terminals=st.lists(terminals, max_size=4).map(tuple),
    viewing_camera=st.none() | st.integers(1, 2**32 - 1), approval=st.booleans(), disabled=st.booleans(),
)  # fmt: skip
users = st.builds(
    User, ids, st.sampled_from(Role), st.just("") | ids, st.text(max_size=100), st.text(max_size=50),
    st.dates().map(str) | st.just(""), disabled=st.booleans(),
)  # fmt: skip
acts = st.builds(Act, st.text(max_size=20), moments)
actions = st.frozensets(st.sampled_from(Action))
grants = st.builds(
    UnitGrant, st.integers(1, 10**9), ids, st.lists(ids, max_size=3).map(tuple),
    st.lists(st.integers(1, 99), max_size=3).map(tuple), actions, spans, spans, acts, st.none() | st.integers(1, 99),
    st.text(max_size=200), st.none() | acts,
)  # fmt: skip
applications = st.builds(
    Application, st.integers(1, 10**9), ids, st.lists(ids, max_size=3).map(tuple),
    st.lists(st.integers(1, 99), max_size=3).map(tuple), actions, spans, st.text(max_size=200), acts, st.none() | acts,
    st.none() | st.booleans(), st.text(max_size=200), st.none() | st.integers(1, 99),
)  # fmt: skip
tokens = st.builds(Token, ids, ids, st.text(max_size=64), actions, acts, moments, st.none() | acts)
documents = st.one_of(units, users, grants, applications, tokens)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def reader_of(document: Any) -> Any:
    return READERS[(Unit, User, Application, UnitGrant, Token).index(type(document))]


@given(documents)
def test_a_document_is_read_as_it_was_written(document: Any) -> None:
    assert reader_of(document)(json.loads(json.dumps(to_fields(document)))) == document


@given(documents, st.data())
def test_a_document_of_which_something_was_changed_is_read_or_damaged(document: Any, data: st.DataObject) -> None:
    fields = to_fields(document)
    name = data.draw(st.sampled_from(sorted(fields)))
    if data.draw(st.booleans()):
        del fields[name]
    else:
        fields[name] = data.draw(values)
    said = ""
    try:
        reader_of(document)(fields)
    except Damaged as error:
        said = str(error)
    assert len(said) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", {"start_us": 10**30, "end_us": 5}),
        ("sites", "gate"),
        ("sites", {"gate": 1}),
        ("actions", {"view": 1}),
        ("cameras", {}),
    ],
)
def test_what_is_not_written_so_is_not_read_as_if_it_were(name: str, value: Any) -> None:
    act = Act("boss", 5)
    grant = UnitGrant(1, "u", ("gate",), (CameraNumber(1),), frozenset(Action), Interval(0, 5), Interval(0, 5), act)
    with pytest.raises(Damaged):
        grant_from({**to_fields(grant), name: value})


@settings(max_examples=30)
@given(st.lists(units, max_size=3, unique_by=lambda unit: unit.id))
def test_units_that_may_be_written_come_out_of_a_file_as_they_went_in(found: list[Unit]) -> None:
    kept = []
    for unit in found:
        try:
            kept.append(checked_unit(unit))
        except StreamvaultError:
            continue
        fitting(named("units", unit.id), to_fields(kept[-1]))
    if not kept:
        return
    lines, problems = read_units(write_units(kept, NAMES))
    assert problems == []
    again = [
        checked_unit(replace(unit_of_line(line, None, NAMES), terminals=unit.terminals))
        for line, unit in zip(lines, kept, strict=True)
    ]
    assert again == kept
    if any(unit.terminals for unit in kept):
        rows, problems = read_terminals(write_terminals(kept))
        assert problems == []
        assert [terminal_of_line(row) for row in rows] == [(unit.id, item) for unit in kept for item in unit.terminals]


@settings(max_examples=30)
@given(
    st.lists(users, max_size=3, unique_by=lambda user: user.id),
    st.lists(grants, max_size=3, unique_by=lambda grant: grant.number),
)
def test_users_and_grants_do_so_too(people: list[User], given_: list[UnitGrant]) -> None:
    kept, granted = [], []
    for user in people:
        try:
            kept.append(checked_user(user))
        except StreamvaultError:
            continue
    for grant in given_:
        try:
            granted.append(checked_grant(replace(grant, given=Act("", 0), revoked=None)))
        except StreamvaultError:
            continue
    if kept:
        lines, problems = read_users(write_users(kept))
        assert problems == []
        assert [user_of_line(line, None) for line in lines] == kept
    if granted:
        lines, problems = read_grants(write_grants(granted, NAMES))
        assert problems == []
        assert [grant_of_line(line, NAMES) for line in lines] == granted


@settings(max_examples=60)
@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: ("id,role,unit,actions\n" + text).encode("utf-8", "replace"))
)
def test_any_file_is_lines_or_problems(data: bytes) -> None:
    for read in (read_units, read_terminals, read_users, read_grants):
        lines, problems = read(data)
        assert bool(problems) or bool(lines)


@given(moments)
def test_any_end_of_a_term_is_written_as_it_is_read(us: int) -> None:
    assert begin_us(begin_text(us, ZONE), ZONE, 0) == us if begin_text(us, ZONE) else us == 0
    if us > 0:
        assert end_us(end_text(us, ZONE), ZONE, 0) == us


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    for read in (begin_us, end_us):
        said, us = "", 0
        try:
            us = read(text, ZONE, 0)
        except UsageError as error:
            said = str(error)
        assert 0 <= us <= MAX_US
        assert len(said) < 200


def test_a_document_that_is_too_long_is_refused_before_it_is_written() -> None:
    with pytest.raises(UsageError, match="say less"):
        fitting(named("units", "a"), {"text": "x" * 70_000})
