"""The second step of a rebuild: rows, gaps and erased time as the newest readable manifest of each hour tells them.

Nobody else uses the index meanwhile, so rows are written many to a transaction and their sums once each; the invariants are kept
all the same: a row that overlaps another of its epoch is refused, footage takes its time out of gaps, and what is not as a manifest
says leaves its hour marked, to be written anew.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.gaps import carve, expire, gaps_over, put_gap
from index.locks import owe_term
from index.manifests import put_generations
from index.minima import raised_at_entry, raises_of
from index.restoring import Progress, put_progress
from index.rows import KEY, GapRow, Place, SegmentRow, State, segment_key
from index.stale import mark_segment, mark_time
from index.writes import SegmentWriter, epoch_of, put_epoch, widen
from vault.errors import Damaged, NotFound, UsageError
from vault.ids import CameraNumber
from vault.manifest import HOUR_US, MAX_MANIFEST_BYTES, PREFIX, ListedGap, ListedSegment, Manifest, ManifestKey, decode
from vault.media import SegmentFlag
from vault.store.interface import ObjectStore
from vault.timebase import MAX_US, Interval
from vault.trackjson import encode_params

TXN_HOURS = 250
_READERS = 8
"""An object store answers late, and then several answers are waited for together."""

_AHEAD = 32
_Hour = tuple[ManifestKey, ...]
"""The generations of one hour that are in the store, the newest last."""


class ManifestStep:
    """Goes on behind the last manifest that was taken in."""

    def __init__(self, environment: Environment, store: ObjectStore, progress: Progress, tell: Callable[[int], None]) -> None:
        self._env = environment
        self._store = store
        self._progress = progress
        self._tell = tell
        self._segments = SegmentWriter()
        self._camera: CameraNumber | None = None
        self._ends: dict[int, int] = {}

    def run(self, next_step: str) -> None:
        seen = 0
        hours = self._read()
        while batch := list(itertools.islice(hours, TXN_HOURS)):
            with self._env.write("rebuild manifests") as txn:
                for keys, manifest in batch:
                    seen += self._hour(txn, keys, manifest)
                self._progress.after = batch[-1][0][-1].object_key
                put_progress(txn, self._progress)
            self._tell(seen)
        with self._env.write("rebuild manifests") as txn:
            self._progress.step, self._progress.after = next_step, ""
            put_progress(txn, self._progress)

    # Reading.

    def _read(self) -> Iterator[tuple[_Hour, Manifest | None]]:
        """Each hour with its newest manifest that can be read, in order of camera and hour."""
        waiting: deque[tuple[_Hour, Future[bytes | Exception]]] = deque()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="manifests") as pool:
            for keys in self._hours():
                waiting.append((keys, pool.submit(self._fetch, keys[-1])))
                if len(waiting) == _AHEAD:
                    yield self._newest(*waiting.popleft())
            while waiting:
                yield self._newest(*waiting.popleft())

    def _hours(self) -> Iterator[_Hour]:
        for _, group in itertools.groupby(self._keys(), key=lambda key: (key.camera, key.hour_us)):
            yield tuple(group)

    def _keys(self) -> Iterator[ManifestKey]:
        for entry in self._store.list(PREFIX):
            if entry.key > self._progress.after:
                try:
                    yield ManifestKey.parse(entry.key)
                except UsageError as error:
                    self._progress.refused.append((entry.key, str(error)))

    def _fetch(self, key: ManifestKey) -> bytes | Exception:
        try:
            with self._store.open(key.object_key) as source:
                if source.size > MAX_MANIFEST_BYTES:
                    return Damaged(f"{source.size} bytes are too many for a manifest")
                return source.read(0, source.size)
        except (Damaged, NotFound) as error:
            return error

    def _newest(self, keys: _Hour, fetched: Future[bytes | Exception]) -> tuple[_Hour, Manifest | None]:
        found = fetched.result()
        for at, key in enumerate(reversed(keys)):
            if at:
                found = self._fetch(key)
            try:
                if isinstance(found, Exception):
                    raise found
                return keys, decode(found, key)
            except (Damaged, NotFound) as error:
                self._progress.refused.append((key.object_key, str(error)))
        return keys, None

    # Taking in.

    def _hour(self, txn: WriteTxn, keys: _Hour, manifest: Manifest | None) -> int:
        """One hour; how many segments it has."""
        camera, hour_us, last = keys[-1].camera, keys[-1].hour_us, keys[-1].generation
        put_generations(txn, camera, hour_us, keys[0].generation, last)
        if manifest is None or len(keys) > 1:
            mark_time(txn, camera, hour_us)
        if manifest is None:
            return 0
        if camera != self._camera:
            self._camera, self._ends = camera, self._ends_before(txn, camera, hour_us)
        taken = [item for item in manifest.segments if self._segment(txn, item)]
        for gap in manifest.gaps:
            self._gap(txn, camera, gap)
        for start_us, end_us in manifest.expired:
            self._expired(txn, camera, Interval(start_us, end_us))
        epoch = max([manifest.epoch, *(item.key.epoch for item in taken)])
        if epoch > epoch_of(txn, camera):
            put_epoch(txn, camera, epoch)
        if manifest.first_us is not None:
            widen(txn, camera, manifest.first_us, manifest.longest_us)
        if taken:
            widen(txn, camera, taken[0].key.start_us, max(item.end_us - item.key.start_us for item in taken))
            self._carve(txn, camera, taken, manifest.epoch)
        return len(taken)

    def _segment(self, txn: WriteTxn, item: ListedSegment) -> bool:
        key = item.key
        before_us = self._ends.get(key.epoch, 0)
        if key.start_us < before_us:
            why = f"its manifest lets it overlap another segment of epoch {key.epoch} by {before_us - key.start_us} µs"
            self._progress.refused.append((key.object_key, why))
            mark_segment(txn, key.camera, key.start_us)
            return False
        self._ends[key.epoch] = item.end_us
        row = SegmentRow(
            key,
            item.end_us,
            item.size_bytes,
            item.blake3,
            item.tail_bytes,
            self._segments.params.intern(txn, encode_params(item.params)),
            item.site_class,
            item.min_until_us,
            item.flags,
            Place.STORE,
            State.COMMITTED,
            item.counted_us,
        )
        until_us = raised_at_entry(txn, row)
        if until_us != row.min_until_us:
            # It was raised after its manifest was written.
            row = replace(row, min_until_us=until_us)
            mark_segment(txn, key.camera, key.start_us)
        self._segments.put(txn, row)
        late = bool(row.flags & SegmentFlag.CLOCK_UNCONFIRMED)
        if until_us and (late or any(item.covers(row) for item in raises_of(txn, key.camera))):
            # The minimum came after the put. Whether the object's term had followed it was lost with the index.
            owe_term(txn, segment_key(key))
        return True

    def _gap(self, txn: WriteTxn, camera: CameraNumber, gap: ListedGap) -> None:
        """Where an older manifest lets a gap reach into this one, the newer has the say."""
        for earlier in gaps_over(txn, camera, gap.start_us, MAX_US if gap.end_us is None else gap.end_us):
            put_gap(txn, camera, replace(earlier, end_us=gap.start_us))
        put_gap(txn, camera, GapRow(gap.start_us, gap.end_us, gap.reason), told=True)

    def _expired(self, txn: WriteTxn, camera: CameraNumber, interval: Interval) -> None:
        expire(txn, camera, interval, told=True)

    def _carve(self, txn: WriteTxn, camera: CameraNumber, taken: list[ListedSegment], epoch: int) -> None:
        """Gaps that were not written again after footage ended or split them."""
        for gap in gaps_over(txn, camera, taken[0].key.start_us, max(item.end_us for item in taken)):
            for item in taken:
                if item.end_us > gap.start_us and (gap.end_us is None or item.key.start_us < gap.end_us):
                    carve(txn, camera, Interval(item.key.start_us, item.end_us), live=item.key.epoch >= epoch)

    def _ends_before(self, txn: ReadTxn, camera: CameraNumber, hour_us: int) -> dict[int, int]:
        """Of each epoch, where the camera's last segment before this hour ends. For a rebuild that goes on within a camera."""
        first = KEY.pack(camera, max(0, hour_us - HOUR_US), 0)
        rows = (self._segments.row(txn, *item) for item in txn.scan(Table.SEGMENTS, first, KEY.pack(camera, hour_us, 0)))
        return {row.key.epoch: row.end_us for row in rows}
