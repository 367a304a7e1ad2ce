"""The only door to segment, gap, usage and epoch rows for whoever writes them. Each method is durable when it returns.

Any process may write; a transaction takes at most `MAX_ROWS` rows or `MAX_TXN_US`, because the lock is one for the node.
A method given more works through several transactions, so a failure may leave the first part done: repeat the call,
every method accepts what it did before. Reading for people is in `index.timeline`; deciding what goes is retention's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from index.doom import (
    Doomer,
    Outcome,
    Sentence,
    erase,
    lose,
    mark_deleting,
    relist,
    spare,
)
from index.entry import enter
from index.environment import Environment, Table, WriteTxn
from index.gaps import close_gap, lasting_gap, open_gap
from index.rows import GapRow, NewRow, Place, SegmentRow, State, Usage, key_of_pending, segment_key
from index.writes import SegmentWriter, epoch_of, put_epoch, usage_of
from vault.clock import Clock, SystemClock
from vault.errors import FencedOut, NotFound, Refused, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.media import TrackParams
from vault.trackjson import decode_params

MAX_ROWS = 1_000
MAX_TXN_US = 50_000

_T = TypeVar("_T")


class RowsFencedOut(FencedOut):
    """`keys`: the segments that were not committed because another process has their camera. The rest is committed."""

    def __init__(self, keys: Sequence[SegmentKey]) -> None:
        self.keys = tuple(keys)
        shown = ", ".join(key.object_key for key in self.keys[:3])
        super().__init__(
            f"{len(self.keys)} segments belong to an epoch that is over and were not committed: {shown}; "
            "another process has the camera, and the supervisor adopts the files"
        )


class RowsRefused(Refused):
    """`reasons`: the segments that cannot be rows, each with why. The rest is committed."""

    def __init__(self, reasons: Sequence[tuple[SegmentKey, str]]) -> None:
        self.reasons = tuple(reasons)
        shown = "; ".join(f"{key.object_key}: {why}" for key, why in self.reasons[:3])
        super().__init__(f"{len(self.reasons)} segments were not committed: {shown}")


class Catalog:
    """Over one environment; cheap to make, thread-safe as the environment is."""

    def __init__(self, environment: Environment, clock: Clock | None = None) -> None:
        self.environment = environment
        self._env = environment
        self._clock = clock or SystemClock()
        self._segments = SegmentWriter()

    # Epochs: who may commit.

    def raise_epoch(self, camera: CameraNumber) -> int:
        """A process takes the camera: its new epoch. Whoever had it before commits nothing more."""
        return self.raise_epochs([camera])[camera]

    def raise_epochs(
        self, cameras: Iterable[CameraNumber], held: Mapping[CameraNumber, int] | None = None
    ) -> dict[CameraNumber, int]:
        """As `raise_epoch` for each, in one transaction.

        `held`: the epochs under which the caller has the cameras; one that another process took meanwhile is left out.
        """
        raised: dict[CameraNumber, int] = {}
        with self._env.write("raise epochs") as txn:
            for camera in cameras:
                current = epoch_of(txn, camera)
                if held is None or held.get(camera) == current:
                    raised[camera] = current + 1
                    put_epoch(txn, camera, current + 1)
        return raised

    def epoch(self, camera: CameraNumber) -> int:
        """The current epoch, 0 before the first."""
        with self._env.read() as txn:
            return epoch_of(txn, camera)

    # Footage.

    def commit(self, rows: Sequence[NewRow], *, adopt: bool = False, place: Place = Place.SPOOL) -> None:
        """Make closed segments visible, with their usage and what they end or split of the gap rows.

        `adopt` takes rows of any epoch (files left by a process that lost the camera, recovery, rebuild); without it the
        epoch must be the camera's current one. A row that is there already is no error. One bad row does not keep the
        others out: they are committed, and then RowsFencedOut (fencing before all else) or RowsRefused is raised.
        """
        fenced: list[SegmentKey] = []
        refused: list[tuple[SegmentKey, str]] = []

        def one(txn: WriteTxn, row: NewRow) -> None:
            current = epoch_of(txn, row.key.camera)
            if row.key.epoch != current and not adopt:
                fenced.append(row.key)
                return
            why = enter(txn, self._segments, row, place, live=not adopt)
            if why is not None:
                refused.append((row.key, why))

        self._batched("commit", rows, one)
        if fenced:
            raise RowsFencedOut(fenced)
        if refused:
            raise RowsRefused(refused)

    def settle(self, keys: Iterable[SegmentKey]) -> None:
        """The objects are in the store, verified. Raises NotFound for keys without a row, after settling the others."""
        missing: list[SegmentKey] = []

        def one(txn: WriteTxn, key: SegmentKey) -> None:
            row = self._segments.get(txn, key)
            if row is None:
                missing.append(key)
            else:
                self._segments.change(txn, row, place=Place.STORE)

        self._batched("settle", list(keys), one)
        if missing:
            raise NotFound(f"{len(missing)} settled segments have no row, the first {missing[0].object_key}; run `check`")

    def pending(self, limit: int = MAX_ROWS, *, newest: bool = False) -> list[SegmentRow]:
        """Segments whose bytes are only in the spool, the oldest (or the newest) of all cameras first. Doomed ones are left out."""
        found: list[SegmentRow] = []
        with self._env.read() as txn:
            for raw, _ in txn.before(Table.PENDING, b"\xff" * 20) if newest else txn.scan(Table.PENDING):
                raw_key = key_of_pending(raw)
                value = txn.get(Table.SEGMENTS, raw_key)
                if value is not None:
                    row = self._segments.row(txn, raw_key, value)
                    if row.state is State.COMMITTED:
                        found.append(row)
                if len(found) >= limit:
                    break
        return found

    def row(self, key: SegmentKey) -> SegmentRow | None:
        """The row of this very segment, in whatever state."""
        with self._env.read() as txn:
            return self._segments.get(txn, key)

    def params(self, row: SegmentRow) -> tuple[TrackParams, ...]:
        """The parameters of the row's tracks, in order. Raises Damaged."""
        with self._env.read() as txn:
            return decode_params(self._segments.params.value(txn, row.params_id))

    def usage(self, camera: CameraNumber) -> Usage:
        with self._env.read() as txn:
            return usage_of(txn, camera)

    # Terms of objects, for a store that locks them: the list is `index.locks`.

    def owed_terms(self, after: bytes, limit: int = MAX_ROWS) -> list[tuple[bytes, SegmentRow | None]]:
        """What is listed behind the key `after`, each with its row if there is one."""
        with self._env.read() as txn:
            keys = [key for key, _ in islice(txn.scan(Table.RELOCK, after + b"\0" if after else b""), limit)]
            rows = [(key, txn.get(Table.SEGMENTS, key)) for key in keys]
            return [(key, None if raw is None else self._segments.row(txn, key, raw)) for key, raw in rows]

    def pay_terms(self, done: Mapping[bytes, int]) -> None:
        """These objects have terms until then. A row whose minimum rose again meanwhile stays on the list."""

        def one(txn: WriteTxn, item: tuple[bytes, int]) -> None:
            raw_key, until_us = item
            raw = txn.get(Table.SEGMENTS, raw_key)
            if raw is None or self._segments.row(txn, raw_key, raw).min_until_us <= until_us:
                txn.delete(Table.RELOCK, raw_key)

        self._batched("raise locks", list(done.items()), one, frees=True)

    # Gaps.

    def open_gap(self, camera: CameraNumber, start_us: int, reason: str) -> None:
        """Nothing is recorded from `start_us` on. Repeatable; another reason splits a gap that lasts at `start_us`."""
        self.open_gaps([(camera, start_us, reason)])

    def open_gaps(self, gaps: Sequence[tuple[CameraNumber, int, str]]) -> None:
        """As `open_gap` for each, batched: a switch that fails takes many cameras at once."""

        def one(txn: WriteTxn, gap: tuple[CameraNumber, int, str]) -> None:
            open_gap(txn, self._segments, *gap)

        if any(not reason.strip() for _, _, reason in gaps):
            raise UsageError("a gap needs a reason")
        self._batched("open gaps", gaps, one)

    def close_gap(self, camera: CameraNumber, end_us: int) -> GapRow | None:
        """End the gap that lasts and return it; None when none does. Footage that is committed ends it by itself."""
        with self._env.write("close gap") as txn:
            return close_gap(txn, camera, end_us)

    def close_gaps(self, ends: Sequence[tuple[CameraNumber, int]]) -> None:
        """As `close_gap` for each, batched."""

        def one(txn: WriteTxn, end: tuple[CameraNumber, int]) -> None:
            close_gap(txn, *end)

        self._batched("close gaps", ends, one)

    def lasting_gap(self, camera: CameraNumber) -> GapRow | None:
        with self._env.read() as txn:
            return lasting_gap(txn, camera)

    # Removal, in order of life: doom, (spare), mark_deleting, erase.

    def doom(self, keys: Iterable[SegmentKey], *, at_us: int, reason: str, rule: str = "") -> Outcome:
        """New readers stop seeing these. Refuses what is held, inside its minimum, or without a known minimum (I4)."""
        return self._step("doom", keys, Doomer(self._segments, Sentence(at_us, reason, rule)).doom)

    def spare(self, keys: Iterable[SegmentKey]) -> Outcome:
        """Take a doom back. Refuses what is being deleted."""
        return self._step("spare", keys, lambda txn, row: spare(txn, self._segments, row))

    def mark_deleting(self, keys: Iterable[SegmentKey], batch: str) -> Outcome:
        """The last look before objects are deleted: holds are asked again, and pins. `batch` names the ledger's list."""

        def one(txn: WriteTxn, row: SegmentRow) -> str | None:
            # The clock is read under the write lock: a pin that is there now began before now.
            return mark_deleting(txn, self._segments, row, batch, self._clock.mono_us())

        return self._step("mark deleting", keys, one)

    def erase(self, keys: Iterable[SegmentKey]) -> Outcome:
        """The objects are gone: drop the rows and remember the time as expired. A key without a row counts as done."""
        return self._step("erase", keys, lambda txn, row: erase(txn, self._segments, row), absent_is_done=True)

    def doomed(self, limit: int = MAX_ROWS, after: SegmentKey | None = None) -> list[tuple[SegmentRow, Sentence]]:
        """The to-do list of deletion, doomed and deleting rows by camera and start; `after`: only those behind that one."""
        found: list[tuple[SegmentRow, Sentence]] = []
        first = b"" if after is None else segment_key(after) + b"\0"
        with self._env.read() as txn:
            for raw_key, raw in txn.scan(Table.DOOMED, first):
                value = txn.get(Table.SEGMENTS, raw_key)
                if value is not None:
                    found.append((self._segments.row(txn, raw_key, value), Sentence.unpack(raw)))
                if len(found) >= limit:
                    break
        return found

    # Repairs: what `check` found, put right. Who decides is `index.repair`.

    def lose(self, keys: Iterable[SegmentKey], *, at_us: int, reason: str | None) -> Outcome:
        """The bytes are gone and nothing here removed them: the rows go, and their time is a gap, or expired without a reason.
        Refuses what is held."""
        return self._step("lose", keys, lambda txn, row: lose(txn, self._segments, row, at_us, reason), absent_is_done=True)

    def recount(self, camera: CameraNumber) -> None:
        """The usage counters as the rows make them, in one transaction."""
        with self._env.write("recount", frees=True) as txn:
            self._segments.recount(txn, camera)

    def relist(self, raw_keys: Iterable[bytes]) -> None:
        """The lists of uploads and of removals as these rows have it. A doom that I4 forbids is taken back."""
        self._batched("relist", list(raw_keys), lambda txn, raw_key: relist(txn, self._segments, raw_key))

    def lift_epochs(self, used: Mapping[CameraNumber, int]) -> list[CameraNumber]:
        """Epochs that were used, whatever the index remembers: the next one raised is above. Returns whose were lifted."""
        lifted = []
        with self._env.write("lift epochs") as txn:
            for camera, epoch in used.items():
                if epoch > epoch_of(txn, camera):
                    put_epoch(txn, camera, epoch)
                    lifted.append(camera)
        return lifted

    def _step(
        self,
        label: str,
        keys: Iterable[SegmentKey],
        act: Callable[[WriteTxn, SegmentRow], str | None],
        *,
        absent_is_done: bool = False,
    ) -> Outcome:
        results: list[tuple[SegmentKey, str | None]] = []

        def one(txn: WriteTxn, key: SegmentKey) -> None:
            row = self._segments.get(txn, key)
            if row is None:
                results.append((key, None if absent_is_done else "it has no row"))
            else:
                results.append((key, act(txn, row)))

        self._batched(label, list(keys), one, frees=True)
        return Outcome.of(results)

    def _batched(self, label: str, items: Sequence[_T], one: Callable[[WriteTxn, _T], None], *, frees: bool = False) -> None:
        at = 0
        while at < len(items):
            with self._env.write(label, frees=frees) as txn:
                began_us = self._clock.mono_us()
                stop = min(at + MAX_ROWS, len(items))
                while at < stop:
                    one(txn, items[at])
                    at += 1
                    if self._clock.mono_us() - began_us > MAX_TXN_US:
                        break
