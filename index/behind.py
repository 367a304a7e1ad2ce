"""An index that knows less than its store, because it was restored from a copy: found out, and made safe before it does harm.

Its counters are as old as it is. Epochs that were used since would be given again, and fence nobody; a number that was given since
would be given to another camera, and mix their footage; and holds and minima that it forgot would keep nothing. So the counters
are lifted above whatever store and spool name, and nothing is doomed until the index was rebuilt. Footage and documents that it
does not know come back by `index rebuild` alone.
A committed row is durable before its object is put. So an object without a row, newer than the newest row, proves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from index.catalog import Catalog
from index.check import cameras_of
from index.doom import BEHIND
from index.environment import Environment, Table
from index.kinds import NUMBERED
from index.registry import PREFIX, DocumentName, Registry, lift_number, parse_object_key
from index.rows import CAMERA, KEY, segment_key
from vault.errors import UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.store.interface import ObjectStore
from vault.timebase import US, format_us

_DAY_US = 86_400 * US


@dataclass(slots=True)
class Ahead:
    """What the store names and the index does not know: `segments`, `documents` are counts, `epochs` the highest by camera, `numbers`
    the highest document by kind, of those kinds that are numbered."""

    segments: int = 0
    documents: int = 0
    number: int = 0
    epochs: dict[CameraNumber, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def is_behind(self) -> bool:
        return bool(self.segments or self.documents)


def used_epochs(keys: Iterable[SegmentKey]) -> dict[CameraNumber, int]:
    """The highest epoch of each camera among these segments."""
    found: dict[CameraNumber, int] = {}
    for key in keys:
        found[key.camera] = max(key.epoch, found.get(key.camera, 0))
    return found


def ahead(environment: Environment, registry: Registry, store: ObjectStore, now_us: int) -> Ahead:
    """Compare with the store: every document, and the segments of each camera from the day of the newest row on.

    Raises StoreError when the store is away or another index's.
    """
    found = Ahead()
    newest: dict[DocumentName, int] = {}
    for item in store.list(PREFIX):
        try:
            name, version = parse_object_key(item.key)
        except UsageError:
            continue
        newest[name] = max(version, newest.get(name, 0))
    with environment.read() as txn:
        found.documents = sum(version > registry.version(txn, name) for name, version in newest.items())
    for name in newest:
        if name.name.isdecimal() and name.kind in NUMBERED:
            found.numbers[name.kind] = max(int(name.name), found.numbers.get(name.kind, 0))
    given = {CameraNumber(int(name.name)) for name in newest if name.kind == "cameras" and name.name.isdecimal()}
    unknown = list(_unknown(environment, store, sorted(given.union(cameras_of(environment))), now_us))
    found.segments = len(unknown)
    found.epochs = used_epochs(unknown)
    found.number = max([0, *given, *found.epochs])
    return found


def make_safe(environment: Environment, catalog: Catalog, found: Ahead) -> None:
    """Lift the counters, and let nothing be doomed from here on. Repeatable."""
    if not found.is_behind:
        return
    with environment.write("behind store") as txn:
        lift_number(txn, "cameras", found.number)
        for kind, number in found.numbers.items():
            lift_number(txn, kind, number)
        txn.put(Table.META, BEHIND, b"\1")
    catalog.lift_epochs(found.epochs)


def is_behind(environment: Environment) -> bool:
    """Whether the index was found to be older than its store, now or earlier; only a rebuild ends that."""
    with environment.read() as txn:
        return txn.get(Table.META, BEHIND) is not None


def _unknown(environment: Environment, store: ObjectStore, numbers: list[CameraNumber], now_us: int) -> Iterator[SegmentKey]:
    """Objects that no row knows, of the days since the newest row of all cameras; all days where there is no row."""
    with environment.read() as txn:
        lasts = [txn.last_before(Table.SEGMENTS, CAMERA.pack(number) + b"\xff" * 13) for number in numbers]
    newest_us = max((KEY.unpack(item[0])[1] for item in lasts if item is not None), default=None)
    if newest_us is None:
        prefixes = ["segments/"]
    else:
        first, last = newest_us // _DAY_US, max(now_us, newest_us) // _DAY_US + 1
        days = [format_us(day * _DAY_US)[:10] for day in range(first, last + 1)]
        prefixes = [f"segments/c{number:010d}/{day}/" for number in numbers for day in days]
    for prefix in prefixes:
        for item in store.list(prefix):
            try:
                key = SegmentKey.parse(item.key)
            except UsageError:
                continue
            with environment.read() as txn:
                known = txn.get(Table.SEGMENTS, segment_key(key)) is not None
            # It may have been removed since it was listed.
            if not known and store.stat(item.key) is not None:
                yield key
