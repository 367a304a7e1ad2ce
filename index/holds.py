"""Holds 封存: orders to keep footage of some cameras and a time, whatever its retention says, until a date or until released.

An order is a document of the registry, and a row for each of its cameras that `index.doom` asks; both change in one transaction.
A release takes two persons: one asks for it, another confirms. Nothing here decides what goes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Final

from index.catalog import MAX_ROWS, Catalog
from index.doom import Hold, Outcome, delete_hold, doomed_under, put_hold, spare
from index.environment import ReadTxn, WriteTxn
from index.registry import DocumentName, Fields, Registry, counter, lift_number, set_counter
from index.texts import text_field
from index.writes import SegmentWriter
from vault.clock import Clock, SystemClock
from vault.days import end_shown
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.ids import CameraNumber
from vault.timebase import Interval, format_local

MAX_CAMERAS: Final = 1_000
KIND: Final = "holds"

_LAST_NUMBER = b"last-hold-number"
_MAX_WHY_CHARS = 1_000
_MAX_NAME_CHARS = 200


class HoldState(enum.StrEnum):
    """What an order is worth now. Footage is kept in the first two."""

    IN_FORCE = "in force"
    RELEASE_ASKED = "release asked"
    EXPIRED = "expired"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Act:
    """Who did it, and when."""

    by: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Order:
    """A hold. `until_us` None: until it is released. `asked` and `released` are the two acts of a release."""

    number: int
    case: str
    why: str
    cameras: tuple[CameraNumber, ...]
    interval: Interval
    until_us: int | None
    placed: Act
    extended: Act | None = None
    asked: Act | None = None
    released: Act | None = None

    def state(self, now_us: int) -> HoldState:
        if self.released is not None:
            return HoldState.RELEASED
        if self.until_us is not None and self.until_us <= now_us:
            return HoldState.EXPIRED
        return HoldState.IN_FORCE if self.asked is None else HoldState.RELEASE_ASKED

    def rows(self) -> list[Hold]:
        """What deletion is shown of it, for each of its cameras."""
        return [Hold(str(self.number), camera, self.interval, self.until_us) for camera in self.cameras]


class Holds:
    """The holds over one registry. Every change is durable when the method returns."""

    def __init__(self, registry: Registry, clock: Clock | None = None) -> None:
        self._registry = registry
        self._env = registry.environment
        self._clock = clock or SystemClock()
        self._catalog = Catalog(self._env, self._clock)
        self._segments = SegmentWriter()

    def place(
        self,
        *,
        by: str,
        case: str,
        why: str,
        cameras: Sequence[CameraNumber],
        interval: Interval,
        until_us: int | None = None,
    ) -> tuple[Order, Outcome]:
        """A new hold, and what it spared. Refused in the outcome: what is being deleted already. Raises UsageError."""
        now_us = self._clock.now_us()
        order = Order(
            0,
            text_field("the case number", case, _MAX_NAME_CHARS, required=True),
            text_field("the reason", why, _MAX_WHY_CHARS, required=True),
            _cameras(cameras),
            interval,
            until_us,
            Act(person(by), now_us),
        )
        if until_us is not None and until_us <= now_us:
            raise UsageError(f"a hold until {end_shown(until_us)} would be over already")
        with self._env.write("place hold", frees=True) as txn:
            order = replace(order, number=counter(txn, _LAST_NUMBER) + 1)
            set_counter(txn, _LAST_NUMBER, order.number)
            outcome = self._keep(txn, order)
        return order, self._spare_rest(order, outcome)

    def extend(
        self,
        number: int,
        *,
        by: str,
        until_us: int | None,
        cameras: Sequence[CameraNumber] = (),
        interval: Interval | None = None,
    ) -> tuple[Order, Outcome]:
        """The hold for longer (`until_us` None: until released), over more cameras or more time; never for less.

        A release that was asked for is off. One that expired holds again what is still there. Raises NotFound, UsageError, Refused.
        """
        now_us = self._clock.now_us()
        with self._env.write("extend hold", frees=True) as txn:
            old = self._open(txn, number)
            sooner = until_us is not None and (old.until_us is None or until_us < old.until_us)
            if sooner or (until_us is not None and until_us <= now_us):
                raise Refused(f"hold {number}: extending it cannot end it earlier; `hold release {number}` asks for its end")
            span = old.interval if interval is None else interval
            order = replace(
                old,
                until_us=until_us,
                cameras=_cameras((*old.cameras, *cameras)),
                interval=Interval(min(old.interval.start_us, span.start_us), max(old.interval.end_us, span.end_us)),
                extended=Act(person(by), now_us),
                asked=None,
            )
            outcome = self._keep(txn, order)
        return order, self._spare_rest(order, outcome)

    def release(self, number: int, *, by: str) -> Order:
        """Ask for the end of the hold; it holds until another person confirms. Raises NotFound, UsageError, Refused."""
        with self._env.write("release hold", frees=True) as txn:
            old = self._open(txn, number)
            if old.asked is not None:
                raise Refused(
                    f"hold {number}: {old.asked.by} asked for its release; another person confirms it with `hold confirm`"
                )
            order = replace(old, asked=Act(person(by), self._clock.now_us()))
            self._write(txn, order, order.asked)
        return order

    def confirm(self, number: int, *, by: str) -> Order:
        """End the hold that somebody else asked to release. Raises NotFound, UsageError, Refused."""
        second = person(by)
        with self._env.write("confirm release", frees=True) as txn:
            old = self._open(txn, number)
            if old.asked is None:
                raise Refused(f"hold {number}: nobody asked for its release; `hold release {number}` does")
            if old.asked.by.casefold() == second.casefold():
                raise Refused(f"hold {number}: {old.asked.by} asked for its release, so another person must confirm it (--by)")
            order = replace(old, released=Act(second, self._clock.now_us()))
            self._write(txn, order, order.released)
            for camera in order.cameras:
                delete_hold(txn, camera, str(number))
        return order

    def get(self, number: int) -> Order:
        """Raises NotFound."""
        with self._env.read() as txn:
            return self._get(txn, number)

    def list(self) -> list[Order]:
        """All there ever were, by number."""
        with self._env.read() as txn:
            return [order_from(fields) for fields in self._registry.all_fields(txn, KIND)]

    def _get(self, txn: ReadTxn, number: int) -> Order:
        fields = self._registry.fields(txn, _name(number))
        if fields is None:
            raise NotFound(f"there is no hold {number}; `hold list` shows those there are")
        return order_from(fields)

    def _open(self, txn: ReadTxn, number: int) -> Order:
        order = self._get(txn, number)
        if order.released is not None:
            raise Refused(f"hold {number} was released at {format_local(order.released.at_us)}; place another one")
        return order

    def _write(self, txn: WriteTxn, order: Order, act: Act | None) -> None:
        assert act is not None
        self._registry.write(txn, _name(order.number), asdict(order), act.at_us, act.by)

    def _keep(self, txn: WriteTxn, order: Order) -> Outcome:
        """The document, its rows, and as much sparing as one transaction may do."""
        self._write(txn, order, order.extended or order.placed)
        for hold in order.rows():
            put_hold(txn, hold)
        covered = (row for hold in order.rows() for row in doomed_under(txn, self._segments, hold))
        results = [(row.key, spare(txn, self._segments, row)) for row in list(islice(covered, MAX_ROWS))]
        return Outcome.of(results)

    def _spare_rest(self, order: Order, outcome: Outcome) -> Outcome:
        """What is left, in transactions of their own. Cut short, it is done where deletion meets the rows."""
        known = {key for key, _ in outcome.refused} | set(outcome.done)
        if len(known) < MAX_ROWS:
            return outcome
        for hold in order.rows():
            with self._env.read() as txn:
                keys = [row.key for row in doomed_under(txn, self._segments, hold) if row.key not in known]
            outcome = outcome.joined(self._catalog.spare(keys))
        return outcome


def person(by: str) -> str:
    """A person's name as it is noted. Raises UsageError."""
    return text_field("the person (--by)", by, _MAX_NAME_CHARS, required=True)


def restore_holds(txn: WriteTxn, documents: Iterable[Fields]) -> None:
    """Put back what the index makes of these documents, all that are in the registry. Raises Damaged."""
    for order in map(order_from, documents):
        lift_number(txn, KIND, order.number)
        if order.released is None:
            for hold in order.rows():
                put_hold(txn, hold)


def order_from(fields: Fields) -> Order:
    """The hold of a document's fields. Raises Damaged."""
    try:
        interval, until, number = fields["interval"], fields["until_us"], int(fields["number"])
        cameras = [int(camera) for camera in fields["cameras"]]
        if not 0 < number < 10**10 or not all(0 < camera < 2**32 for camera in cameras) or int(interval["start_us"]) < 0:
            raise ValueError("number, cameras or interval")
        return Order(
            number,
            str(fields["case"]),
            str(fields["why"]),
            tuple(map(CameraNumber, cameras)),
            Interval(int(interval["start_us"]), int(interval["end_us"])),
            None if until is None else int(until),
            _act(fields["placed"]) or Act("", 0),
            *(_act(fields[what]) for what in ("extended", "asked", "released")),
        )
    except (KeyError, TypeError, ValueError, OverflowError, UsageError) as error:
        raise Damaged("a hold in the registry lacks a field; run `index rebuild`") from error


def _act(fields: Any) -> Act | None:
    return None if fields is None else Act(str(fields["by"]), int(fields["at_us"]))


def _name(number: int) -> DocumentName:
    return DocumentName(KIND, f"{number:010d}")


def _cameras(cameras: Iterable[CameraNumber]) -> tuple[CameraNumber, ...]:
    found = tuple(sorted(set(cameras)))
    if not found:
        raise UsageError("a hold is of one camera at least")
    if len(found) > MAX_CAMERAS:
        raise UsageError(f"a hold is of at most {MAX_CAMERAS:,} cameras, not {len(found):,}: place several")
    return found
