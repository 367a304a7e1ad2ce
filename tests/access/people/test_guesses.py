"""Guesses that lock only whom they should."""

from __future__ import annotations

import pytest

from access.people.attempts import BY_ADDRESS, Attempts
from access.people.login import sign_in
from access.people.people import People
from access.people.tokens import Tokens
from tests.support.indexing import DAY_US, T0
from tests.support.people import ADDRESS, PASSWORD, add_everyone
from vault.grant import Action, Refusal


@pytest.fixture
def people(people: People) -> People:
    add_everyone(people)
    return people


def test_guesses_from_an_address_stop_no_program_that_has_its_token_there(people: People, attempts: Attempts) -> None:
    _, text = Tokens(people).add("li", [Action.VIEW], T0 + DAY_US, "boss")
    for _ in range(BY_ADDRESS.free + 5):
        with pytest.raises(Refusal):
            sign_in(people, attempts, people.clock, token=text + "0", address=ADDRESS)
    with pytest.raises(Refusal, match="too many"):
        sign_in(people, attempts, people.clock, "li", password=PASSWORD, address=ADDRESS)
    assert sign_in(people, attempts, people.clock, token=text, address=ADDRESS).actor == "li"


def test_guesses_at_the_host_lock_nobody_but_the_names_guessed_at(people: People, attempts: Attempts) -> None:
    for number in range(BY_ADDRESS.free + 5):
        with pytest.raises(Refusal, match="is wrong"):
            sign_in(people, attempts, people.clock, f"name-{number}", password="wrong")
    assert sign_in(people, attempts, people.clock, "li", password=PASSWORD).actor == "li"
