"""Which waiting segment goes to the store next, and when one that was not taken is tried again. Decides only; who asks has the
clock, the index and the store.

*Order.* From the oldest on. Where more waits than can go at once, every second one is the newest instead: after an outage new
footage does not wait behind hours of old, and the old does not wait for ever behind the new.

*What is not taken.* An object that the store refuses is put aside, each time for longer, and the others go on. When try after try
fails and nothing is taken in between, it is the store that is away, and not the objects: then one object at a time tries it, and
with the first that is taken all are due at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from index.rows import SegmentRow
from vault.errors import StoreFull, StreamvaultError
from vault.timebase import US

FIRST_BACKOFF_US = US
LAST_BACKOFF_US = 60 * US
"""For an object that the store refuses for a reason that may pass."""

LAST_BAD_BACKOFF_US = 600 * US
"""For an object that is not what it should be: somebody has to look at it."""

LAST_STORE_BACKOFF_US = 10 * US
"""For the store as a whole. A try costs it one object, so it need not be rare."""

LEAST_FAILURES = 3
"""So many tries in a row say that the store is away, and one of each that may run at a time where that is more."""


@dataclass(frozen=True, slots=True)
class Aside:
    """An object that the store did not take: when it is tried again, and how long to wait after that."""

    due_us: int
    backoff_us: int
    passing: bool


class Turns:
    """The state of all tries. Times are monotonic. Not safe for several threads."""

    def __init__(self, at_once: int) -> None:
        self._most_failures = max(LEAST_FAILURES, at_once)
        self._out: set[str] = set()
        self._aside: dict[str, Aside] = {}
        self._failures = 0
        self._store_due_us = 0
        self._store_backoff_us = 0
        self.why_away: str | None = None
        """What the store said last, while it is away."""
        self.full = False
        """Whether it said since it is away that it has no space; some say so to one object and something vague to the next."""

    @property
    def unavailable(self) -> int:
        """How many of what waits cannot be chosen, at most: so much further one has to look."""
        return len(self._out) + len(self._aside)

    def choose(self, oldest: Sequence[SegmentRow], newest: Sequence[SegmentRow], most: int, mono_us: int) -> list[SegmentRow]:
        """Up to `most` that go now; `oldest` and `newest` are what waits from either end. They count as under way from here on."""
        if self.why_away is not None:
            most = 0 if self._out or mono_us < self._store_due_us else min(most, 1)
        chosen: list[SegmentRow] = []
        for row in _from_both_ends(oldest, newest):
            if len(chosen) >= most:
                break
            name = row.key.object_key
            aside = self._aside.get(name)
            if name not in self._out and (aside is None or aside.due_us <= mono_us):
                self._out.add(name)
                chosen.append(row)
        return chosen

    def may_try(self, mono_us: int) -> bool:
        """Whether the store may be asked at all: it is not away, or it is time to try it again."""
        return self.why_away is None or mono_us >= self._store_due_us

    def back(self, names: Iterable[str]) -> None:
        """These were not sent after all."""
        self._out.difference_update(names)

    def settled(self, names: Iterable[str]) -> None:
        """The store has these, and they wait no more."""
        for name in names:
            self._out.discard(name)
            self._aside.pop(name, None)

    def answered(self) -> None:
        """The store has taken something."""
        self._failures = 0
        if self.why_away is not None:
            self.why_away, self.full, self._store_backoff_us = None, False, 0
            # They were not taken because nothing was.
            self._aside = {name: aside for name, aside in self._aside.items() if not aside.passing}

    def refused(self, name: str, mono_us: int, *, passing: bool) -> Aside:
        """The store did not take this one; `passing`: for a reason that may pass by itself, and may be the store's own."""
        self._out.discard(name)
        before = self._aside.get(name)
        last_us = LAST_BACKOFF_US if passing else LAST_BAD_BACKOFF_US
        backoff_us = FIRST_BACKOFF_US if before is None else min(last_us, before.backoff_us * 2)
        aside = self._aside[name] = Aside(mono_us + backoff_us, backoff_us, passing)
        return aside

    def failed(self, error: StreamvaultError, mono_us: int) -> bool:
        """A try of one or several objects of which the store took none, for a reason of its own. True when it is now away."""
        self._failures += 1
        if self.why_away is None and self._failures < self._most_failures:
            return False
        new = self.why_away is None
        self.full = self.full or isinstance(error, StoreFull)
        self.why_away = str(error)
        self._store_backoff_us = min(LAST_STORE_BACKOFF_US, max(FIRST_BACKOFF_US, self._store_backoff_us * 2))
        self._store_due_us = mono_us + self._store_backoff_us
        return new

    def aside_until(self, name: str) -> int:
        """When this one is tried again; 0 when it was not refused."""
        aside = self._aside.get(name)
        return 0 if aside is None else aside.due_us


def _from_both_ends(oldest: Sequence[SegmentRow], newest: Sequence[SegmentRow]) -> Iterator[SegmentRow]:
    """In turn; one that stands in both lists comes twice."""
    for number in range(max(len(oldest), len(newest))):
        yield from oldest[number : number + 1]
        yield from newest[number : number + 1]
