"""The store in a bucket keeps the contract, on two servers of other people."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pytest

from tests.support.s3servers import Server, key_source, server
from tests.vault.store_contract import StoreContract
from vault.clock import SystemClock
from vault.store.s3 import S3Store
from vault.store.s3features import Checksum, Features

_serial = itertools.count()


@pytest.fixture(scope="module", params=["versitygw", "minio"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture(scope="module")
def features(running: Server) -> Features:
    """Found out once a server, as a recorder does once a start."""
    store = S3Store(running.settings, key_source(), SystemClock())
    try:
        return store.features
    finally:
        store.close()


@pytest.fixture
def store(running: Server, features: Features) -> Iterator[S3Store]:
    """A store of its own for each test: a prefix of the one bucket."""
    settings = dataclasses.replace(running.settings, prefix=f"t/{next(_serial)}/")
    made = S3Store(settings, key_source(), SystemClock(), features=features)
    yield made
    made.close()


class TestS3Store(StoreContract):
    """The suite as it is."""


def test_both_servers_keep_conditions_and_check_crc32c(features: Features) -> None:
    assert features == Features(conditional_put=True, checksum=Checksum.CRC32C)
