"""Reading bits and exp-Golomb codes out of NAL units and AAC configurations (ITU-T H.264 §7.2, §9.1). No syntax belongs here."""

from __future__ import annotations

from vault.errors import Damaged


def unescape(nal: bytes) -> bytes:
    """A NAL unit's RBSP with its header: emulation prevention bytes removed (ITU-T H.264 §7.3.1, H.265 §7.3.1.1)."""
    if b"\x00\x00\x03" not in nal:
        return nal
    out = bytearray()
    at = 0
    while (found := nal.find(b"\x00\x00\x03", at)) >= 0:
        out += nal[at : found + 2]
        at = found + 3
    out += nal[at:]
    return bytes(out)


class BitReader:
    """Bits from the most significant down. Reading past the end raises Damaged; there is no way to read without bound."""

    __slots__ = ("_at", "_data", "_end", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        """`what` names the bytes in error messages."""
        self._data = data
        self._end = len(data) * 8
        self._at = 0
        self._what = what

    @property
    def left(self) -> int:
        """Bits not yet read."""
        return self._end - self._at

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        start, end = self._at, self._at + count
        if end > self._end:
            raise Damaged(f"{self._what} ends at bit {self._end} where {count} more are needed from bit {start}")
        self._at = end
        whole = int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "big")
        return (whole >> (-end & 7)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """An unsigned exp-Golomb code of at most 32 leading zeros (ITU-T H.264 §9.1)."""
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 32:
                raise Damaged(f"{self._what} has an exp-Golomb code of more than 32 bits before bit {self._at}")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed exp-Golomb code (ITU-T H.264 §9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)
