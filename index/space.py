"""How much room the index has: arithmetic over what the environment measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_BYTES: Final = 16 << 20
"""What the file is allocated with, and grows by at least."""

KEEP_FREE: Final = 5
"""One part in so many of the file is kept for transactions that free space."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of the index: allowed, allocated on disk, ever used, in use by trees now; and what its disk has free."""

    map_bytes: int
    file_bytes: int
    used_bytes: int
    live_bytes: int
    free_bytes: int

    @property
    def limit_bytes(self) -> int:
        """How large the file can become: the map's size, or what the disk has room for."""
        return min(self.map_bytes, self.file_bytes + self.free_bytes)

    @property
    def headroom_bytes(self) -> int:
        """What may still be written before only transactions that free space are let in."""
        return max(0, self.limit_bytes - self.limit_bytes // KEEP_FREE - self.live_bytes)

    @property
    def is_tight(self) -> bool:
        """Whether somebody should make room now, while the index still takes everything."""
        return self.headroom_bytes < min(FIRST_BYTES, self.map_bytes // 4) + self.live_bytes // 4
