"""Writes manifests: takes up the hours that `index.stale` marks, one batch a call. Called by whoever uploads, after the segments.

An hour is due once it is over, had time to come in, and its segments are in the store; a change of gaps, which no object tells,
does not wait for that. The order of a batch makes each step repeatable: numbers are reserved and marks taken up in one transaction,
the objects put, the older generations deleted, and only then the marks wiped, unless something changed meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.rows import KEY, MOMENT, Place, SegmentRow, State, unpack_gap
from index.stale import GAPS, HOUR, SEGMENTS, TAKEN, mark_of
from index.writes import SegmentWriter, epoch_of, usage_of
from vault.clock import Clock
from vault.errors import Damaged, StoreError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.manifest import HOUR_US, ListedGap, ListedSegment, Manifest, ManifestKey, encode
from vault.store.interface import ObjectStore
from vault.timebase import US
from vault.trackjson import decode_params

log = Log("index.manifests")

BATCH = 64
LOOKS = 2_000
"""Marks looked at in one call: after a long outage there are many, and most of them still wait for their segments."""

COMPLETE_US = 300 * US
"""After its end an hour's last segments still come in for so long."""

EARLY_US = 300 * US
"""How often changed gaps are written of hours that are not due."""

LOOK_US = 10 * US
"""How long the marks are left alone when nothing was due."""

_GENERATIONS = struct.Struct("<II")
_NONE = 1, 0


@dataclass(frozen=True, slots=True)
class _Taken:
    """An hour that was taken up: generations `oldest` to its own may be in the store. `fresh`: its number was never tried."""

    key: ManifestKey
    oldest: int
    fresh: bool

    @property
    def mark_key(self) -> bytes:
        return HOUR.pack(self.key.hour_us, self.key.camera)


class Manifests:
    """One thread of one process at a time."""

    def __init__(self, environment: Environment, store: ObjectStore, clock: Clock) -> None:
        self._env = environment
        self._store = store
        self._clock = clock
        self._segments = SegmentWriter()
        self._at = b""
        self._look_us = 0
        self._early_us = clock.mono_us() + EARLY_US
        self._early = False
        self._clashed: set[bytes] = set()
        self._foreign: set[bytes] = set()

    def run_once(self) -> bool:
        """One batch of what is due. True when there may be more. Raises StoreError and what the index raises."""
        now_us = self._clock.mono_us()
        if now_us < self._look_us:
            return False
        if not self._at:
            self._early = now_us >= self._early_us
        more = self._batch(everything=False)
        if not more:
            self._look_us = now_us + LOOK_US
            if self._early:
                self._early_us = now_us + EARLY_US
        return more

    def write_all(self) -> None:
        """Every hour that is marked, as far as its segments are in the store: for when nothing is recorded any more."""
        again = True
        while again:
            self._at = b""
            while self._batch(everything=True):
                pass
            # What an earlier life has put under this number told another state of the camera: the next number will do.
            again = bool(self._clashed)

    def _batch(self, everything: bool) -> bool:
        due, more = self._due(everything)
        if due:
            self._write(self._take_up(due))
        return more

    def _due(self, everything: bool) -> tuple[list[tuple[CameraNumber, int]], bool]:
        """Hours to write now, and whether the marks go on behind those that were looked at."""
        found: list[tuple[CameraNumber, int]] = []
        over_us = self._clock.now_us() - HOUR_US - COMPLETE_US
        with self._env.read() as txn:
            for seen, (raw, mark) in enumerate(txn.scan(Table.STALE, self._at)):
                if seen == LOOKS or len(found) == BATCH:
                    self._at = raw
                    return found, True
                hour_us, number = HOUR.unpack(raw)
                camera = CameraNumber(number)
                if hour_us > over_us and not (everything or self._early):
                    break
                soon = everything or (self._early and mark != SEGMENTS)
                if raw not in self._foreign and (soon or (hour_us <= over_us and self._is_settled(txn, camera, hour_us))):
                    found.append((camera, hour_us))
        self._at = b""
        return found, False

    def _is_settled(self, txn: ReadTxn, camera: CameraNumber, hour_us: int) -> bool:
        waits = usage_of(txn, camera).spool_segments > 0
        return not waits or not any(
            row.place is Place.SPOOL and row.state is State.COMMITTED for row in self._rows(txn, camera, hour_us)
        )

    def _rows(self, txn: ReadTxn, camera: CameraNumber, hour_us: int) -> Iterator[SegmentRow]:
        for raw_key, raw in txn.scan(Table.SEGMENTS, KEY.pack(camera, hour_us, 0), KEY.pack(camera, hour_us + HOUR_US, 0)):
            yield self._segments.row(txn, raw_key, raw)

    def _take_up(self, due: list[tuple[CameraNumber, int]]) -> list[_Taken]:
        """Reserve a generation for each, so that a number is never used for two things whatever dies."""
        taken: list[_Taken] = []
        with self._env.write("take up manifests", frees=True) as txn:
            for camera, hour_us in due:
                oldest, last = generations(txn, camera, hour_us)
                mark_key = HOUR.pack(hour_us, camera)
                # Still taken up: an earlier try was cut short and nothing changed since, so the same number will do, unless
                # what was put under it then tells another state of the camera.
                again = mark_of(txn, camera, hour_us) == TAKEN and last > 0 and mark_key not in self._clashed
                if not again:
                    last += 1
                    put_generations(txn, camera, hour_us, oldest, last)
                    txn.put(Table.STALE, mark_key, TAKEN)
                taken.append(_Taken(ManifestKey(camera, hour_us, last), oldest, fresh=not again))
        return taken

    def _write(self, taken: list[_Taken]) -> None:
        """Put, delete what is older, wipe the marks. What could not be put stays marked."""
        written: list[tuple[_Taken, bool]] = []
        failure: StoreError | None = None
        for item in taken:
            with self._env.read() as txn:
                manifest = self._manifest(txn, item.key)
            try:
                if manifest.is_empty or self._put(item, manifest):
                    written.append((item, manifest.is_empty))
            except StoreError as error:
                failure = error
                break
        old: list[str] = []
        for item, empty in written:
            last = item.key.generation + 1 if empty else item.key.generation
            old += [ManifestKey(item.key.camera, item.key.hour_us, one).object_key for one in range(item.oldest, last)]
        kept = {failed.key for failed in self._store.delete(old)} if old else set()
        with self._env.write("manifests written", frees=True) as txn:
            for item, empty in written:
                self._finish(txn, item, empty, kept)
            for item in taken:
                if item.mark_key in self._foreign:
                    self._take_back(txn, item)
        if failure is not None:
            raise failure
        if kept:
            raise StoreError(
                f"deleting {len(kept)} manifests that newer ones replace, the first {min(kept)}; it is tried again"
            )

    def _put(self, item: _Taken, manifest: Manifest) -> bool:
        try:
            self._store.put_bytes(item.key.object_key, encode(manifest))
        except Damaged as error:
            self._clashed.discard(item.mark_key)
            if item.fresh:
                # The store was told more than this index knows: it is an old copy. Nothing there is replaced.
                log.error(
                    "manifest of another index in the store, kept; run `index rebuild`",
                    key=item.key.object_key,
                    error=str(error),
                )
                self._foreign.add(item.mark_key)
            else:
                self._clashed.add(item.mark_key)
            return False
        self._clashed.discard(item.mark_key)
        return True

    def _finish(self, txn: WriteTxn, item: _Taken, empty: bool, kept: set[str]) -> None:
        camera, hour_us = item.key.camera, item.key.hour_us
        if kept and any(
            ManifestKey(camera, hour_us, one).object_key in kept for one in range(item.oldest, item.key.generation + 1)
        ):
            return
        unchanged = mark_of(txn, camera, hour_us) == TAKEN
        if unchanged:
            txn.delete(Table.STALE, item.mark_key)
        if empty and unchanged:
            txn.delete(Table.MANIFESTS, MOMENT.pack(camera, hour_us))
        else:
            put_generations(txn, camera, hour_us, item.key.generation + empty, item.key.generation)

    def _take_back(self, txn: WriteTxn, item: _Taken) -> None:
        """The number is another index's: as if it was never reserved, or the next life would take it for its own and replace it."""
        txn.put(Table.STALE, item.mark_key, GAPS)
        put_generations(txn, item.key.camera, item.key.hour_us, item.oldest, item.key.generation - 1)

    def _manifest(self, txn: ReadTxn, key: ManifestKey) -> Manifest:
        """The hour as it stands. Rows whose objects are not in the store yet are left out; their settling marks it again."""
        camera, hour_us = key.camera, key.hour_us
        begin, end = MOMENT.pack(camera, hour_us), MOMENT.pack(camera, hour_us + HOUR_US)
        usage = usage_of(txn, camera)
        gaps = (unpack_gap(*item) for item in txn.scan(Table.GAPS, begin, end))
        expired = txn.scan(Table.EXPIRED, begin, end)
        return Manifest(
            key,
            epoch_of(txn, camera),
            usage.first_us,
            usage.longest_us,
            tuple(self._listed(txn, row) for row in self._rows(txn, camera, hour_us) if row.place is Place.STORE),
            tuple(ListedGap(gap.start_us, gap.end_us, gap.reason) for gap in gaps),
            tuple((MOMENT.unpack(raw_key)[1], int.from_bytes(raw, "little")) for raw_key, raw in expired),
        )

    def _listed(self, txn: ReadTxn, row: SegmentRow) -> ListedSegment:
        return ListedSegment(
            row.key,
            row.end_us,
            row.size_bytes,
            row.blake3,
            row.tail_bytes,
            decode_params(self._segments.params.value(txn, row.params_id)),
            row.site_class,
            row.min_until_us,
            row.flags,
            row.counted_us,
        )


def generations(txn: ReadTxn, camera: CameraNumber, hour_us: int) -> tuple[int, int]:
    """The oldest generation that may be in the store, and the last that was given; the first above the second: none."""
    raw = txn.get(Table.MANIFESTS, MOMENT.pack(camera, hour_us))
    if raw is None:
        return _NONE
    try:
        oldest, last = _GENERATIONS.unpack(raw)
    except struct.error as error:
        raise Damaged("a row of the manifests is not one of ours; run `index rebuild`") from error
    return oldest, last


def put_generations(txn: WriteTxn, camera: CameraNumber, hour_us: int, oldest: int, last: int) -> None:
    txn.put(Table.MANIFESTS, MOMENT.pack(camera, hour_us), _GENERATIONS.pack(oldest, last))
