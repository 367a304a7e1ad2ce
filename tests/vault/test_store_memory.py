"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from tests.vault.store_contract import StoreContract
from vault.clock import ManualClock
from vault.store.memory import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_the_time_of_an_object_is_the_clocks() -> None:
    clock = ManualClock(1_000_000)
    store = MemoryStore(clock)
    store.put_bytes("a", b"1")
    clock.advance(5_000_000)
    store.put_bytes("b", b"1")
    assert [item.modified_us for item in store.list("")] == [1_000_000, 6_000_000]
