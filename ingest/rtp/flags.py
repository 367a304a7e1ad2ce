"""Bits in the `flags` of an access unit. `flags.pxd` gives the compiled loop the same numbers; a test compares them."""

from __future__ import annotations

from typing import Final

KEY: Final = 1
"""It has a picture that decoding may start at: H.264 IDR, H.265 IRAP (ITU-T H.264 §7.4.1.2.4, H.265 §7.4.2.2)."""

PARAMS: Final = 2
"""It contains a VPS, SPS or PPS."""

DAMAGED: Final = 4
"""Packets are missing inside it or just before it, or a piece of it could not be used."""

RECOVERY: Final = 8
"""H.264 only: a recovery point SEI stands in it (ITU-T H.264 §D.1.8): decoding may start here, exact after a few pictures."""

RESTARTED: Final = 16
"""The first of a new SSRC: its timestamp has nothing to do with the ones before."""
