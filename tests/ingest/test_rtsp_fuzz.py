"""The fuzz targets of RTSP and SDP, run on their own seeds and on random bytes, so that they stay right without atheris."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import fuzz_rtsp, fuzz_sdp


@pytest.mark.parametrize("module", [fuzz_rtsp, fuzz_sdp])
def test_every_seed_passes(module: ModuleType) -> None:
    seeds = module.seeds()
    assert len(seeds) > 30
    for seed in seeds:
        module.fuzz(seed)


@given(st.binary(max_size=400), st.sampled_from(fuzz_rtsp.seeds()), st.integers(0, 2000))
def test_a_conversation_with_bytes_put_into_it_passes(junk: bytes, seed: bytes, at: int) -> None:
    fuzz_rtsp.fuzz(seed[:at] + junk + seed[at:])


@given(st.binary(max_size=400), st.sampled_from(fuzz_sdp.seeds()), st.integers(0, 400))
def test_a_description_with_bytes_put_into_it_passes(junk: bytes, seed: bytes, at: int) -> None:
    fuzz_sdp.fuzz(seed[:at] + junk + seed[at:])
