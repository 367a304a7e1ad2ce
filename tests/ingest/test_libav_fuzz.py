"""The fuzzing targets of containers, of the libav process and of receptions run on their seeds and on what Hypothesis makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import fuzz_libav


@pytest.mark.parametrize("seed", fuzz_libav.seeds())
def test_every_seed_passes(seed: bytes) -> None:
    fuzz_libav.fuzz(seed)


@given(st.sampled_from(fuzz_libav.seeds()), st.integers(0, 200), st.binary(max_size=40), st.integers(0, 40))
def test_seeds_with_junk_in_them_pass(seed: bytes, at: int, junk: bytes, cut: int) -> None:
    fuzz_libav.fuzz(seed[:at] + junk + seed[at + cut :])
    fuzz_libav.fuzz(seed[:1] + junk)
