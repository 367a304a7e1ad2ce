"""Units, users, applications, grants and tokens as documents: what is refused, what holds at once, what the ledger and a rebuild know."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from access.people.admins import FIRST, first_administrator
from access.people.attempts import Attempts
from access.people.check import check_people
from access.people.documents import named, to_fields
from access.people.login import sign_in
from access.people.model import Role, Terminal, Unit, User
from access.people.people import People
from access.people.permits import Permits
from access.people.terminals import terminal_at
from access.people.tokens import Tokens
from access.people.units import Units
from access.people.users import Users
from index.batch import Outcome, Rejected
from index.environment import Table
from index.holds import Holds
from index.rebuild import rebuild
from index.registry import Registry, encode
from tests.support.index_vault import MAP_BYTES, Vault
from tests.support.indexing import DAY_US, T0
from tests.support.people import ADDRESS, PASSWORD, add_unit, add_user, give
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.grant import EVER, Action, Refusal
from vault.ids import CameraNumber
from vault.timebase import Interval

CAMERA = CameraNumber(1)
VIEW = frozenset({Action.VIEW})


def everything(people: People) -> list[object]:
    return [
        people.units(removed=True), people.users(removed=True), people.applications(), people.grants(), people.tokens(),
    ]  # fmt: skip


def fill(people: People) -> None:
    """Something of each kind, some of it changed and taken back."""
    add_unit(people, viewing_camera=CAMERA)
    add_user(people)
    add_user(people, "boss", Role.ADMIN)
    add_user(people, "1234567890", Role.INVESTIGATOR)
    permits = Permits(people)
    asked = permits.ask("road", work="道路", actions=VIEW, window=EVER, cameras=[CAMERA], by="li")
    permits.grant(asked.number, by="boss")
    permits.ask("road", work="more", actions=Action, window=Interval(T0, T0 + DAY_US), sites=["default"], by="li")
    permits.refuse(2, by="boss", reason="not declared")
    permits.revoke(give(people, [CAMERA]).number, "boss")
    Tokens(people).add("li", [Action.VIEW], T0 + DAY_US, "boss")
    Units(people).add(Unit("gone", "Gone"), "boss")
    Units(people).remove("gone", "boss")
    Users(people).add(User("left", Role.PLANNER), "boss")
    Users(people).remove("left", "boss")


def test_documents_come_back_from_the_store_and_the_spool_when_the_index_is_lost(vault: Vault, people: People) -> None:
    fill(people)
    before = everything(people)
    vault.upload_registry()
    Users(people).set_password("li", "another password 7", "li", must_change=False)
    give(people, [CAMERA])
    latest = everything(people)
    assert latest != before
    done = rebuild(vault.store, vault.spool, vault.folder / "new", map_bytes=MAP_BYTES, clock=vault.clock)
    assert not done.refused
    vault.environment.close()
    from index.environment import Environment

    with Environment(vault.folder / "new", MAP_BYTES, vault.clock) as environment:
        again = People(Registry(environment, vault.registry._waiting), vault.clock)
        assert everything(again) == latest
        assert [grant.number for grant in again.grants_of("road")] == [1, 3]
        assert give(again, [CAMERA]).number == 4
        assert Permits(again).ask("road", work="x", actions=VIEW, window=EVER, cameras=[CAMERA], by="li").number == 3
        attempts = Attempts(environment, vault.clock)
        assert sign_in(again, attempts, vault.clock, "li", password="another password 7").actor == "li"


def test_every_change_is_in_the_ledger_with_its_person_and_without_a_hash(vault: Vault, people: People) -> None:
    fill(people)
    with vault.environment.read() as txn:
        entries = [json.loads(raw) for _, raw in txn.scan(Table.OUTBOX)]
    about = {entry["subject"]["document"].split("/")[0] for entry in entries}
    assert {"units", "users", "applications", "grants", "tokens"} <= about
    people_entries = [entry for entry in entries if entry["subject"]["document"].split("/")[0] not in ("sites", "cameras")]
    assert {entry["actor"] for entry in people_entries} <= {"first officer", "li", "boss", "1234567890"}
    text = json.dumps(entries)
    for user in people.users():
        assert not user.password_hash or user.password_hash not in text
    assert "argon2" not in text
    assert people.tokens()[0].secret_hash not in text
    (password,) = [entry for entry in entries if entry["subject"].get("user") == "boss" and entry["body"]["version"] == 2]
    assert password["body"]["changed"]["password_hash"] == ["***", "***"]
    given = next(entry for entry in entries if entry["subject"]["document"].startswith("grants/"))
    assert (given["subject"]["grant"], given["subject"]["unit"], given["subject"]["cameras"]) == (1, "road", [1])
    staff = next(entry for entry in entries if entry["subject"]["document"] == "users/1234567890")
    assert staff["subject"]["user"] == "1234567890"


def test_ids_are_given_once_and_not_twice_in_other_letters(people: People) -> None:
    fill(people)
    for again in ("road", "Road", "gone", "GONE"):
        with pytest.raises(UsageError, match="given once"):
            Units(people).add(Unit(again, "x"))
    for again in ("LI", "left"):
        with pytest.raises(UsageError, match="given once"):
            Users(people).add(User(again, Role.PLANNER))
    with pytest.raises(NotFound, match="was removed"):
        people.unit("gone")
    with pytest.raises(UsageError, match="nobody again"):
        Units(people).import_units([Unit("gone", "x")])
    with pytest.raises(UsageError, match="nobody again"):
        Users(people).import_users([User("left", Role.PLANNER)])
    for text in ("", "../x", "a/b", "x" * 65, "李", "a\n", "-a"):
        with pytest.raises(UsageError, match="not usable"):
            Units(people).add(Unit(text, "x"))


def test_a_unit_says_its_name_and_who_answers_for_each_terminal(people: People) -> None:
    units = Units(people)
    with pytest.raises(Refusal, match=r"name.*\(Art. 13\)"):
        units.add(Unit("a", " \u202e "))
    with pytest.raises(Refusal, match=r"place and person \(Art. 14 \(3\)\)"):
        units.add(Unit("a", "A", terminals=(Terminal("10.0.0.1", "", "\t"),)))
    with pytest.raises(Refusal, match=r"Art. 14 \(2\)"):
        units.add(Unit("a", "A", viewing_camera=CameraNumber(77)))
    with pytest.raises(UsageError, match="before it begins"):
        units.add(Unit("a", "A", valid_from_us=T0, valid_to_us=T0))
    with pytest.raises(UsageError, match="longer than"):
        units.add(Unit("a", "A", scope="x" * 1_001))
    many = tuple(Terminal(f"10.1.{number}.0/24", "p" * 100, "李" * 100) for number in range(200))
    with pytest.raises(UsageError, match="say less"):
        units.add(Unit("a", "A", terminals=many))
    assert people.units() == []
    assert units.add(Unit("a", " A\u202e\n B "), "x").name == "A B"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.1.2.3", "10.1.2.3"), ("10.1.2.3/32", "10.1.2.3"), ("10.1.2.0/24", "10.1.2.0/24"), ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:DB8::1", "2001:db8::1"), ("2001:db8::/64", "2001:db8::/64"), ("10.1.2.3/24", None), ("10.0.0.0/8", None),
        ("0.0.0.0", None), ("224.0.0.1", None), ("fe80::1%eth0", None), ("host", None), ("10.1.2.3;x", None), ("1" * 500, None), ("", None),
    ],
)  # fmt: skip
def test_a_terminals_address_is_kept_in_one_form(people: People, text: str, kept: str | None) -> None:
    unit = Unit("a", "A", terminals=(Terminal(text, "room", "officer"),))
    if kept is None:
        with pytest.raises((UsageError, Refused)):
            Units(people).add(unit)
    else:
        assert Units(people).add(unit).terminals[0].address == kept


def test_whoever_calls_is_at_the_narrowest_terminal_that_has_the_address() -> None:
    wide, narrow = Terminal("10.1.0.0/16", "floor", "a"), Terminal("10.1.2.3", "room", "b")
    unit = Unit("a", "A", terminals=(wide, narrow))
    assert terminal_at(unit, "10.1.2.3") is narrow
    assert terminal_at(unit, "::ffff:10.1.2.3") is narrow
    assert terminal_at(unit, "10.1.2.4") is wide
    assert [terminal_at(unit, text) for text in ("10.2.0.1", "", "host", "::1")] == [None] * 4


def test_terminals_are_declared_set_and_dropped_all_or_none(people: People) -> None:
    add_unit(people)
    units = Units(people)
    told = [("road", Terminal(ADDRESS, "room 3", "b")), ("road", Terminal("10.99.2.0/24", "floor", "c"))]
    assert units.put_terminals(told, "boss") == [Outcome.CHANGED, Outcome.ADDED]
    assert units.put_terminals(told, "boss") == [Outcome.LEFT, Outcome.LEFT]
    assert [item.place for item in people.unit("road").terminals] == ["room 3", "floor"]
    with pytest.raises(Rejected, match="number 2"):
        units.put_terminals([("road", Terminal("10.99.3.1", "x", "y")), ("other", Terminal("10.0.0.1", "x", "y"))])
    units.drop_terminal("road", ADDRESS)
    assert [item.address for item in people.unit("road").terminals] == ["10.99.2.0/24"]
    with pytest.raises(NotFound):
        units.drop_terminal("road", ADDRESS)


def test_a_user_who_sees_footage_is_known_by_name_number_and_unit(people: People) -> None:
    users = Users(people)
    with pytest.raises(Refusal, match=r"real name and staff number \(Art. 14 \(7\)\)"):
        users.add(User("a", Role.INVESTIGATOR))
    with pytest.raises(Refusal, match=r"of a unit.*\(Art. 13\)"):
        users.add(User("a", Role.UNIT, "", "A", "1"))
    with pytest.raises(Refusal, match="no unit 'road'"):
        users.add(User("a", Role.UNIT, "road", "A", "1"))
    with pytest.raises(UsageError, match="not a date"):
        users.add(User("a", Role.PLANNER, trained_on="May"))
    assert users.add(User("a", Role.PLANNER, trained_on=" 2026-05-01 ")).trained_on == "2026-05-01"


def test_a_units_users_and_grants_keep_it(people: People) -> None:
    add_unit(people)
    add_user(people)
    grant = give(people, [CAMERA])
    with pytest.raises(Refused, match="users li"):
        Units(people).remove("road")
    Users(people).remove("li")
    with pytest.raises(Refused, match="grants 1"):
        Units(people).remove("road")
    Permits(people).revoke(grant.number)
    Units(people).remove("road")
    assert people.units() == []
    assert [unit.id for unit in people.units(removed=True)] == ["road"]


def test_the_last_administrator_stays(people: People) -> None:
    users, units = Users(people), Units(people)
    add_unit(people)
    add_user(people, "boss", Role.ADMIN)
    for change in ({"disabled": True}, {"role": Role.PLANNER}):
        with pytest.raises(Refused, match="last administrator"):
            users.change("boss", lambda user, change=change: replace(user, **change))
        with pytest.raises(Refused, match="last administrator"):
            users.import_users([replace(people.user("boss"), **change)])  # type: ignore[arg-type]
    with pytest.raises(Refused, match="last administrator"):
        users.remove("boss")
    users.change("boss", lambda user: replace(user, unit="road"))
    with pytest.raises(Refused, match="last administrator"):
        units.change("road", lambda unit: replace(unit, disabled=True))
    with pytest.raises(Refused, match="last administrator"):
        units.import_units([replace(people.unit("road"), disabled=True)])
    assert people.user("boss") == replace(people.user("boss"), disabled=False, role=Role.ADMIN)
    add_user(people, "second", Role.ADMIN)
    units.change("road", lambda unit: replace(unit, disabled=True))
    with pytest.raises(Refused, match="last administrator"):
        users.remove("second")
    units.change("road", lambda unit: replace(unit, disabled=False))
    users.remove("second")
    # Two at once who are the last two.
    add_user(people, "third", Role.ADMIN)
    with pytest.raises(Refused, match="last administrator"):
        users.import_users([replace(people.user(id_), disabled=True) for id_ in ("boss", "third")])


def test_an_administrator_without_password_and_token_is_none_who_can_sign_in(vault: Vault, people: People) -> None:
    users, tokens = Users(people), Tokens(people)
    add_user(people, "boss", Role.ADMIN)
    users.add(User("second", Role.ADMIN))
    with pytest.raises(Refused, match="no other has a password or a token in force"):
        users.remove("boss")
    made, _ = tokens.add("second", [], T0 + DAY_US)
    users.change("boss", lambda user: replace(user, disabled=True))
    users.change("boss", lambda user: replace(user, disabled=False))
    tokens.revoke(made.id)
    with pytest.raises(Refused):
        users.change("boss", lambda user: replace(user, role=Role.PLANNER))
    tokens.add("second", [], T0 + DAY_US)
    users.remove("boss")
    assert findings(vault) == []
    vault.clock.advance(2 * DAY_US)
    ((severity, ids, message),) = findings(vault)
    assert (severity, ids) == ("warning", ("users",))
    assert "no administrator can sign in" in message
    # Where nobody could, nothing is lost.
    users.remove("second")


def test_the_first_administrator_may_be_made_again_by_an_init_that_was_cut_short(people: People) -> None:
    first = first_administrator(people)
    second = first_administrator(people)
    assert first != second
    attempts = Attempts(people.environment, people.clock)
    for password, code in ((first, "credentials"), (second, "must_change")):
        with pytest.raises(Refusal) as caught:
            sign_in(people, attempts, people.clock, FIRST, password=password)
        assert caught.value.code == code


def test_a_document_that_cannot_be_read_is_said_to_be_so_without_quoting_it(vault: Vault, people: People) -> None:
    add_user(people, "boss", Role.ADMIN)
    fields = to_fields(people.user("boss"))
    for wrong in ({"role": "king"}, {"disabled": 1}, {"password_hash": None}, {"password_set_us": -1}):
        with vault.environment.write("harm") as txn:
            vault.registry.write(txn, named("users", "boss"), fields | wrong, T0)
        with pytest.raises(Damaged, match="check") as caught:
            people.user("boss")
        assert "king" not in str(caught.value)


def test_a_hold_may_be_called_by_ten_digits_and_so_may_a_user(vault: Vault, people: People) -> None:
    Users(people).add(User("0000000007", Role.PLANNER))
    Holds(vault.registry, vault.clock).place(by="x", case="c", why="w", cameras=[CAMERA], interval=EVER)
    with vault.environment.read() as txn:
        subjects = [json.loads(raw)["subject"] for _, raw in txn.scan(Table.OUTBOX)]
    assert [subject.get("user") for subject in subjects if "user" in subject] == ["0000000007"]
    assert [subject.get("hold") for subject in subjects if "hold" in subject] == [1]
    assert PASSWORD not in str(subjects)


def findings(vault: Vault) -> list[tuple[str, tuple[str, ...], str]]:
    return [(str(found.severity), found.ids, found.message) for found in check_people(vault.registry, vault.clock.now_us())]


def test_check_finds_documents_that_cannot_be_read_or_name_what_is_not_there(vault: Vault, people: People) -> None:
    fill(people)
    assert findings(vault) == []
    user, grant = to_fields(people.user("li")), to_fields(people.grant(1))
    harm: list[tuple[str, str | int, dict[str, object], str]] = [
        ("users", "li", user | {"role": "king"}, "lacks a field"),
        ("users", "li", user | {"unit": "nowhere"}, "of the unit 'nowhere'"),
        ("users", "other", user, "another"),
        ("units", "road", to_fields(people.unit("road")) | {"viewing_camera": 77}, "#77"),
        ("grants", 1, grant | {"cameras": [78]}, "#78"),
        ("grants", 1, grant | {"unit": "nowhere"}, "for the unit 'nowhere'"),
        ("grants", 1, grant | {"application": None}, "says otherwise"),
        ("tokens", people.tokens()[0].id, to_fields(people.tokens()[0]) | {"user": "nobody"}, "of the user 'nobody'"),
    ]
    for kind, id_, fields, says in harm:
        name = named(kind, id_)
        with vault.environment.write("harm") as txn:
            before = txn.get(Table.REGISTRY, name.row_key)
            txn.put(Table.REGISTRY, name.row_key, encode(name, 1, T0, fields))
        assert any(severity == "error" and says in message for severity, _, message in findings(vault)), says
        with vault.environment.write("mend") as txn:
            if before is None:
                txn.delete(Table.REGISTRY, name.row_key)
            else:
                txn.put(Table.REGISTRY, name.row_key, before)
    assert findings(vault) == []
    give(people, [], sites=("default",))
    Users(people).change("1234567890", lambda old: replace(old, role=Role.ADMIN, disabled=True))
    assert findings(vault) == []
