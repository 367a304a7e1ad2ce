"""The worker's closer thread: finished spool files become plain MP4s, durable, hashed and committed, in batches over cameras.

One sync of the spool's file system a cycle serves every camera: it makes this cycle's closing boxes durable, the headers that
the previous cycle's durable boxes allowed, and every fragment written meanwhile (ARCHITECTURE.md, *Life of a segment*).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from index.catalog import Catalog, RowsFencedOut, RowsRefused
from index.hours import HOUR_US, CameraHour, HourFigures, Hours
from index.rows import NewRow
from ingest.jobs import Finished
from ingest.writer import OpenFile
from vault.clock import Clock
from vault.config import Retention
from vault.digest import fd_digest
from vault.errors import StreamvaultError
from vault.ids import CameraNumber, SegmentKey
from vault.logs import Log
from vault.media import SegmentInfo
from vault.retain import counted_us, fixed_at_close
from vault.spool import Spool, append, overwrite
from vault.timebase import US

log = Log("ingest.closer")

FIGURES_US = 60 * US
DOUBT_US = 2 * US
"""An epoch is raised in the index first, then the worker is told: so long it may take until a row is known to be nobody's here."""

LAST_CYCLES = 5
"""Rounds at the end, two more than an undisturbed close needs."""


@dataclass(frozen=True, slots=True)
class Keep:
    """What close fixes: the site's class and how many days it keeps."""

    site_class: str
    days: int


@dataclass(slots=True, eq=False)
class _Closing:
    file: OpenFile
    info: SegmentInfo
    tail_bytes: int


class Closer:
    """`finish`, `took`, `ask_epoch` and `granted` may be called from any thread; everything else happens on the closer's own."""

    def __init__(
        self,
        spool: Spool,
        catalog: Catalog,
        clock: Clock,
        retention: Retention,
        keep_of: Callable[[CameraNumber], Keep],
        *,
        sync_us: int,
        fenced: Callable[[CameraNumber, int], None],
        failed: Callable[[CameraNumber, int, Exception], None],
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        """`trusted`: whether the clock is to be believed; a segment closed while it is not gets no minimum. `keep_of` gives a camera's class at this moment; `fenced` is told of a camera and epoch that another process has
        taken, `failed` of one whose file cannot be closed here: recovery does it, under a new epoch."""
        self._spool = spool
        self._catalog = catalog
        self._clock = clock
        self._zone = retention.zone
        self._keep_of = keep_of
        self._sync_us = sync_us
        self._fenced = fenced
        self._failed = failed
        self._trusted = trusted
        self._lock = threading.Lock()
        self._new: deque[tuple[OpenFile, Finished]] = deque()
        self._sealed: list[_Closing] = []
        self._durable: list[_Closing] = []
        self._headed: list[tuple[_Closing, NewRow]] = []
        self._rows: list[NewRow] = []
        self._doubtful: dict[SegmentKey, int] = {}
        """Rows of an epoch that is over, and since when that is known: our own next epoch may be on its way to us."""
        self._hours = Hours(catalog.environment)
        self._figures: dict[CameraHour, HourFigures] = {}
        self._figures_us = clock.mono_us() + FIGURES_US
        self._wanted: set[CameraNumber] = set()
        self._granted: dict[CameraNumber, int] = {}
        self._latest: dict[CameraNumber, int] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._believed = False
        self._thread = threading.Thread(target=self._run, name="closer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def took(self, camera: CameraNumber, epoch: int) -> None:
        """This process has the camera under this epoch now: its own files of earlier epochs stay its to commit."""
        with self._lock:
            self._latest[camera] = epoch

    def finish(self, file: OpenFile, job: Finished) -> None:
        """A file that gets no more fragments; the closer owns it from here on."""
        self._new.append((file, job))

    def ask_epoch(self, camera: CameraNumber) -> None:
        """A camera's time went back: it needs a new epoch. The answer comes by `granted`."""
        with self._lock:
            self._wanted.add(camera)
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
            self._guarded(self._raise_epochs)
            if self._clock.mono_us() >= due_us and not self._stopping:
                due_us = self._clock.mono_us() + self._sync_us
                self._guarded(self.cycle)
                if self._doubtful:
                    due_us = min(due_us, self._clock.mono_us() + DOUBT_US)
                if due_us >= self._figures_us:
                    self._guarded(self._tell_figures)
        # Three cycles take everything from finished to committed; what an error leaves is repeated by recovery.
        for _ in range(LAST_CYCLES):
            if self._new or self._sealed or self._durable or self._headed or self._rows:
                self._guarded(self.cycle)
        self._guarded(self._tell_figures)

    def _guarded(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except Exception as error:  # every step is repeated by the next cycle; a thread that is gone repeats nothing
            waiting = len(self._sealed) + len(self._durable) + len(self._headed) + len(self._rows)
            log.error("segments not committed yet", segments=waiting, error=error)

    def _raise_epochs(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, set()
            held = {camera: self._latest[camera] for camera in wanted if camera in self._latest}
        if not wanted:
            return
        try:
            raised = self._catalog.raise_epochs(sorted(held), held)
        except StreamvaultError:
            with self._lock:
                self._wanted |= wanted
            raise
        with self._lock:
            for camera, epoch in raised.items():
                self._latest[camera] = max(epoch, self._latest[camera])
            self._granted.update(raised)
        for camera in set(held) - set(raised):
            self._fenced(camera, held[camera])

    def cycle(self) -> None:
        """One round: headers of what is durable, closing boxes of what is new, one sync, one commit.

        A segment stays in the list of the step that it has reached until the next one is done, whatever fails.
        """
        durable, self._durable = self._durable, []
        for closing in durable:
            self._put_header(closing)
        if self._new:
            self._believed = self._trusted()
        while self._new:
            self._seal(*self._new.popleft())
        self._spool.sync([closing.file.fd for closing in (*self._sealed, *(closing for closing, _ in self._headed))])
        for closing, row in self._headed:
            closing.file.drop()
            self._rows.append(row)
        self._headed, self._durable, self._sealed = [], self._sealed, []
        self._commit()

    def _seal(self, file: OpenFile, job: Finished) -> None:
        """Append the closing boxes; not durable yet. A file whose writes failed is closed by recovery instead."""
        if not file.whole:
            file.drop()
            return
        try:
            keep = self._keep_of(file.camera)
            closed_us = self._clock.now_us()
            fixed = fixed_at_close(job.end_us, closed_us, keep.days, self._zone, believed=self._believed)
            info = SegmentInfo(
                file.opened.head, job.end_us, closed_us, keep.site_class, fixed.min_until_us, job.flags | fixed.flags,
                job.clock_offset_us,
            )  # fmt: skip
            tail = file.builder.closing(info, job.end_dts)
            file.size_bytes = append(file.fd, file.size_bytes, [tail])
        except Exception as error:  # whatever it is, it concerns this file only
            self._give_up(file, error)
        else:
            self._sealed.append(_Closing(file, info, len(tail)))

    def _put_header(self, closing: _Closing) -> None:
        """Its closing boxes are durable: make it a plain MP4, and take its identity while it is still in the page cache."""
        file, info = closing.file, closing.info
        try:
            offset, header = file.builder.mdat_header()
            overwrite(file.fd, offset, header)
            digest = fd_digest(file.fd, f"hashing the segment {info.head.key.object_key}")
        except Exception as error:  # whatever it is, it concerns this file only
            self._give_up(file, error)
            return
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
            counted_us=counted_us(info.end_us, info.closed_us, info.min_until_us, info.flags),
        )
        self._count(row, file.builder.pictures, info.clock_offset_us)
        self._headed.append((closing, row))

    def _count(self, row: NewRow, pictures: int, clock_offset_us: int | None) -> None:
        at = row.key.camera, row.key.start_us // HOUR_US
        self._figures[at] = self._figures.get(at, HourFigures()).plus(HourFigures(pictures, 0, clock_offset_us))

    def _tell_figures(self) -> None:
        figures, self._figures = self._figures, {}
        self._figures_us = self._clock.mono_us() + FIGURES_US
        if figures:
            self._hours.add(figures)

    def _give_up(self, file: OpenFile, error: Exception) -> None:
        """Leave the file for recovery, which takes it as it is once the camera has a new epoch."""
        log.error("segment not closed, left for recovery", camera=file.camera, error=error)
        file.drop()
        self._failed(file.camera, file.opened.head.key.epoch, error)

    def _commit(self) -> None:
        """W2 for everything that is durable. Rows of a camera that was taken from us are dropped: the supervisor adopts the
        file. Repeating is harmless: a row that is there already is no error."""
        rows: dict[bool, list[NewRow]] = {False: [], True: []}
        for row in self._rows:
            rows[self._superseded(row)].append(row)
        doubtful: list[NewRow] = []
        for adopt, some in rows.items():
            doubtful += self._commit_rows(some, adopt=adopt)
        self._rows = doubtful

    def _superseded(self, row: NewRow) -> bool:
        """Whether this process has replaced the row's epoch itself and still has the camera."""
        with self._lock:
            latest = self._latest.get(row.key.camera, row.key.epoch)
        return row.key.epoch < latest and self._catalog.epoch(row.key.camera) == latest

    def _commit_rows(self, rows: list[NewRow], *, adopt: bool) -> list[NewRow]:
        """Returns those of an epoch that is over, while it may still turn out that the next one is ours too."""
        if not rows:
            return []
        doubtful = []
        try:
            self._catalog.commit(rows, adopt=adopt)
        except RowsFencedOut as error:
            now_us, by_key = self._clock.mono_us(), {row.key: row for row in rows}
            for key in error.keys:
                # At the end no word comes any more.
                if not self._stopping and now_us - self._doubtful.setdefault(key, now_us) < DOUBT_US:
                    doubtful.append(by_key[key])
                    continue
                log.warning("camera was taken by another process", camera=key.camera, epoch=key.epoch)
                self._fenced(key.camera, key.epoch)
        except RowsRefused as error:
            log.error("segments refused by the index, kept in the spool", error=str(error))
        if self._doubtful:
            for key in {row.key for row in rows} - {row.key for row in doubtful}:
                self._doubtful.pop(key, None)
        return doubtful
