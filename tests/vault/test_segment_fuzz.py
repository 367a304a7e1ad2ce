"""The fuzzing target of stored files runs on its seeds and on what Hypothesis makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_segment

SEEDS = range(len(fuzz_segment.seeds()))


@pytest.mark.parametrize("number", SEEDS)
def test_every_seed_passes(number: int) -> None:
    seed = fuzz_segment.seeds()[number]
    assert len(seed) < fuzz_segment.MAX_INPUT_BYTES
    fuzz_segment.fuzz(seed)


@settings(deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 4_000), st.binary(max_size=40), st.integers(0, 40))
def test_seeds_with_junk_in_them_pass(number: int, at: int, junk: bytes, cut: int) -> None:
    seed = fuzz_segment.seeds()[number]
    fuzz_segment.fuzz(seed[:at] + junk + seed[at + cut :])
    fuzz_segment.fuzz(seed[:1] + junk)
