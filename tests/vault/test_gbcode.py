"""Which 20 digits can be a camera's code (GB/T 28181-2022 Annex E.1)."""

from __future__ import annotations

import pytest

from vault.errors import UsageError
from vault.gbcode import camera_code


@pytest.mark.parametrize("code", ["99010300001320000001", "99010000001310000001", "99018200001180999999"])
def test_a_cameras_code_passes(code: str) -> None:
    assert camera_code(code) == code


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "20 digits"),
        ("9901030000132000001", "20 digits"),
        ("990103000013200000011", "20 digits"),
        ("9901030000132000000٣", "20 digits"),
        ("9901030000132000000a", "20 digits"),
        ("99010300002000000001", "type 200"),
        ("99010300001100000001", "type 110"),
        ("99010300003000000001", "type 300"),
    ],
)
def test_what_cannot_be_a_cameras_code_says_which_part(code: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        camera_code(code)
