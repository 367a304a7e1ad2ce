"""Text and a clock that a program can read, burnt into a picture's luma plane.

Our own 5×7 letters (no font file, no imaging library) and a bar code: two rows of 28 black and white blocks along the
lower edge, over the whole width. They hold, most significant bit first, 44 bits of milliseconds and 12 bits of CRC, so a
test reads the instant of a decoded picture without knowing anything about where the picture came from. What is shown
behind the text is made elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]

BLACK, WHITE = 20, 232
_COLUMNS, _ROWS = 28, 2
_CRC_BITS = 12
_CLOCK_BITS = _COLUMNS * _ROWS - _CRC_BITS
_BAR_SHARE = 18
"""One bar is this fraction of the picture's height."""

# Each letter is seven rows of five pixels, the leftmost pixel in bit 4.
_FONT = {
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), "A": (14, 17, 17, 31, 17, 17, 17), "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14), "D": (28, 18, 17, 17, 17, 18, 28), "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16), "G": (14, 17, 16, 23, 17, 17, 15), "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14), "J": (7, 2, 2, 2, 2, 18, 12), "K": (17, 18, 20, 24, 20, 18, 17),
    "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17), "N": (17, 17, 25, 21, 19, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "P": (30, 17, 17, 30, 16, 16, 16), "Q": (14, 17, 17, 17, 21, 18, 13),
    "R": (30, 17, 17, 30, 20, 18, 17), "S": (15, 16, 16, 14, 1, 1, 30), "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14), "V": (17, 17, 17, 17, 17, 10, 4), "W": (17, 17, 17, 21, 21, 21, 10),
    "X": (17, 17, 10, 4, 10, 17, 17), "Y": (17, 17, 17, 10, 4, 4, 4), "Z": (31, 1, 2, 4, 8, 16, 31),
    ".": (0, 0, 0, 0, 0, 12, 12), ":": (0, 12, 12, 0, 12, 12, 0), "-": (0, 0, 0, 31, 0, 0, 0),
    "/": (0, 1, 2, 4, 8, 16, 0), "+": (0, 4, 4, 31, 4, 4, 0), " ": (0, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


@lru_cache(maxsize=1024)
def _glyph(letter: str, scale: int) -> Plane:
    rows = _FONT.get(letter.upper(), _FONT["-"])
    bits = np.array([[row >> bit & 1 for bit in (4, 3, 2, 1, 0, 5)] for row in rows], dtype=np.uint8)
    padded = np.vstack([np.zeros((1, 6), np.uint8), bits, np.zeros((1, 6), np.uint8)])
    big = np.kron(padded, np.ones((scale, scale), np.uint8))
    return np.where(big > 0, np.uint8(WHITE), np.uint8(BLACK)).astype(np.uint8)


def text_size(text: str, scale: int) -> tuple[int, int]:
    """Width and height in pixels of `text` at `scale` pixels a dot."""
    return len(text) * 6 * scale, 9 * scale


def burn_text(luma: Plane, text: str, x: int, y: int, scale: int) -> None:
    """Write white letters on black into the luma plane, cut off at its edges; a letter we lack shows as `-`."""
    strip = np.hstack([_glyph(letter, scale) for letter in text])
    target = luma[y : y + strip.shape[0], x : x + strip.shape[1]]
    target[:] = strip[: target.shape[0], : target.shape[1]]


def _crc(value: int) -> int:
    """CRC-12 (polynomial 0x80F) over the clock's bits, first register all ones so that a black picture is no clock."""
    register = 0xFFF
    for bit in range(_CLOCK_BITS - 1, -1, -1):
        top = (register >> 11) ^ (value >> bit & 1)
        register = (register << 1 & 0xFFF) ^ (0x80F if top else 0)
    return register


def _edges(size: int, parts: int) -> list[int]:
    return [size * part // parts for part in range(parts + 1)]


def burn_clock(luma: Plane, at_us: int) -> None:
    """Burn the instant (µs, kept to the millisecond) as a bar code along the lower edge of a luma plane."""
    millis = at_us // 1000 & ((1 << _CLOCK_BITS) - 1)
    word = millis << _CRC_BITS | _crc(millis)
    height, width = luma.shape
    bar = height // _BAR_SHARE
    edges = _edges(width, _COLUMNS)
    for row in range(_ROWS):
        top = height - bar * (_ROWS - row)
        for column in range(_COLUMNS):
            bit = word >> (_COLUMNS * _ROWS - 1 - row * _COLUMNS - column) & 1
            luma[top : top + bar, edges[column] : edges[column + 1]] = WHITE if bit else BLACK


def read_clock(picture: Plane) -> int | None:
    """The instant burnt into a decoded picture, in µs, or None when there is none or it is not legible.

    `picture`: uint8 of shape (height, width) for grey or (height, width, channels) for RGB; any scaling of the original.
    """
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = grey.shape[:2]
    bar = height // _BAR_SHARE
    if bar < 4 or width < _COLUMNS * 4:
        return None
    edges = _edges(width, _COLUMNS)
    word = 0
    for row in range(_ROWS):
        top = height - bar * (_ROWS - row)
        lines = grey[top + bar // 4 : top + bar - bar // 4]
        for left, right in pairwise(edges):
            quarter = (right - left) // 4
            word = word << 1 | int(lines[:, left + quarter : right - quarter].mean() >= 128)
    millis, crc = word >> _CRC_BITS, word & (1 << _CRC_BITS) - 1
    return millis * 1000 if _crc(millis) == crc else None
