"""Words from people: bounded, and nothing in them that nobody sees."""

from __future__ import annotations

import pytest

from index.texts import cleaned, text_field
from vault.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  North\u3000gate\r\n\x1b[31m\u202egnp\ud800 ", "North gate [31mgnp"),
        ("a\x00b\u200bc", "abc"),
        ("惠阳区\u00a0公安分局", "惠阳区 公安分局"),
        ("\t\n", ""),
    ],
)
def test_what_nobody_sees_goes_and_white_space_is_one_space(text: str, found: str) -> None:
    assert cleaned(text) == found


def test_a_text_is_bounded_after_it_was_cleaned() -> None:
    assert text_field("name", " x\0" * 5, 9) == "x x x x x"
    for text in ("x" * 11, "\0" * 1_000):
        with pytest.raises(UsageError, match="name is longer than 10"):
            text_field("name", text, 10)
    with pytest.raises(UsageError, match="name is missing"):
        text_field("name", "\0", 10, required=True)
