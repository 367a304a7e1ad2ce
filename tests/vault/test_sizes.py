"""Sizes as people write them."""

from __future__ import annotations

import pytest

from vault.errors import UsageError
from vault.sizes import size_of


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1.5P", 1_500_000 * 10**9), ("800G", 800 * 10**9), (" 200TB ", 200 * 10**12), ("4M", 4_000_000)],
)
def test_a_size_is_in_powers_of_a_thousand(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "T", "1X", "-5T", "1e9", "nan", "99999999999T", "1.T"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        size_of(text)
