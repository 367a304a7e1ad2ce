"""The worker's closer thread: finished spool files become plain MP4s, durable, hashed and committed, in batches over cameras.

One sync of the spool's file system a cycle serves every camera: it makes this cycle's closing boxes durable, the headers that
the previous cycle's durable boxes allowed, and every fragment written meanwhile (ARCHITECTURE.md, *Life of a segment*).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from index.catalog import Catalog, RowsFencedOut, RowsRefused
from index.rows import NewRow
from ingest.jobs import Finished
from ingest.writer import OpenFile
from vault.clock import Clock
from vault.config import Retention
from vault.digest import fd_digest
from vault.errors import StoreError, StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.media import SegmentInfo
from vault.retain import min_until_us
from vault.segment.recover import recover
from vault.spool import Spool, append, overwrite

log = Log("ingest.closer")


@dataclass(frozen=True, slots=True)
class Keep:
    """What close fixes: the site's class and how many days it keeps."""

    site_class: str
    days: int


@dataclass(slots=True, eq=False)
class _Closing:
    file: OpenFile
    info: SegmentInfo
    tail_bytes: int = 0


class Closer:
    """`finish` may be called from any thread; everything else happens on the closer's own."""

    def __init__(
        self,
        spool: Spool,
        catalog: Catalog,
        clock: Clock,
        retention: Retention,
        keep_of: Callable[[CameraNumber], Keep],
        *,
        sync_us: int,
        fenced: Callable[[CameraNumber], None],
    ) -> None:
        """`keep_of` gives a camera's class at this moment; `fenced` is told of a camera that another process has taken."""
        self._spool = spool
        self._catalog = catalog
        self._clock = clock
        self._zone = retention.zone
        self._keep_of = keep_of
        self._sync_us = sync_us
        self._fenced = fenced
        self._lock = threading.Lock()
        self._new: list[tuple[OpenFile, Finished]] = []
        self._sealed: list[_Closing] = []
        self._rows: list[NewRow] = []
        self._epochs: list[CameraNumber] = []
        self._granted: dict[CameraNumber, int] = {}
        self._own: dict[tuple[CameraNumber, int], int] = {}
        self._latest: dict[CameraNumber, int] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="closer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, file: OpenFile, job: Finished) -> None:
        """A file that gets no more fragments; the closer owns it from here on."""
        with self._lock:
            self._new.append((file, job))

    def ask_epoch(self, camera: CameraNumber) -> None:
        """A camera's time went back: it needs a new epoch. The answer comes by `granted`."""
        with self._lock:
            self._epochs.append(camera)
        self._wake.set()

    def granted(self) -> dict[CameraNumber, int]:
        """Epochs raised since the last call."""
        with self._lock:
            answer, self._granted = self._granted, {}
            return answer

    def stop(self) -> None:
        """Close and commit all that was handed over, then end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        due_us = self._clock.mono_us() + self._sync_us
        while not self._stopping:
            self._wake.wait(max(0.05, (due_us - self._clock.mono_us()) / 1e6))
            self._wake.clear()
            self._raise_epochs()
            if self._clock.mono_us() >= due_us and not self._stopping:
                due_us = self._clock.mono_us() + self._sync_us
                self._guarded_cycle()
        # Two cycles take everything from finished to committed; the rest is repeated by recovery.
        self._guarded_cycle()
        self._guarded_cycle()

    def _raise_epochs(self) -> None:
        with self._lock:
            wanted, self._epochs = self._epochs, []
        if not wanted:
            return
        try:
            raised = self._catalog.raise_epochs(sorted(set(wanted)))
        except StreamvaultError as error:
            log.error("epochs not raised", cameras=len(wanted), error=str(error))
            with self._lock:
                self._epochs.extend(wanted)
            return
        for camera, epoch in raised.items():
            self._own[camera, epoch - 1] = epoch
            self._latest[camera] = epoch
        with self._lock:
            self._granted.update(raised)

    def _guarded_cycle(self) -> None:
        try:
            self.cycle()
        except StreamvaultError as error:
            log.error("segments not committed yet", segments=len(self._rows), sealed=len(self._sealed), error=str(error))

    def cycle(self) -> None:
        """One round: headers of what is durable, closing boxes of what is new, one sync, one commit."""
        hashed = [self._hash(closing) for closing in self._sealed]
        self._sealed = []
        with self._lock:
            new, self._new = self._new, []
        sealed = [closing for file, job in new if (closing := self._seal(file, job)) is not None]
        self._sealed = [*(closing for closing, _ in hashed), *sealed]
        self._spool.sync([closing.file.fd for closing in self._sealed])
        self._sealed = sealed
        for closing, row in hashed:
            closing.file.drop()
            if row is not None:
                self._rows.append(row)
        self._commit()

    def _seal(self, file: OpenFile, job: Finished) -> _Closing | None:
        """Append the closing boxes; not durable yet. A file whose writes failed is closed by recovery instead."""
        keep = self._keep_of(file.camera)
        closed_us = self._clock.now_us()
        until_us = min_until_us(job.end_us, closed_us, keep.days, self._zone)
        info = SegmentInfo(file.opened.head, job.end_us, closed_us, keep.site_class, until_us, job.flags, job.clock_offset_us)
        try:
            if file.whole:
                tail = file.builder.closing(info, job.end_dts)
                file.size_bytes = append(file.fd, file.size_bytes, [tail])
                return _Closing(file, info, len(tail))
            file.drop()
            path = self._spool.path_of(file.opened.head.key)
            recovered = recover(path, closed_us=closed_us, site_class=keep.site_class, min_until_us=until_us)
            if recovered is not None:
                log.warning("segment closed after a write error", camera=file.camera, path=str(path))
            return None
        except StreamvaultError as error:
            # Recovery finds the file as it is at the next start of this camera, and closes it.
            log.error("segment not closed, left for recovery", camera=file.camera, error=str(error))
            file.drop()
            return None

    def _hash(self, closing: _Closing) -> tuple[_Closing, NewRow | None]:
        """Its closing boxes are durable: make it a plain MP4, and take its identity while it is still in the page cache."""
        file, info = closing.file, closing.info
        try:
            offset, header = file.builder.mdat_header()
            overwrite(file.fd, offset, header)
            digest = fd_digest(file.fd, f"hashing the segment {info.head.key.object_key}")
        except StoreError as error:
            log.error("segment not sealed, left for recovery", camera=file.camera, error=str(error))
            return closing, None
        row = NewRow(
            key=info.head.key,
            end_us=info.end_us,
            size_bytes=file.size_bytes,
            blake3=digest,
            tail_bytes=closing.tail_bytes,
            params=file.opened.tracks,
            site_class=info.site_class,
            min_until_us=info.min_until_us,
            flags=info.flags,
            gap_before=info.head.gap_before,
        )
        return closing, row

    def _commit(self) -> None:
        """W2 for everything that is durable. Rows of a camera that was taken from us are dropped: its new owner has the file."""
        rows, self._rows = self._rows, []
        try:
            self._commit_rows([row for row in rows if not self._superseded(row)], adopt=False)
            self._commit_rows([row for row in rows if self._superseded(row)], adopt=True)
        except StreamvaultError:
            # Repeating is harmless: a row that is there already is no error.
            self._rows = rows
            raise

    def _superseded(self, row: NewRow) -> bool:
        """Whether the row's epoch is one that this process itself replaced and still has the camera under the newer one."""
        newer = self._own.get((row.key.camera, row.key.epoch))
        return newer is not None and self._catalog.epoch(row.key.camera) == self._latest[row.key.camera]

    def _commit_rows(self, rows: list[NewRow], *, adopt: bool) -> None:
        if not rows:
            return
        try:
            self._catalog.commit(rows, adopt=adopt)
        except RowsFencedOut as error:
            for key in error.keys:
                log.warning("camera was taken by another process", camera=key.camera, epoch=key.epoch)
                self._fenced(key.camera)
        except RowsRefused as error:
            log.error("segments refused by the index, kept in the spool", error=str(error))
