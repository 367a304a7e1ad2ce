"""Signing in: who is let in, what a refusal says, that a change holds at once, and what ten thousand guesses cost."""

from __future__ import annotations

import re
import resource
import threading
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from argon2 import Parameters
from argon2.low_level import Type

from access.people import passwords
from access.people.attempts import BY_ADDRESS, BY_NAME, LONGEST_LOCK_US, MAX_ADDRESSES, MAX_STRANGERS, Attempts
from access.people.login import change_password, operator, sign_in
from access.people.model import Principal
from access.people.people import People
from access.people.tokens import Tokens
from access.people.units import Units
from access.people.users import Users
from index.behind import Ahead, make_safe
from index.environment import Table
from tests.support.index_vault import Vault
from tests.support.indexing import DAY_US, T0
from tests.support.people import ADDRESS, PASSWORD, add_everyone, hashes_of, signed_in
from vault.errors import UsageError
from vault.grant import Action, Refusal
from vault.timebase import US

PARAMETERS = passwords.PARAMETERS
"""As they are before any test makes them cheap."""
OTHER = "another password 7"


@pytest.fixture
def people(people: People) -> People:
    add_everyone(people)
    return people


def guess(people: People, attempts: Attempts, name: str = "li", password: str = "wrong", address: str = ADDRESS) -> str:
    """The code of the refusal."""
    with pytest.raises(Refusal) as caught:
        sign_in(people, attempts, people.clock, name, password=password, address=address)
    return caught.value.code


def test_a_user_is_let_in_by_password_and_comes_with_unit_and_address(people: People) -> None:
    principal = signed_in(people)
    assert principal.user is not None
    assert principal.unit is not None
    assert (principal.actor, principal.user.id, principal.unit.id, principal.address) == ("li", "li", "road", ADDRESS)
    assert re.fullmatch(r"operator@\S+", operator().actor)
    assert operator().user is None


def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(people: People, attempts: Attempts) -> None:
    answers = []
    for name, password in (
        ("li", "wrong"),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("../li", PASSWORD),
        ("李" * 500, "x"),
        ("boss/", "\n"),
        ("li\udc80", "x"),
        ("li", "\udcff\x00"),
    ):
        with pytest.raises(Refusal) as caught:
            sign_in(people, attempts, people.clock, name, password=password, address=ADDRESS)
        answers.append((caught.value.code, caught.value.article, str(caught.value)))
    assert len(set(answers)) == 1
    assert answers[0][:2] == ("credentials", "Art. 14 (7)")


def test_a_name_that_is_nobodys_is_hashed_for_like_a_users(people: People, attempts: Attempts) -> None:
    with mock.patch.object(
        passwords.PasswordHasher, "verify", autospec=True, side_effect=passwords.PasswordHasher.verify
    ) as verify:
        guess(people, attempts, "li")
        guess(people, attempts, "nobody")
        Users(people).add(replace(people.user("li"), id="new"), "boss")
        guess(people, attempts, "new")
    forms = [passwords.extract_parameters(call.args[1]) for call in verify.call_args_list]
    assert [(form.memory_cost, form.time_cost) for form in forms] == [(8, 1)] * 3


def test_one_who_is_disabled_or_whose_unit_is_or_who_must_change_is_told_so_only_with_the_right_password(
    people: People, attempts: Attempts
) -> None:
    users, units = Users(people), Units(people)
    users.set_password("li", PASSWORD, "boss")
    assert guess(people, attempts, password=PASSWORD) == "must_change"
    with pytest.raises(UsageError, match="the old one"):
        change_password(people, attempts, "li", PASSWORD, PASSWORD)
    change_password(people, attempts, "li", PASSWORD, OTHER)
    assert guess(people, attempts, password=PASSWORD) == "credentials"
    assert sign_in(people, attempts, people.clock, "li", password=OTHER).actor == "li"
    units.change("road", lambda unit: replace(unit, disabled=True), "boss")
    assert guess(people, attempts, password=OTHER) == "unit"
    units.change("road", lambda unit: replace(unit, disabled=False), "boss")
    users.change("li", lambda user: replace(user, disabled=True), "boss")
    assert guess(people, attempts, password=OTHER) == "disabled"
    assert guess(people, attempts, password="wrong") == "credentials"
    users.remove("li", "boss")
    assert guess(people, attempts, password=OTHER) == "credentials"


def test_a_password_is_hashed_anew_where_the_parameters_have_changed_and_nobody_is_put_out_by_it(
    people: People, attempts: Attempts
) -> None:
    old, set_us = people.user("li").password_hash, people.user("li").password_set_us
    stronger = Parameters(Type.ID, 19, 16, 32, 2, 64, 1)
    with hashes_of(stronger):
        assert signed_in(people).actor == "li"
        new = people.user("li").password_hash
        assert new != old
        assert passwords.extract_parameters(new) == stronger
        assert signed_in(people).actor == "li"
        assert people.user("li").password_hash == new
    assert people.user("li").password_set_us == set_us


def test_a_hash_that_asks_for_a_gigabyte_is_no_password(people: People) -> None:
    dear = "$argon2id$v=19$m=4194304,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not passwords.is_right(dear, PASSWORD)
    assert not passwords.is_right("$argon2id$torn", PASSWORD)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


def test_the_parameters_are_those_of_the_standard() -> None:
    # RFC 9106 §4, the second recommended option.
    found = PARAMETERS
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 64 * 1024, 3, 4)
    with hashes_of(PARAMETERS):
        encoded = passwords.hash_password(PASSWORD)
        assert passwords.is_right(encoded, PASSWORD)
        assert not passwords.is_right(encoded, PASSWORD + "x")
    assert not passwords.is_right("", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("short 12", "at least 10"),
        ("aaaaabbbbbcc", "different"),
        ("my li password", "name"),
        ("x" * 201, "at most"),
        ("tab\tinside it", "control"),
    ],
)
def test_a_password_follows_the_rules_and_is_not_quoted(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        passwords.checked_password(text, "li")
    assert text not in str(caught.value)


def test_one_password_typed_in_two_ways_is_one() -> None:
    encoded = passwords.hash_password(passwords.checked_password("caf\u00e9 au lait 1", "li"))
    assert passwords.is_right(encoded, "cafe\u0301 au lait 1")


def test_random_passwords_follow_the_rules() -> None:
    found = {passwords.random_password() for _ in range(100)}
    assert len(found) == 100
    for name in ("admin", "li", "a"):
        assert all(passwords.checked_password(text, name) == text for text in found)


def lock_of(people: People, attempts: Attempts, vault: Vault, name: str) -> int:
    """Guess until it is locked; how many guesses were looked at."""
    count = 0
    while guess(people, attempts, name, address=f"10.98.{count // 250}.{count % 250}") == "credentials":
        count += 1
        assert count < 100
    return count


@pytest.mark.parametrize("name", ["li", "nobody"])
def test_wrong_passwords_lock_a_name_for_twice_as_long_each_time_and_the_right_one_works_after_it(
    people: People, attempts: Attempts, vault: Vault, name: str
) -> None:
    assert lock_of(people, attempts, vault, name) == BY_NAME.free
    waits = []
    for _ in range(12):
        begun, step = vault.clock.now_us(), US
        assert guess(people, attempts, name, PASSWORD, "10.97.0.1") == "locked"
        while guess(people, attempts, name, PASSWORD + "x", "10.97.0.1") == "locked":
            vault.clock.advance(step)
        waits.append((vault.clock.now_us() - begun) // US)
    assert waits[:5] == [2, 4, 8, 16, 32]
    assert waits[-1] == LONGEST_LOCK_US // US
    vault.clock.advance(LONGEST_LOCK_US)
    if name == "li":
        assert sign_in(people, attempts, people.clock, "li", password=PASSWORD).actor == "li"
        assert lock_of(people, attempts, vault, name) == BY_NAME.free


def test_an_address_that_tries_many_names_is_locked_and_another_is_not(people: People, attempts: Attempts) -> None:
    codes = [guess(people, attempts, f"name-{number}", address="2001:db8::1") for number in range(BY_ADDRESS.free + 5)]
    assert codes == ["credentials"] * BY_ADDRESS.free + ["locked"] * 5
    assert guess(people, attempts, "li", PASSWORD, "2001:db8::ffff") == "locked"
    assert sign_in(people, attempts, people.clock, "li", password=PASSWORD, address="2001:db8:0:1::1").actor == "li"
    assert guess(people, attempts, "li", address="::ffff:10.1.1.1") == "credentials"


def test_a_lock_outlives_the_process_and_not_a_clock_that_steps_back(people: People, vault: Vault, attempts: Attempts) -> None:
    lock_of(people, attempts, vault, "li")
    assert guess(people, Attempts(vault.environment, vault.clock), password=PASSWORD, address="") == "locked"
    vault.clock.step(-2 * LONGEST_LOCK_US)
    assert signed_in(people).actor == "li"


def test_ten_thousand_wrong_passwords_and_tokens_cost_few_hashes_few_rows_and_few_lines(
    people: People, attempts: Attempts, vault: Vault
) -> None:
    with vault.environment.read() as txn:
        told = txn.entries(Table.OUTBOX)
    with mock.patch("access.people.login.is_right", side_effect=passwords.is_right) as hashed:
        for number in range(10_000):
            name = "li" if number % 2 else f"nobody-{number}"
            guess(people, attempts, name, f"guess {number}", f"10.96.0.{number % 4}")
    assert hashed.call_count <= 4 * BY_ADDRESS.free
    for number in range(10_000):
        with pytest.raises(Refusal):
            sign_in(people, attempts, people.clock, token=f"svt-{number:012x}-{'0' * 64}", address="10.95.0.1")
    # A row for each name that was looked at, and for each address.
    assert attempts.rows() <= hashed.call_count + 5
    with vault.environment.read() as txn:
        assert txn.entries(Table.OUTBOX) - told < 30
    vault.clock.advance(LONGEST_LOCK_US)
    assert signed_in(people).actor == "li"
    assert guess(people, attempts, "li", PASSWORD + "x") == "credentials"


def test_guesses_side_by_side_are_all_counted_and_few_are_hashed_at_a_time(people: People, attempts: Attempts) -> None:
    verify, lock, now, most, looked_at = passwords.PasswordHasher.verify, threading.Lock(), 0, 0, 0

    def slow(*arguments: Any) -> bool:
        nonlocal now, most, looked_at
        with lock:
            now, looked_at = now + 1, looked_at + 1
            most = max(most, now)
        try:
            return verify(*arguments)
        finally:
            with lock:
                now -= 1

    codes: list[str] = []
    with mock.patch.object(passwords.PasswordHasher, "verify", autospec=True, side_effect=slow):
        threads = [
            threading.Thread(target=lambda at=at: codes.append(guess(people, attempts, "li", f"wrong {at}", f"10.93.0.{at}")))
            for at in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # The tenth sets a lock of two seconds on a clock that stands.
    assert sorted(codes) == ["credentials"] * BY_NAME.free + ["locked"] * (40 - BY_NAME.free)
    assert looked_at == BY_NAME.free
    assert most <= passwords.AT_ONCE


def test_names_without_number_take_a_bounded_number_of_rows_and_none_of_a_users(people: People, attempts: Attempts) -> None:
    for _ in range(BY_NAME.free):
        guess(people, attempts, "li", address="10.92.0.1")
    with mock.patch("access.people.attempts.MAX_STRANGERS", 50):
        for number in range(200):
            guess(people, attempts, f"nobody-{number}", address=f"10.91.{number // 20}.1")
            assert attempts.rows() <= 50 + 1 + 11
    assert guess(people, attempts, "li", PASSWORD) == "locked"
    assert MAX_STRANGERS < 10_000


def test_addresses_without_number_take_a_bounded_number_of_rows(people: People, attempts: Attempts) -> None:
    with mock.patch("access.people.attempts.MAX_ADDRESSES", 50):
        for number in range(200):
            with pytest.raises(Refusal):
                sign_in(people, attempts, people.clock, token="svt-", address=f"10.94.{number // 250}.{number % 250}")
            assert attempts.rows() <= 50
    assert MAX_ADDRESSES < 10_000


def test_a_lock_is_told_to_the_ledger_without_what_was_typed(people: People, attempts: Attempts, vault: Vault) -> None:
    lock_of(people, attempts, vault, "li")
    with vault.environment.read() as txn:
        lines = [raw.decode() for _, raw in txn.scan(Table.OUTBOX)]
    (line,) = [line for line in lines if '"kind":"access"' in line]
    assert '"subject":{"user":"li"}' in line
    assert '"failures":10' in line
    assert "wrong" not in line


def token_of(people: People, expires_us: int = T0 + DAY_US) -> tuple[str, str]:
    token, text = Tokens(people).add("li", [Action.VIEW], expires_us, "boss")
    return token.id, text


def test_a_token_lets_in_whoever_it_is_of_until_it_ends_or_is_revoked(people: People, attempts: Attempts, vault: Vault) -> None:
    id_, text = token_of(people)
    principal = sign_in(people, attempts, people.clock, token=text, address=ADDRESS)
    assert principal.token is not None
    assert (principal.actor, principal.token.id, principal.token.actions) == ("li", id_, frozenset({Action.VIEW}))
    assert sign_in(people, attempts, people.clock, "li", token=text).actor == "li"
    rows = attempts.rows()
    for name, wrong in (
        ("boss", text),
        ("", text[:-1] + ("0" if text[-1] != "0" else "1")),
        ("", text + "0"),
        ("", id_),
        ("", "\u20ac" * 5000),
    ):
        with pytest.raises(Refusal, match="wrong"):
            sign_in(people, attempts, people.clock, name, token=wrong, address=ADDRESS)
    assert attempts.rows() == rows + 1
    vault.clock.advance(DAY_US)
    with pytest.raises(Refusal, match="wrong"):
        sign_in(people, attempts, people.clock, token=text)


def test_one_who_guesses_a_users_password_does_not_stop_the_users_programs(
    people: People, attempts: Attempts, vault: Vault
) -> None:
    _, text = token_of(people)
    lock_of(people, attempts, vault, "li")
    assert sign_in(people, attempts, people.clock, token=text, address=ADDRESS).actor == "li"


def test_a_token_of_one_who_is_removed_or_must_change_their_password_is_worth_nothing(
    people: People, attempts: Attempts
) -> None:
    _, text = token_of(people)
    Users(people).set_password("li", OTHER, "boss")
    with pytest.raises(Refusal, match="changed first"):
        sign_in(people, attempts, people.clock, token=text)
    Users(people).remove("li", "boss")
    with pytest.raises(Refusal):
        sign_in(people, attempts, people.clock, token=text)
    assert [token.revoked is None for token in people.tokens()] == [False]


def test_sign_in_takes_one_proof(people: People, attempts: Attempts) -> None:
    for given in ({}, {"password": PASSWORD, "token": "x"}):
        with pytest.raises(UsageError):
            sign_in(people, attempts, people.clock, "li", **given)  # type: ignore[arg-type]


def test_no_secret_stands_in_what_is_shown_of_a_value(people: People) -> None:
    principal: Principal = signed_in(people)
    _, text = token_of(people)
    assert "argon2" not in repr(principal)
    assert people.tokens()[0].secret_hash not in repr(people.tokens())
    assert text.rpartition("-")[2] not in repr(people.tokens())


def test_another_password_ends_a_lock(people: People, attempts: Attempts, vault: Vault) -> None:
    lock_of(people, attempts, vault, "li")
    assert attempts.waits_us("li") > 0
    Users(people).set_password("li", OTHER, "boss", must_change=False)
    assert attempts.waits_us("li") == attempts.waits_us("nobody") == 0
    assert sign_in(people, attempts, people.clock, "li", password=OTHER).actor == "li"


def test_nobody_signs_in_by_an_index_that_is_older_than_its_store(people: People, attempts: Attempts, vault: Vault) -> None:
    _, text = token_of(people)
    make_safe(vault.environment, vault.catalog, Ahead(documents=1))
    assert guess(people, attempts, "li", PASSWORD) == "behind"
    with pytest.raises(Refusal, match="index rebuild"):
        sign_in(people, attempts, people.clock, token=text)
