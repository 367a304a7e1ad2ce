"""How long the store lasts: from what comes in, what is kept and what will go. Pure.

The assumptions are few and are printed with every answer: what came in lately comes in on; each class keeps its days and no more;
what is kept goes when its minimum is over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retention import pressure
from retention.pressure import Event, Load
from vault.errors import UsageError
from vault.sizes import size_of

_ADD = re.compile(r"([0-9]{1,7})@(key|general|viewing):([0-9]{1,6}(?:\.[0-9]{1,3})?[kM]?)")


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """One class's cameras: what they bring a day, and how many days it is kept."""

    site_class: str
    cameras: int
    bytes_a_day: float
    days: int

    @property
    def need_bytes(self) -> float:
        """What the class takes once its oldest footage goes as new comes: its days, and the day that is not over yet."""
        return self.bytes_a_day * (self.days + 1)


@dataclass(frozen=True, slots=True)
class State:
    """`leaving`: bytes of what is kept now, by how many days from today they go; `expiring`: the same by the moment.
    `capacity_bytes` None: unknown. `whole_bytes`: as `retention.pressure.Load` has it."""

    loads: tuple[ClassLoad, ...]
    stored_bytes: int
    leaving: Mapping[int, int]
    capacity_bytes: int | None
    expiring: tuple[tuple[int, int], ...] = ()
    whole_bytes: int | None = None

    @property
    def need_bytes(self) -> float:
        return sum(load.need_bytes for load in self.loads)


@dataclass(frozen=True, slots=True)
class Forecast:
    """`stored`: bytes at the end of each day from today. `full_day`: the first whose end finds no room, None when there is none in
    sight. `held_days`: by class, the days that the store could keep if all classes were cut alike; None: capacity unknown."""

    need_bytes: float
    stored: tuple[float, ...]
    full_day: int | None
    shortfall_bytes: float | None
    held_days: Mapping[str, float] | None


def forecast(state: State, horizon_days: int) -> Forecast:
    """Day by day from today."""
    stored, at = [], float(state.stored_bytes)
    full_day = None
    for day in range(horizon_days):
        at += sum(load.bytes_a_day for load in state.loads)
        at -= state.leaving.get(day, 0)
        at -= sum(load.bytes_a_day for load in state.loads if day > load.days)
        at = max(0.0, at)
        stored.append(at)
        if full_day is None and state.capacity_bytes is not None and at > state.capacity_bytes:
            full_day = day
    need, capacity = state.need_bytes, state.capacity_bytes
    if capacity is None:
        return Forecast(need, tuple(stored), None, None, None)
    share = capacity / need if need else float("inf")
    held = {load.site_class: load.days * share for load in state.loads}
    return Forecast(need, tuple(stored), full_day, max(0.0, need - capacity), held)


def add_of(text: str) -> tuple[int, str, int]:
    """`500@key:4M` as cameras, class and bits a second. Raises UsageError."""
    match = _ADD.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:40]!r} adds nothing: write CAMERAS@CLASS:BITRATE, as in 500@key:4M")
    return int(match[1]), match[2], size_of(match[3])


def store_of(text: str) -> tuple[str, int]:
    """`+200T` as its sign, empty where there is none, and its bytes. Raises UsageError."""
    sign = text[:1] if text.startswith(("+", "-")) else ""
    return sign, size_of(text[len(sign) :])


def what_if(state: State, adds: Sequence[str], store: str | None, days: Mapping[str, int]) -> State:
    """The state with cameras added (`500@key:4M`) and another store (`+200T`, `-50T`, or `400T` in all). Raises UsageError."""
    loads = {load.site_class: load for load in state.loads}
    for text in adds:
        cameras, name, bits = add_of(text)
        before = loads.get(name, ClassLoad(name, 0, 0.0, days[name]))
        more = cameras * bits * 86_400 / 8
        loads[name] = replace(before, cameras=before.cameras + cameras, bytes_a_day=before.bytes_a_day + more)
    capacity = state.capacity_bytes
    if store is not None:
        sign, size = store_of(store)
        if sign and capacity is None:
            raise UsageError(f"{store[:40]!r}: the store's capacity is unknown; name it whole, or set store.capacity")
        capacity = size if not sign else max(0, (capacity or 0) + (size if sign == "+" else -size))
    whole = state.whole_bytes if store is None else capacity
    return replace(state, loads=tuple(loads[name] for name in sorted(loads)), capacity_bytes=capacity, whole_bytes=whole)


def steps_ahead(state: State, now_us: int, horizon_days: int) -> list[Event] | None:
    """When the store's filling would have which consequence (`retention.pressure`). None: capacity unknown."""
    rates = {load.site_class: load.bytes_a_day / 24 for load in state.loads}
    days = {load.site_class: load.days for load in state.loads}
    load = Load(state.capacity_bytes, state.stored_bytes, rates, state.expiring, days, state.whole_bytes)
    return pressure.forecast(load, now_us, horizon_days * 24 * pressure.HOUR_US)
