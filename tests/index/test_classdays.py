"""Days of the classes in the configuration: more of them reach what exists, fewer do not, and each change is told once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.cameras import NewCamera
from index.classdays import DUTY, days_in_force, follow_class_days, restore_class_days
from index.duties import put_duty
from index.minima import raises_of
from index.sites import Site
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from vault.config import Retention
from vault.ids import CameraNumber

URL = "rtsp://192.0.2.1/stream"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """Camera 1 of class general, 2 of class key, 3 removed from the first."""
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.sites.add(Site("gate", "key", 90))
        for id_, site in (("yard", "default"), ("bank", "gate"), ("gone", "default")):
            opened.cameras.add(NewCamera(id_, URL, site=site))
        opened.cameras.remove("gone")
        yield opened


def follow(vault: Vault, **days: int) -> dict[str, tuple[int, int]]:
    vault.clock.advance(1)
    return follow_class_days(vault.registry, Retention(**days), vault.clock.now_us())  # type: ignore[arg-type]


def raised(vault: Vault) -> list[list[int]]:
    with vault.environment.read() as txn:
        return [[item.days for item in raises_of(txn, CameraNumber(number)) if not item.lowered] for number in (1, 2, 3)]


def test_more_days_raise_the_cameras_of_the_class_removed_ones_too(vault: Vault) -> None:
    assert follow(vault) == {}
    assert raised(vault) == [[], [], []]
    assert follow(vault, general_days=60) == {"general": (30, 60)}
    assert raised(vault) == [[60], [], [60]]
    changes = vault.cameras.changes()
    assert follow(vault, general_days=60) == {}
    assert vault.cameras.changes() == changes
    assert follow(vault, general_days=60, key_days=120) == {"key": (90, 120)}
    assert raised(vault) == [[60], [120], [60]]


def test_fewer_days_raise_nothing_and_take_nothing_back(vault: Vault) -> None:
    follow(vault, general_days=60)
    assert follow(vault) == {"general": (60, 30)}
    assert raised(vault) == [[60], [], [60]]
    with vault.environment.read() as txn:
        [lowered] = [item for item in raises_of(txn, CameraNumber(1)) if item.lowered]
    # What began before this look and is written later, and nothing else.
    assert (lowered.days, lowered.before_us) == (60, vault.clock.now_us())
    assert follow(vault, general_days=45) == {"general": (30, 45)}
    # Two raises: what began before the first is kept for sixty days, what comes from now on for forty-five.
    assert raised(vault) == [[60, 45], [], [60, 45]]


def test_fewer_days_are_in_force_once_they_were_looked_at(vault: Vault) -> None:
    follow(vault, general_days=60, key_days=91)
    assert days_in_force(vault.environment, Retention(general_days=30, key_days=95)) == Retention(general_days=60, key_days=95)
    follow(vault)
    assert days_in_force(vault.environment, Retention()) == Retention()


def test_documents_tell_which_days_were_in_force(vault: Vault) -> None:
    follow(vault, general_days=60, viewing_days=100)
    follow(vault, general_days=50, viewing_days=100)
    with vault.environment.write("lost") as txn:
        put_duty(txn, DUTY, {"days": {}})
        restore_class_days(txn, list(vault.registry.all_fields(txn, "raises")))
    assert days_in_force(vault.environment, Retention()) == Retention(general_days=50, viewing_days=100)
    assert follow(vault, general_days=50, viewing_days=100) == {}


def test_an_index_that_remembers_nothing_is_held_against_the_law(vault: Vault) -> None:
    assert follow(vault, general_days=60) == {"general": (30, 60)}
    assert raised(vault)[0] == [60]
