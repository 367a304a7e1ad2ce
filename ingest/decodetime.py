"""Decode times from presentation times: RTP carries only the latter (RFC 6184 §5.1), MP4 wants both. Sans-IO.

Access units come in decode order, each with its presentation time. The n-th decode time is the n-th smallest presentation
time: strictly rising, no later than needed, and the same whatever came before. To know it one must have seen `depth` further
units, where `depth` is the stream's reorder depth; without B-frames that is none and nothing waits.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

NEVER = -(1 << 62)
"""Before every time there is."""

MAX_DEPTH = 16
"""The largest reorder depth the standards allow (H.264 §A.3.1 max_num_reorder_frames, H.265 §A.4)."""

LEARN_UNITS = 50
"""Where the parameter sets do not tell the depth, watch this many units with a guard of LEARN_DEPTH, then trust what was seen."""

LEARN_DEPTH = 2

RELEARN_UNITS = 250
"""A depth that was seen and not declared is forgotten when it did not show for this long: it was one odd timestamp."""


class DecodeTimes(Generic[T]):
    """Gives each pushed item its decode time, in order."""

    def __init__(self, depth: int | None) -> None:
        """`depth` None: not known, learn it."""
        self._declared = min(depth or 0, MAX_DEPTH)
        self.depth = LEARN_DEPTH if depth is None else self._declared
        self._seen = self._seen_before = 0
        self._until_learnt = LEARN_UNITS
        self._last = NEVER
        self._times: list[int] = []
        self._recent: deque[int] = deque(maxlen=MAX_DEPTH)
        self.highest = NEVER
        """The latest presentation time so far."""
        self._waiting: deque[tuple[int, T]] = deque()

    def expect(self, depth: int | None) -> None:
        """The stream's parameters changed, and this is what the new ones say."""
        self._declared = min(depth or 0, MAX_DEPTH)
        self.depth = max(self.depth, LEARN_DEPTH if depth is None else self._declared)
        self._until_learnt = LEARN_UNITS

    @property
    def waiting(self) -> deque[tuple[int, T]]:
        """(presentation time, item) that have no decode time yet, in decode order."""
        return self._waiting

    @property
    def is_plain(self) -> bool:
        """Whether rising presentation times above `highest` are the decode times themselves: nothing waits or needs to."""
        return not (self.depth or self._waiting) and self._last == self.highest

    def passed(self, times: list[int]) -> None:
        """While `is_plain`: these units went by, at least one, rising from above `highest`."""
        self.highest = self._last = times[-1]
        self._recent.extend(times[-MAX_DEPTH:])

    def passes(self, pts: int) -> bool:
        """Whether one more unit's presentation time is its decode time, since nothing waits or needs to and it rises."""
        # Where nothing waits, the last decode time is no earlier than any presentation time so far.
        if self.depth or self._waiting or pts <= self._last:
            return False
        self.passed([pts])
        return True

    def push(self, pts: int, item: T) -> list[tuple[int, int, T]]:
        """One more unit in decode order; returns those that are settled as (dts, pts, item)."""
        if pts < self.highest:
            # The reorder depth is how many units came before this one and are shown after it.
            ahead = sum(1 for time in self._recent if time > pts)
            self._seen = max(self._seen, ahead)
            self.depth = max(self.depth, ahead)
        else:
            self.highest = pts
        self._recent.append(pts)
        heapq.heappush(self._times, pts)
        self._waiting.append((pts, item))
        self._until_learnt -= 1
        if self._until_learnt == 0:
            self.depth = max(self._declared, self._seen, self._seen_before)
            self._seen_before, self._seen = self._seen, 0
            self._until_learnt = RELEARN_UNITS
        return self._settle(self.depth)

    def flush(self) -> list[tuple[int, int, T]]:
        """No more units come (a gap, the end): settle all that wait."""
        return self._settle(0)

    def _settle(self, keep: int) -> list[tuple[int, int, T]]:
        out: list[tuple[int, int, T]] = []
        while len(self._waiting) > keep:
            dts = heapq.heappop(self._times)
            if dts <= self._last:
                # The depth was larger than known, or a camera repeats a timestamp: time still has to rise.
                dts = self._last + 1
            self._last = dts
            pts, item = self._waiting.popleft()
            out.append((dts, pts, item))
        return out
