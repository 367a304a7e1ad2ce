"""A registry of people to begin with: empty but for the camera `cam-1`, number 1, at the default site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from access.people.attempts import Attempts
from access.people.people import People
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from vault.ids import CameraNumber


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as found:
        found.sites.ensure_default()
        found.add_camera("cam-1", CameraNumber(1))
        yield found


@pytest.fixture
def people(vault: Vault) -> People:
    return People(vault.registry, vault.clock)


@pytest.fixture
def attempts(vault: Vault) -> Attempts:
    return Attempts(vault.environment, vault.clock)
