"""Who may see or take what: every rule of the decision, and that nothing is gained by anything that is missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access import register_words
from access.authorize import VIEWING_SILENT_US, CameraFacts, Known, Rules, authorize
from access.people.model import Act, Principal, Role, Terminal, Token, Unit, UnitGrant, User
from access.refusal_words import refusal_text
from index.stays import Stay, always
from vault.days import interval
from vault.grant import EVER, Action, Grant, Refusal
from vault.ids import CameraNumber
from vault.timebase import MAX_US, US, Interval, format_local, local_zone

HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US
NOW_US = 1_800_000_000_000_000
TODAY, LATER = "2027-01-15", "2027-01-17"
CAMERA = CameraFacts(CameraNumber(7), always("gate"), "gate-1")
WANTED = Interval(NOW_US - 2 * HOUR_US, NOW_US - HOUR_US)
WINDOW = Interval(NOW_US - DAY_US, NOW_US)
VALID = Interval(NOW_US - DAY_US, NOW_US + DAY_US)
BOTH = frozenset(Action)
BY = Act("admin", NOW_US - DAY_US)
ROOM = CameraNumber(99)

GRANT = UnitGrant(12, "unit-9901", ("gate",), (), BOTH, WINDOW, VALID, BY)
UNIT = Unit(
    "unit-9901", agreement="9901-A", valid_from_us=NOW_US - DAY_US, valid_to_us=NOW_US + 9 * DAY_US,
    terminals=(Terminal("192.0.2.7", "duty room", "first officer"), Terminal("2001:db8:9901::/64", "hall", "second officer")),
    viewing_camera=ROOM,
)  # fmt: skip
USER = User("9901-1", Role.UNIT, "unit-9901", "first officer", "9901", TODAY)
TOKEN = Token("9901-t", "9901-1", "", frozenset({Action.VIEW}), BY, NOW_US + HOUR_US)
WHO = Principal("9901-1", USER, UNIT, "192.0.2.7")
REFUSE = Rules("refuse")


def known(*grants: UnitGrant, until_us: int | None = NOW_US - US) -> Known:
    return Known.of(UNIT, grants or (GRANT,), until_us)


def ask(who: Principal = WHO, facts: Known | None = None, **more: object) -> Grant:
    call = {"action": Action.VIEW, "camera": CAMERA, "wanted": WANTED, "now_us": NOW_US, "rules": REFUSE} | more
    return authorize(who, known=known() if facts is None else facts, **call)  # type: ignore[arg-type]


def user(**fields: object) -> Principal:
    return replace(WHO, user=replace(USER, **fields))  # type: ignore[arg-type]


def unit(**fields: object) -> Principal:
    return replace(WHO, unit=replace(UNIT, **fields))  # type: ignore[arg-type]


def token(**fields: object) -> Principal:
    return replace(WHO, token=replace(TOKEN, **fields))  # type: ignore[arg-type]


def grant(**fields: object) -> Known:
    return known(replace(GRANT, **fields))  # type: ignore[arg-type]


def test_a_unit_s_trained_user_at_a_declared_terminal_gets_what_its_grant_says() -> None:
    given_ = ask()
    assert (given_.holder, given_.camera, given_.window, given_.until_us) == ("9901-1", 7, WINDOW, VALID.end_us)
    assert given_.authority == ("grant 12", "unit unit-9901")


ALLOWED: list[tuple[str, Callable[[], Grant]]] = [
    ("to export, where the grant says so", lambda: ask(action=Action.EXPORT)),
    ("a camera by its number", lambda: ask(facts=grant(sites=(), cameras=(CameraNumber(7),)))),
    ("the window's first and last instant", lambda: ask(wanted=WINDOW)),
    ("at the first instant of the grant", lambda: ask(now_us=NOW_US, facts=grant(valid=Interval(NOW_US, MAX_US)))),
    ("at the first instant of the agreement", lambda: ask(unit(valid_from_us=NOW_US))),
    ("under an agreement without an end", lambda: ask(unit(valid_to_us=None))),
    ("from an address inside a declared network", lambda: ask(replace(WHO, address="2001:db8:9901::5"))),
    ("from an IPv4 address in the form of IPv6", lambda: ask(replace(WHO, address="::ffff:192.0.2.7"))),
    ("at the host, where its unit declared it", lambda: ask(
        replace(unit(terminals=(Terminal("127.0.0.1", "host", ""),)), address=""))),
    ("at the host, where the configuration says so", lambda: ask(replace(WHO, address=""), rules=Rules("refuse", True))),
    ("with its viewing room recorded a minute ago", lambda: ask(facts=known(until_us=NOW_US - VIEWING_SILENT_US))),
    ("by a token for it", lambda: ask(token())),
    ("trained today", lambda: ask(user(trained_on="2027-01-15"))),
    ("by one of two grants", lambda: ask(facts=known(replace(GRANT, number=1, window=Interval(0, 1)), GRANT))),
    ("an administrator with a unit, as the unit", lambda: ask(user(role=Role.ADMIN))),
]  # fmt: skip


@pytest.mark.parametrize("call", [call for _, call in ALLOWED], ids=[name for name, _ in ALLOWED])
def test_allowed(call: Callable[[], Grant]) -> None:
    assert call().camera == 7


REFUSED: list[tuple[str, str, str, Callable[[], Grant]]] = [
    ("a planner", "role", "Art. 14 (4)", lambda: ask(user(role=Role.PLANNER))),
    ("an inspector", "role", "Art. 14 (4)", lambda: ask(user(role=Role.INSPECTOR))),
    ("an administrator of no unit", "unit", "Art. 13, 14", lambda: ask(replace(user(role=Role.ADMIN, unit=""), unit=None))),
    ("a user whose unit is gone", "unit", "Art. 13, 14", lambda: ask(replace(WHO, unit=None))),
    ("a user shown with another's unit", "unit", "Art. 13, 14", lambda: ask(unit(id="unit-9902"))),
    ("a disabled user", "disabled", "Art. 13, 14", lambda: ask(user(disabled=True))),
    ("a disabled investigator", "disabled", "Art. 13, 14", lambda: ask(user(role=Role.INVESTIGATOR, disabled=True))),
    ("a password to be changed", "must_change", "Art. 14 (7)", lambda: ask(user(must_change=True))),
    ("an untrained user", "training", "Art. 14 (1), (6)", lambda: ask(user(trained_on=""))),
    ("one trained the day after tomorrow", "training", "Art. 14 (1), (6)", lambda: ask(user(trained_on=LATER))),
    ("a removed user", "disabled", "Art. 13, 14", lambda: ask(user(removed_us=1))),
    ("a disabled unit", "unit", "Art. 13, 14", lambda: ask(unit(disabled=True))),
    ("an investigator of a disabled unit", "unit", "Art. 13, 14", lambda: ask(
        replace(unit(disabled=True), user=replace(USER, role=Role.INVESTIGATOR)))),
    ("a removed unit", "unit", "Art. 13, 14", lambda: ask(unit(removed_us=1))),
    ("no agreement", "agreement", "Art. 13, 14", lambda: ask(unit(agreement=""))),
    ("an agreement of later", "agreement", "Art. 13, 14", lambda: ask(unit(valid_from_us=NOW_US + 1))),
    ("the agreement's end", "agreement", "Art. 13, 14", lambda: ask(unit(valid_to_us=NOW_US))),
    ("no terminals", "terminal", "Art. 14 (3)", lambda: ask(unit(terminals=()))),
    ("another terminal", "terminal", "Art. 14 (3)", lambda: ask(replace(WHO, address="192.0.2.8"))),
    ("the host, undeclared", "terminal", "Art. 14 (3)", lambda: ask(replace(WHO, address=""))),
    ("the host, when a terminal elsewhere is what is asked from", "terminal", "Art. 14 (3)", lambda: ask(
        replace(WHO, address="192.0.2.8"), rules=Rules("refuse", True))),
    ("no address at all", "terminal", "Art. 14 (3)", lambda: ask(replace(WHO, address="duty room"))),
    ("a terminal that is no address", "terminal", "Art. 14 (3)", lambda: ask(unit(terminals=(Terminal("hall", "", ""),)))),
    ("no viewing-room camera", "viewing-room", "Art. 14 (2)", lambda: ask(unit(viewing_camera=None))),
    ("a viewing room never recorded", "viewing-room", "Art. 14 (2)", lambda: ask(facts=known(until_us=None))),
    ("a silent viewing room", "viewing-room", "Art. 14 (2)", lambda: ask(
        facts=known(until_us=NOW_US - VIEWING_SILENT_US - 1))),
    ("no grant", "camera", "Art. 14 (4)", lambda: ask(facts=Known.of(UNIT, (), NOW_US))),
    ("another unit's grant", "camera", "Art. 14 (4)", lambda: ask(facts=grant(unit="unit-9902"))),
    ("a revoked grant", "camera", "Art. 14 (4)", lambda: ask(facts=grant(revoked=BY))),
    ("another camera", "camera", "Art. 14 (4)", lambda: ask(camera=CameraFacts(CameraNumber(8), always("yard")))),
    ("a grant to view, to export", "action", "Art. 14 (4)", lambda: ask(
        action=Action.EXPORT, facts=grant(actions=frozenset({Action.VIEW})))),
    ("a grant of nothing", "action", "Art. 14 (4)", lambda: ask(facts=grant(actions=frozenset()))),
    ("the grant's end", "validity", "Art. 13, 14", lambda: ask(facts=grant(valid=Interval(0, NOW_US)))),
    ("a grant of later", "validity", "Art. 13, 14", lambda: ask(facts=grant(valid=Interval(NOW_US + 1, MAX_US)))),
    ("a µs before the window", "window", "Art. 14 (4)", lambda: ask(wanted=Interval(WINDOW.start_us - 1, WINDOW.end_us))),
    ("a µs behind the window", "window", "Art. 14 (4)", lambda: ask(wanted=Interval(WINDOW.start_us, WINDOW.end_us + 1))),
    ("two grants that only together cover it", "window", "Art. 14 (4)", lambda: ask(facts=known(
        replace(GRANT, window=Interval(0, WANTED.start_us + 1)), replace(GRANT, window=Interval(WANTED.start_us + 1, NOW_US))))),
    ("a token's end", "token", "Art. 13, 14", lambda: ask(token(expires_us=NOW_US))),
    ("a revoked token", "token", "Art. 13, 14", lambda: ask(token(revoked=BY))),
    ("another user's token", "token", "Art. 13, 14", lambda: ask(token(user="9901-2"))),
    ("a token to view, to export", "token-scope", "Art. 14 (4)", lambda: ask(token(), action=Action.EXPORT)),
    ("a token for reports", "token-scope", "Art. 14 (4)", lambda: ask(token(actions=frozenset()))),
]  # fmt: skip


@pytest.mark.parametrize(("code", "article", "call"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(code: str, article: str, call: Callable[[], Grant]) -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.code, caught.value.article) == (code, article)
    said = str(caught.value).removesuffix(f" ({article})")
    assert said != str(caught.value)
    assert refusal_text(said).zh != said, "a page in both languages has it in both"


@pytest.mark.parametrize(
    ("who", "facts", "word"),
    [
        (unit(viewing_camera=None), known(), "no camera shows"),
        (WHO, known(until_us=None), "recorded nothing"),
        (WHO, known(until_us=NOW_US - HOUR_US), "silent since"),
    ],
)
def test_where_the_configuration_says_finding_the_viewing_room_is_noted_and_nobody_refused(
    who: Principal, facts: Known, word: str
) -> None:
    *_, finding = ask(who, facts, rules=Rules("finding")).authority
    assert finding.startswith("finding: ")
    assert register_words.authority(finding).zh.startswith("检查发现：查看场所")
    assert word in finding


def test_an_investigator_sees_any_camera_and_the_operator_at_the_host_too() -> None:
    nothing = Known()
    for who, authority in (
        (Principal("9901-5", replace(USER, role=Role.INVESTIGATOR, unit="", trained_on=""), None), ("role investigator",)),
        (Principal("operator@host"), ("operator",)),
    ):
        for action in Action:
            given_ = ask(who, nothing, action=action)
            assert (given_.camera, given_.action, given_.window, given_.until_us) == (7, action, EVER, None)
            assert given_.authority == authority


def test_a_grant_ends_with_whatever_it_rests_on_that_ends_first() -> None:
    assert ask().until_us == VALID.end_us
    assert ask(unit(valid_to_us=NOW_US + HOUR_US)).until_us == NOW_US + HOUR_US
    assert ask(token(expires_us=NOW_US + 9)).until_us == NOW_US + 9
    open_end = grant(valid=Interval(0, MAX_US))
    assert ask(unit(valid_to_us=None), open_end).until_us is None


def test_of_several_grants_the_one_that_lasts_longest_is_named() -> None:
    longer = replace(GRANT, number=13, valid=Interval(0, NOW_US + 2 * DAY_US))
    assert ask(facts=known(GRANT, longer)).authority[0] == "grant 13"


MOVED_US = NOW_US - 90 * 60 * US
"""Half of what is wanted was taken before it, at the gate, half behind it, in the yard."""
AT_GATE, AT_YARD = Interval(WANTED.start_us, MOVED_US), Interval(MOVED_US, WANTED.end_us)
MOVED = CameraFacts(CameraNumber(7), (Stay("gate", 0), Stay("yard", MOVED_US)), "gate-1")
BACK = replace(MOVED, stays=(*MOVED.stays, Stay("gate", NOW_US - 70 * 60 * US)))
YARD, PAIR, BY_NUMBER = (
    replace(GRANT, number=13, sites=("yard",)), replace(GRANT, number=14, sites=("gate", "yard")),
    replace(GRANT, number=15, sites=(), cameras=(CameraNumber(7),)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("camera", "held", "wanted", "window"),
    [
        (MOVED, [GRANT], AT_GATE, Interval(WINDOW.start_us, MOVED_US)),
        (MOVED, [YARD], AT_YARD, Interval(MOVED_US, NOW_US)),
        (MOVED, [PAIR], WANTED, WINDOW),
        (MOVED, [BY_NUMBER], WANTED, WINDOW),
        (MOVED, [GRANT, YARD, BY_NUMBER], WANTED, WINDOW),
        (MOVED, [replace(GRANT, cameras=(CameraNumber(7),))], WANTED, WINDOW),
        (BACK, [GRANT], AT_GATE, Interval(WINDOW.start_us, MOVED_US)),
        (BACK, [GRANT], Interval(NOW_US - 70 * 60 * US, NOW_US), Interval(NOW_US - 70 * 60 * US, NOW_US)),
        (BACK, [PAIR], WANTED, WINDOW),
        (replace(MOVED, stays=MOVED.stays[1:]), [YARD], AT_YARD, Interval(MOVED_US, NOW_US)),
        (replace(MOVED, stays=()), [BY_NUMBER], WANTED, WINDOW),
    ],
)  # fmt: skip
def test_a_grant_of_a_site_is_of_what_was_recorded_while_the_camera_stood_there(
    camera: CameraFacts, held: list[UnitGrant], wanted: Interval, window: Interval
) -> None:
    assert ask(camera=camera, wanted=wanted, facts=known(*held)).window == window


@pytest.mark.parametrize(
    ("camera", "held", "wanted", "code", "says"),
    [
        ("moved", [GRANT], AT_YARD, "window", format_local(MOVED_US)),
        ("moved", [YARD], AT_GATE, "window", format_local(MOVED_US)),
        ("moved", [GRANT], WANTED, "window", f"to {format_local(MOVED_US)}, while the camera stood at a site of it"),
        ("moved", [YARD], WANTED, "window", f"from {format_local(MOVED_US)} to"),
        ("moved, a µs", [GRANT], Interval(AT_GATE.start_us, MOVED_US + 1), "window", "while the camera stood"),
        ("moved, a µs", [YARD], Interval(MOVED_US - 1, AT_YARD.end_us), "window", "while the camera stood"),
        ("moved, no grant of both", [GRANT, YARD], WANTED, "window", "while the camera stood"),
        ("moved and back", [GRANT], WANTED, "window", "while the camera stood"),
        ("moved and back, which part is nearest", [GRANT], Interval(AT_GATE.start_us, MOVED_US + 9), "window", f"to {format_local(MOVED_US)},"),
        ("a window that ends before the camera came", [replace(YARD, window=Interval(0, MOVED_US))], AT_GATE, "camera", "no grant"),
        ("unknown past", [GRANT, YARD], WANTED, "camera", "no grant"),
    ],
)  # fmt: skip
def test_and_of_nothing_else(camera: str, held: list[UnitGrant], wanted: Interval, code: str, says: str) -> None:
    facts = replace(MOVED, stays=()) if camera == "unknown past" else BACK if camera.startswith("moved and back") else MOVED
    with pytest.raises(Refusal, match=re.escape(says)) as caught:
        ask(camera=facts, wanted=wanted, facts=known(*held))
    assert caught.value.code == code
    assert "摄像机" in refusal_text(str(caught.value).removesuffix(f" ({caught.value.article})")).zh


def test_the_days_of_a_term_stand_in_a_refusal_as_they_were_typed() -> None:
    term = interval("2026-11-01", "2026-11-30", local_zone(), 0)
    cases = (
        (lambda: ask(unit(valid_from_us=term.start_us, valid_to_us=term.end_us)), "is not in force: it is "),
        (lambda: ask(facts=grant(valid=term)), "is not valid now: "),
        (lambda: ask(facts=grant(window=term)), "is for footage "),
    )
    for call, words in cases:
        with pytest.raises(Refusal) as caught:
            call()
        assert f"{words}from 2026-11-01 to 2026-11-30" in str(caught.value)
        said = str(caught.value).removesuffix(f" ({caught.value.article})")
        assert "：2026-11-01 至 2026-11-30" in refusal_text(said).zh


LACKS: dict[str, Callable[[Principal, Known], tuple[Principal, Known]]] = {
    "the user": lambda who, facts: (replace(who, user=replace(USER, role=Role.PLANNER)), facts),
    "the unit": lambda who, facts: (replace(who, unit=None), facts),
    "training": lambda who, facts: ((who.user and replace(who, user=replace(who.user, trained_on=""))) or who, facts),
    "the agreement": lambda who, facts: ((who.unit and replace(who, unit=replace(who.unit, agreement=""))) or who, facts),
    "terminals": lambda who, facts: ((who.unit and replace(who, unit=replace(who.unit, terminals=()))) or who, facts),
    "the address": lambda who, facts: (replace(who, address=""), facts),
    "the viewing room": lambda who, facts: (who, replace(facts, viewing_until_us=None)),
    "grants by camera": lambda who, facts: (who, replace(facts, by_camera={})),
    "grants by site": lambda who, facts: (who, replace(facts, by_site={})),
}


STOOD = {
    1: always("a"), 2: always("b"), 3: (Stay("a", 0), Stay("b", NOW_US - 3 * HOUR_US)), 4: (Stay("b", NOW_US - 4 * HOUR_US),),
}  # fmt: skip


def covers(one: UnitGrant, number: int, wanted: Interval) -> bool:
    """Hour by hour, which is how the spans below are cut."""
    hours = range(wanted.start_us, wanted.end_us, HOUR_US)
    stood = [[stay.site for stay in STOOD[number] if stay.from_us <= at_us][-1:] for at_us in hours]
    return (number in one.cameras or all(set(site) & set(one.sites) for site in stood)) and (
        one.window.start_us <= wanted.start_us and wanted.end_us <= one.window.end_us
    )


def allowed(who: Principal, facts: Known, action: Action, wanted: Interval) -> set[int]:
    """Which cameras somebody may."""
    found = set()
    for number in range(1, 5):
        try:
            authorize(who, action, CameraFacts(CameraNumber(number), STOOD[number]), wanted, NOW_US, facts, REFUSE)
        except Refusal:
            continue
        found.add(number)
    return found


spans = st.tuples(st.integers(0, 5), st.integers(1, 6)).map(
    lambda pair: Interval(NOW_US + (pair[0] - 6) * HOUR_US, NOW_US + (pair[0] + pair[1] - 6) * HOUR_US)
)
grants = st.builds(
    UnitGrant, st.integers(1, 9), st.sampled_from(["unit-9901", "unit-9902"]), st.sets(st.sampled_from("ab")).map(tuple),
    st.sets(st.integers(1, 4)).map(tuple), st.frozensets(st.sampled_from(list(Action))), spans,
    st.sampled_from([VALID, Interval(0, 1)]), st.just(BY), revoked=st.sampled_from([None, None, BY]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(grants, max_size=6), spans, st.sampled_from(list(Action)))
def test_nothing_is_gained_by_a_fact_that_is_missing(held: list[UnitGrant], wanted: Interval, action: Action) -> None:
    facts = Known.of(UNIT, held, NOW_US)
    whole = allowed(WHO, facts, action, wanted)
    for one, two in combinations(LACKS.values(), 2):
        assert allowed(*two(*one(WHO, facts)), action, wanted) <= whole
    for left_out in range(len(held)):
        fewer = Known.of(UNIT, [one for at, one in enumerate(held) if at != left_out], NOW_US)
        assert allowed(WHO, fewer, action, wanted) <= whole
    assert whole == {
        number
        for number in range(1, 5)
        for one in held
        if one.unit == UNIT.id and one.revoked is None and action in one.actions and one.valid is VALID
        and covers(one, number, wanted)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ask(facts=Known.of(UNIT, (), NOW_US)), "camera gate-1 (#7)"),
        (lambda: ask(action=Action.EXPORT, facts=grant(actions=frozenset({Action.VIEW}))), "camera gate-1 (#7)"),
        (lambda: ask(facts=grant(valid=Interval(0, NOW_US))), format_local(NOW_US)),
        (lambda: ask(wanted=Interval(WINDOW.start_us - 1, WINDOW.end_us)), format_local(WINDOW.end_us)),
        (lambda: ask(facts=replace(known(until_us=None), viewing_id="hall-1")), "camera hall-1 (#99)"),
        (lambda: ask(wanted=Interval(WINDOW.start_us, MAX_US - 1)), "9999"),
    ],
)
def test_a_refusal_names_the_camera_by_its_id_and_times_as_the_clock_on_the_wall_shows_them(
    call: Callable[[], Grant], says: str
) -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert says in str(caught.value)
