"""One run of an export: from wherever it stopped to the package at its target. Each step may be repeated after a kill.

    taking    the visit's opening entry is durable; media are taken piece by piece
    closed    payload and manifest are durable; then the ledger hears that it is whole
    sealed    proofs and signature; nothing has left before
    done      handed over at the target

Before `closed` is in the ledger a later run opens a visit of its own: the one of the killed process is closed as aborted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from access.door import Door, Visit
from access.export import cuts, kept
from access.export.custody import NOT_CLOSED, taken_camera
from access.export.job import Job, Step
from access.export.jobs import Jobs
from access.export.lanes import Stop, Works, works
from access.export.taking import Piece, Taker
from access.export.working import Working
from access.footage import Footage
from access.occasion import Outcome
from access.package.builder import PackageBuilder, Payload
from access.package.container import Delivered, Form, deliver, stands_at, taken_away
from access.package.custody import Custody, Missing, TakenCamera
from access.package.report import Thumbnail
from access.package.seal import prove_together
from access.people.model import Principal
from index.cameras import Camera
from index.growing import growing_intervals
from index.node import Node
from index.pins import Pinned, Pins
from index.rows import MAX_SEGMENT_US
from index.timeline import Timeline
from vault.errors import NotFound, StreamvaultError
from vault.grant import Grant
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US, Interval, subtract, union
from vault.version import software

LOOK_SECONDS: Final = 1.0
"""How often a run asks whether it still may."""
HEAR_SECONDS: Final = 1.0
CLOSING_US: Final = 150 * US
"""For so long a run waits for the segment that is being recorded to be closed: twice a minute and a little."""
PICTURES: Final = 4
MAX_PICTURES: Final = 48
_ROOM_BYTES: Final = 64 * 1024 * 1024
"""Room on the disk is looked at after so much."""

log = Log("access.export.run")


@dataclass(slots=True)
class Run:
    """`told`: bytes that are taken or handed over, for whoever shows how far it is; `said`: what it waits for. `password`: of an
    encrypted package; made anew where it is None. `empty`: no camera had footage."""

    door: Door
    who: Principal
    job: Job
    password: str | None = None
    told: Callable[[int], None] = lambda count: None
    said: Callable[[str], None] = lambda text: None
    stop: Stop = field(default_factory=Stop)
    empty: bool = False
    _unseen: int = 0

    @property
    def node(self) -> Node:
        return self.door.node

    @property
    def working(self) -> Working:
        return Working(self.node.folder)

    def go(self) -> tuple[Job, Delivered]:
        """Raises Refusal, Damaged that names the segment, StoreFull, StoreError; NotFound where there is no footage."""
        if self.job.step is Step.CLOSED:
            self._find_completion()
        taking = self.job.completion is None
        if taking:
            self._take()
        # The watcher's first look is a second away, and a small package would have left by then.
        self._may()
        with self._watched(self._may):
            if taking or not (changed := self._changed()):
                self._seal()
                return self._hand_over()
        self._begin_anew(changed)
        return self.go()

    def _may(self) -> None:
        wish = self.job.wish
        self.door.grants(self.door.again(self.who), "export", wish.cameras, wish.interval)

    def _moved(self, step: Step, **more: object) -> None:
        now_us = self.node.clock.now_us()
        self.job = Jobs(self.node.environment).put(self.job.moved(step, now_us, **more))

    def _find_completion(self) -> None:
        """A kill between the ledger's entry and the row: the entry counts."""
        self.node.outbox.drain()
        since = self.job.intent or 0
        done = f"{self.job.deed}.{Outcome.DONE}"
        for entry in self.node.ledger.entries(since):
            if entry.id == done and entry.body.get("sha256") == self.job.manifest_sha256:
                self._moved(Step.CLOSED, completion=entry.sequence)
                return

    def _changed(self) -> str:
        """A file of the payload that is not what it was when the ledger heard of it; empty where all are, or where all has left."""
        job = self.job
        target, form = job.target_path, job.wish.form
        if job.handing and form is not Form.ENCRYPTED and stands_at(target, form, job.id, job.manifest_sha256):
            return ""
        return PackageBuilder(self.working.path(job.id), job.id).changed(job.manifest_sha256, self._read)

    def _begin_anew(self, changed: str) -> None:
        """The completion stands for bytes that are no more: the ledger hears that they were not handed out, and what is no longer
        right is taken anew, under a visit of its own."""
        job = self.job
        left = taken_away(job.target_path, job.id) if job.handing else 0
        if job.handing and stands_at(job.target_path, job.wish.form, job.id, job.manifest_sha256):
            left = job.size_bytes
        why = f"{changed} was no longer what had been written when it was taken up again"
        self._say_changed(changed)
        now_us = self.node.clock.now_us()
        anew = job.moved(Step.TAKING, now_us, completion=None, manifest_sha256="", size_bytes=0, files=0)
        ended = job.entry(job.actor, Outcome.ABORTED, {"bytes": left, "why_ended": why})
        self.job = Jobs(self.node.environment).put(anew, [ended], now_us)
        self.node.outbox.drain()

    def _say_changed(self, path: str) -> None:
        log.warning("kept file changed", export=self.job.id, path=path)
        self.said(f"{path} is no longer what was written; it is made anew")

    def _read(self, count: int) -> None:
        self.stop.look()

    def _take(self) -> None:
        job = self.job
        more = {"approved_by": job.approved.by} if job.approved else {}
        with self.door.open(
            self.who, "export", job.wish.cameras, job.wish.interval, job.said, export=job.id, more=more
        ) as visit:
            authority = tuple(dict.fromkeys(text for grant in visit.grants.values() for text in grant.authority))
            intent = visit.sequence()
            self._moved(Step.TAKING, deed=visit.id, intent=intent, authority=authority)
            with self._watched(visit.still, visit):
                payload = self._payload(visit)
                self._moved(
                    Step.CLOSED, manifest_sha256=payload.manifest_sha256, size_bytes=payload.size_bytes, files=payload.files
                )
                self.stop.look()
                visit.done(payload.size_bytes, payload.manifest_sha256, {"files": payload.files})
            self._moved(Step.CLOSED, completion=visit.sequence(Outcome.DONE))

    def _payload(self, visit: Visit) -> Payload:
        wish, id = self.job.wish, self.job.id
        builder = PackageBuilder(self.working.make(id), id)
        done = kept.kept(builder.folder, builder.finished_media())
        self.working.check_room(id, max(0, expected_bytes(self.node, self.job) - sum(_size(piece) for piece in done.values())))
        pins = Pins(self.node.environment, self.node.clock)
        with ExitStack() as stack:
            # What the first picture is decoded from may lie in a segment before the range.
            pinned = Interval(max(0, wish.interval.start_us - MAX_SEGMENT_US), wish.interval.end_us)
            for number in wish.cameras:
                stack.enter_context(Pinned(pins, self.node.clock, number, pinned, f"export {id}"))
            shop = stack.enter_context(works())
            taken = [
                self._camera(visit.grants[number], self.node.cameras.by_number(number), builder, shop, done)
                for number in wish.cameras
            ]
            if not any(camera.files for camera, _ in taken):
                self.empty = True
                raise NotFound(
                    f"export {id}: none of its cameras has footage in the range that can be read; `streamvault timeline` and `check --level hash` show why"
                )
            custody = self._custody(visit, tuple(camera for camera, _ in taken))
            return builder.close_payload(custody, [picture for _, pictures in taken for picture in pictures])

    def _camera(
        self, grant: Grant, camera: Camera, builder: PackageBuilder, shop: Works, done: dict[kept.Key, Piece]
    ) -> tuple[TakenCamera, list[Thumbnail]]:
        wish = self.job.wish
        taker = Taker(
            self.node, builder, shop, self.stop, wish.gaps, wish.original, wish.allow_damaged, self._wrote
        )  # fmt: skip
        timeline, now_us = Timeline(self.node.environment), self.node.clock.now_us()
        open_now = growing_intervals(self.node.environment, self.node.spool, camera.number, now_us)
        runs = timeline.runs(camera.number, wish.interval, open_now)
        moments = cuts.moments(runs, min(PICTURES, max(1, MAX_PICTURES // len(wish.cameras))))
        pieces = []
        for wanted in cuts.pieces(wish.interval):
            # Over hours without footage too it is seen that this goes on, and that a permission has ended.
            self.told(0)
            self.stop.look()
            piece = done.get((camera.number, wanted))
            if piece is not None and not self._is_kept(builder, piece):
                piece = None
            # What begins to be recorded from now on is in no hour that is long over: the spool is not asked again for each of those.
            is_settled = wanted.end_us <= now_us - MAX_SEGMENT_US and not any(span.overlaps(wanted) for span in open_now)
            if piece is None and is_settled and not timeline.span(camera.number, wanted):
                continue
            if piece is None or not _within(piece, grant.window):
                # Taken under another grant, perhaps: one that reached further.
                still_open = [] if is_settled else self._closed(camera.number, wanted)
                piece = taker.take(grant, camera, wanted, moments)
                piece = replace(piece, left_out=(*piece.left_out, *(Missing(gap, NOT_CLOSED) for gap in still_open)))
                kept.keep(builder.folder, (camera.number, wanted), piece)
            pieces.append(piece)
        view = Footage(self.node.environment, self.node.spool, self.node.store, self.node.clock).view(
            camera.number, wish.interval
        )
        taken = taken_camera(camera, self.node.sites.list(), wish.interval, pieces, view)
        return taken, [one for piece in pieces for one in piece.thumbnails]

    def _is_kept(self, builder: PackageBuilder, piece: Piece) -> bool:
        """Whether what a run before this one took is still, byte for byte, what it wrote."""

        def read(count: int) -> None:
            self.told(count)
            self.stop.look()

        for taken in piece.files:
            if not builder.is_whole(taken.file, read):
                self._say_changed(taken.file.path)
                return False
        return True

    def _closed(self, camera: CameraNumber, wanted: Interval) -> list[Interval]:
        """Wait until what is being recorded is closed, for a while; what is not by then."""
        clock, node = self.node.clock, self.node
        until_us = clock.mono_us() + CLOSING_US
        while True:
            open_now = growing_intervals(node.environment, node.spool, camera, clock.now_us())
            inside = [part for span in open_now if (part := span.intersection(wanted)) is not None]
            if not inside or clock.mono_us() >= until_us:
                break
            self.said("waiting until the segment that is being recorded is closed")
            self.stop.wait(LOOK_SECONDS)
            self.stop.look()
        rows = [row.interval for row in Timeline(node.environment).span(camera, wanted)]
        return [part for span in union(inside) for part in subtract(span, rows)]

    def _wrote(self, count: int) -> None:
        self.told(count)
        self._unseen += count
        if self._unseen >= _ROOM_BYTES:
            self._unseen = 0
            self.working.check_room(self.job.id, _ROOM_BYTES)

    def _custody(self, visit: Visit, cameras: tuple[TakenCamera, ...]) -> Custody:
        job, who, now_us = self.job, self.who, self.node.clock.now_us()
        return Custody(
            export=job.id,
            deed=visit.id,
            asked_us=job.asked_us,
            made_us=now_us,
            actor=job.actor,
            user=job.user,
            unit=job.unit,
            unit_name=who.unit.name if who.unit else "",
            said=job.said,
            authority=job.authority,
            wanted=job.wish.interval,
            cameras=cameras,
            software=software(),
            approver=job.approved.by if job.approved else "",
            approved_us=job.approved.at_us if job.approved else None,
            address=who.address,
            zone=self.node.config.retention.time_zone or "UTC",
        )

    def _seal(self) -> None:
        job = self.job
        assert job.intent is not None
        assert job.completion is not None
        self.stop.look()
        if job.approved is not None and job.approval is None:
            # A kill right behind the approval: its entry is there, where is not.
            self._moved(job.step, approval=sequence_of(self.node, f"{job.id}.{Outcome.APPROVED}"))
            job = self.job
        builder = PackageBuilder(self.working.path(job.id), job.id)
        sequences = [job.intent, *(() if job.approval is None else (job.approval,)), job.completion]
        ledger = self.node.ledger
        builder.seal(prove_together(ledger, sequences), ledger.signer(), ledger.succession().note.encode())
        if job.step is not Step.SEALED:
            self._moved(Step.SEALED)

    def _hand_over(self) -> tuple[Job, Delivered]:
        job, again = self.job, self.job.handing
        self.stop.look()
        if not again and not os.path.lexists(job.target_path):
            self._moved(Step.SEALED, handing=True)

        def progress(count: int) -> None:
            if job.wish.form is not Form.FOLDER:
                self.told(count)
            self.stop.look()

        made = deliver(
            self.working.path(job.id) / job.id, job.target_path, job.wish.form, self.password, replace=again, progress=progress
        )
        self._moved(Step.DONE, left_bytes=made.size_bytes)
        self.working.remove(job.id)
        return self.job, made

    @contextmanager
    def _watched(self, may: Callable[[], None], visit: Visit | None = None) -> Iterator[None]:
        """Whether it still may is asked beside the work, whatever that waits for. Where the work does not hear of a no at once, a
        store or a disk holds it, the visit is ended without it: it goes no step further."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                try:
                    may()
                except StreamvaultError as error:
                    self.stop.give(error)
                    if visit is not None and not over.wait(HEAR_SECONDS):
                        visit.aborted(str(error), error=error)
                    return

        thread = threading.Thread(target=watch, name="export-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def sequence_of(node: Node, id: str, since: int = 0) -> int:
    """Where in the ledger the entry of this id stands, looked for from `since` on. Raises NotFound."""
    node.outbox.drain()
    for entry in node.ledger.entries(since):
        if entry.id == id:
            return entry.sequence
    raise NotFound(f"the ledger has no entry {id}; run `streamvault ledger verify`")


def expected_bytes(node: Node, job: Job) -> int:
    """About how much it takes, from the rows alone."""
    total, timeline = 0, Timeline(node.environment)
    for number in job.wish.cameras:
        starts, ends, sizes = timeline.weights(number, job.wish.interval)
        span = job.wish.interval
        inside = (ends.clip(span.start_us, span.end_us) - starts.clip(span.start_us, span.end_us)) / (ends - starts).clip(1)
        total += int((sizes * (1 if job.wish.original else inside)).sum())
    return total


def _within(piece: Piece, window: Interval) -> bool:
    return all(window.start_us <= taken.held.start_us and taken.held.end_us <= window.end_us for taken in piece.files)


def _size(piece: Piece) -> int:
    return sum(taken.file.size_bytes for taken in piece.files)
