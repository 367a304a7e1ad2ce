"""The last steps of a rebuild: the store's listing against what manifests told, then the closed files of the spool.

An object that no manifest names is newer than they are, or they are lost; its own tail tells what it is. One that a manifest names and
that is not there was erased, if a list of deletions says so, and else is something to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from index.closed import closed_row
from index.entry import enter
from index.environment import Environment, Table
from index.gaps import expire
from index.restoring import Progress, put_progress
from index.rows import KEY, NewRow, Place, sequence_of
from index.writes import SegmentWriter, epoch_of, put_epoch
from vault.errors import Damaged, NotFound, StreamvaultError, Unreadable, UsageError
from vault.grant import system_grant
from vault.ids import CameraNumber, SegmentKey
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.store.segments import damage, open_segment
from vault.timebase import US

PREFIX = "segments/"
TXN_ROWS = 200
_TELL_OBJECTS = 5_000
_PIECE_ROWS = 5_000
_DAY_US = 86_400 * US
_END = "segments0"
"""Behind the key of every object."""


class ScanStep:
    """`erased`: segments that the lists of deletions name. Goes on at the first object that was not compared.

    `open_files`: files in the spool that are not closed, and left to recovery.
    """

    def __init__(
        self,
        environment: Environment,
        store: ObjectStore,
        progress: Progress,
        tell: Callable[[int], None],
        *,
        hash_bytes: bool,
        erased: Container[SegmentKey],
    ) -> None:
        self._env = environment
        self._store = store
        self._progress = progress
        self._tell = tell
        self._hash = hash_bytes
        self._erased = erased
        self._segments = SegmentWriter()
        self._new: list[NewRow] = []
        self._gone: list[SegmentKey] = []
        self._epochs: dict[CameraNumber, int] = {}
        self.open_files = 0

    def objects(self, next_step: str) -> None:
        """Walk rows and objects in the one order that both have."""
        rows, objects = self._named(), self._listed()
        row, item = next(rows, _END), next(objects, _END)
        seen = 0
        while row < _END or item < _END:
            if item < row:
                self._newcomer(item)
                item = next(objects, _END)
            elif row < item:
                self._missing(row)
                row = next(rows, _END)
            else:
                row, item = next(rows, _END), next(objects, _END)
            seen += 1
            if len(self._new) + len(self._gone) == TXN_ROWS:
                self._commit(Place.STORE, after=min(row, item))
            if seen % _TELL_OBJECTS == 0:
                self._tell(seen)
        self._tell(seen)
        self._commit(Place.STORE, next_step)

    def spool(self, spool: Spool, next_step: str) -> None:
        """Closed files that the store has not."""
        for key in spool.list_keys():
            with self._env.read() as txn:
                known = self._segments.get(txn, key) is not None
            if known:
                continue
            try:
                with spool.open_source(key, system_grant("rebuild")) as source:
                    self._new.append(closed_row(key, source, hash_bytes=self._hash))
            except StreamvaultError:
                # Recovery takes it in once its epoch is over, so the camera's next one must be above it.
                self.open_files += 1
                self._epochs[key.camera] = max(self._epochs.get(key.camera, 0), key.epoch)
            if len(self._new) == TXN_ROWS:
                self._commit(Place.SPOOL)
        self._commit(Place.SPOOL, next_step)

    def _named(self) -> Iterator[str]:
        """Keys of the objects that the rows name; made without a value for each, of which there are millions."""
        at = b""
        folder, camera, day = "", 0, -1
        while True:
            with self._env.read() as txn:
                piece = []
                for raw_key, raw in txn.scan(Table.SEGMENTS, at):
                    piece.append((raw_key, sequence_of(raw)))
                    if len(piece) == _PIECE_ROWS:
                        break
            for raw_key, sequence in piece:
                number, start_us, epoch = KEY.unpack(raw_key)
                if number != camera or start_us // _DAY_US != day:
                    camera, day = number, start_us // _DAY_US
                    folder = SegmentKey(CameraNumber(camera), start_us, epoch, 0).object_key.rpartition("/")[0]
                name = f"{folder}/{start_us:017d}-{epoch:010d}-{sequence:010d}.mp4"
                if name >= self._progress.after:
                    yield name
            if len(piece) < _PIECE_ROWS:
                return
            at = piece[-1][0] + b"\0"

    def _listed(self) -> Iterator[str]:
        return (entry.key for entry in self._store.list(PREFIX) if entry.key >= self._progress.after)

    def _newcomer(self, name: str) -> None:
        try:
            key = SegmentKey.parse(name)
            with open_segment(self._store, key, system_grant("rebuild")) as source:
                self._new.append(closed_row(key, source, hash_bytes=self._hash))
        except Unreadable as error:
            self._progress.refused.append((name, str(damage(self._store, key, error))))
        except (Damaged, NotFound, UsageError) as error:
            self._progress.refused.append((name, str(error)))

    def _missing(self, name: str) -> None:
        key = SegmentKey.parse(name)
        if key in self._erased:
            self._gone.append(key)
        elif self._store.stat(name) is None:
            self._progress.absent.append(name)

    def _commit(self, place: Place, next_step: str = "", after: str = "") -> None:
        """What was met since the last time, and how far that is, in one transaction."""
        with self._env.write("rebuild segments", frees=bool(self._gone)) as txn:
            for row in self._new:
                # Footage of the camera's last epoch is what went on after the gap that was lasting; older, it was found later.
                live = row.key.epoch >= epoch_of(txn, row.key.camera)
                why = enter(txn, self._segments, row, place, live=live)
                if why is not None:
                    self._progress.refused.append((row.key.object_key, why))
            for camera, epoch in self._epochs.items():
                if epoch > epoch_of(txn, camera):
                    put_epoch(txn, camera, epoch)
            for key in self._gone:
                known = self._segments.get(txn, key)
                if known is not None:
                    self._segments.remove(txn, known)
                    expire(txn, key.camera, known.interval)
            self._progress.step, self._progress.after = next_step or self._progress.step, after
            put_progress(txn, self._progress)
        self._new.clear()
        self._gone.clear()
