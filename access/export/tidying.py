"""What becomes of exports that nobody finished: closed as aborted when their day is over, or as soon as footage that they hold expires.

What was made of footage goes when the footage goes. Run by every `export` command and each hour by `serve`. An export that a
process works on is left alone: its lock says so.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from access.door import Door
from access.export import kept
from access.export.engine import Exports
from access.export.job import LISTED_US, RESUMABLE_US, Job, Step
from access.export.jobs import Jobs
from access.export.working import Working
from access.package.builder import PackageBuilder
from access.people.people import People
from index.node import Node, open_node
from index.timeline import Timeline
from vault.clock import SystemClock
from vault.config import Config
from vault.datafolder import DataFolder
from vault.errors import Busy, NotFound, StreamvaultError
from vault.logs import Log
from vault.timebase import US

DECIDED_US: Final = 7 * 24 * 3_600 * US
"""An export that no second person decided on for so long is closed."""

log = Log("access.export.tidying")


def tidy(door: Door) -> list[Job]:
    """Close, remove and forget what is due; what was closed. Repeatable, by any process. Raises what the index and the ledger raise."""
    node, jobs = door.node, Jobs(door.node.environment)
    exports, working, now_us = Exports(door), Working(door.node.folder), door.node.clock.now_us()
    closed: list[Job] = []
    known: set[str] = set()
    for job in jobs.all():
        known.add(job.id)
        if job.step.ended and now_us - job.changed_us > LISTED_US:
            jobs.forget(job.id)
        # A job that has ended leaves no folder but where a kill came between.
        if job.step.ended and not working.path(job.id).exists():
            continue
        with contextlib.suppress(Busy), working.lock(job.id):
            job = jobs.get(job.id) if not job.step.ended else job
            if job.step.ended:
                working.remove(job.id)
            elif why := _why_over(node, job, now_us):
                closed.append(exports.close(job, why))
    for id in working.ids():
        # Of an index that was made anew: its visit is closed by its own row's end, or went with the index.
        if id not in known:
            with contextlib.suppress(Busy), working.lock(id):
                working.remove(id)
    return closed


def _why_over(node: Node, job: Job, now_us: int) -> str:
    """Empty while it may go on."""
    idle_us = now_us - job.changed_us
    if job.step is Step.WAITING:
        return "no second person decided on it within a week" if idle_us > DECIDED_US else ""
    if idle_us > RESUMABLE_US:
        return "it was cut short and not taken up again within a day"
    folder = Working(node.folder).path(job.id)
    if not folder.is_dir():
        return ""
    with contextlib.suppress(NotFound):
        builder = PackageBuilder(folder, job.id)
        for (camera, _), piece in kept.kept(folder, builder.finished_media()).items():
            for taken in piece.files:
                if Timeline(node.environment).expired(camera, taken.held):
                    return "footage that it had taken has expired"
    return ""


def tidy_node(path: Path, config: Config) -> None:
    """The same, by a process of its own that `serve` begins now and then. What goes wrong is logged: the next time may do better."""
    try:
        with open_node(DataFolder.open(path), config, SystemClock(), role="exports") as node:
            for job in tidy(Door(node, People(node.registry, node.clock))):
                log.info("export closed", export=job.id, why=job.why)
    except StreamvaultError as error:
        log.error("exports not tidied", error=str(error))
