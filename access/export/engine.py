"""Exports for whoever asks for one: the command line now, other doors with the same functions.

How to use it::

    exports = Exports(Door(node, people))
    job = exports.ask(who, wish, said)              # on record; waits for a second person where the unit demands one
    job, delivered = exports.run(job.id, who)       # takes, seals and hands over; again after whatever cut it short

A run that is refused on its way (a grant revoked, run out) ends the export: its working folder goes, and the ledger says what
left. Whatever else ends a run (a store that is away, a full disk, a damaged segment, a kill) leaves it to be run again within a
day; after that `tidy` closes it. What a run does is in `access.export.run`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from access.door import Door
from access.export.job import MAX_CAMERAS, MAX_TARGET_CHARS, Job, Step, Wish, new_id
from access.export.jobs import Jobs
from access.export.run import Run, expected_bytes, sequence_of
from access.export.working import Working
from access.occasion import Occasion, Outcome
from access.package.container import Delivered, Form, stands_at, taken_away
from access.package.custody import export_id
from access.people.model import Act, Principal, Role
from index.ledger_anchor import drained
from index.node import Node
from index.texts import text_field
from vault.datafolder import DataFolder
from vault.errors import Busy, NotFound, StreamvaultError, UsageError
from vault.grant import Action, Refusal
from vault.ledger.canonical import Value
from vault.ledger.entry import NewEntry
from vault.timebase import format_local

SECOND: Final = "Art. 14 (4)"


class Exports:
    """Over one node, by its door. Every change is durable, and on record, when the method returns."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._jobs = Jobs(self._node.environment)
        self._working = Working(self._node.folder)

    @property
    def _node(self) -> Node:
        return self._door.node

    def all(self) -> list[Job]:
        """Those under way and those that ended within `LISTED_US`, by id. Raises Damaged."""
        return self._jobs.all()

    def get(self, id: str) -> Job:
        """Raises UsageError for what is no id, NotFound."""
        return self._jobs.get(export_id(id))

    def unfinished(self, who: Principal) -> list[Job]:
        """What this one asked for and may run again or still waits."""
        return [job for job in self._jobs.all() if job.actor == who.actor and not job.step.ended]

    def left(self, who: Principal) -> list[Job]:
        """Those of them that no process works on."""
        found = []
        for job in self.unfinished(who):
            with suppress(Busy), self._working.lock(job.id):
                found.append(job)
        return found

    def seen_by(self, who: Principal) -> list[Job]:
        """What this one may know of: their own and their unit's; everything for whoever keeps or inspects the platform."""
        return [job for job in self._jobs.all() if _sees(who, job)]

    def seen(self, id: str, who: Principal) -> Job:
        """Raises NotFound for one that this one may not know of, too."""
        job = self.get(id)
        if not _sees(who, job):
            raise NotFound(f"there is no export {id} of yours")
        return job

    def names(self, job: Job) -> list[str]:
        """What people call its cameras."""
        return [self._node.cameras.by_number(number).id for number in job.wish.cameras]

    def expected_bytes(self, job: Job) -> int:
        """About how much a run writes, for whoever shows how far it is."""
        once = expected_bytes(self._node, job)
        # What is one file is written twice: into the working folder, and packed at the target.
        return once if job.wish.form is Form.FOLDER else 2 * once

    def ask(self, who: Principal, wish: Wish, said: Occasion) -> Job:
        """A new export, to be run, or `WAITING` for a second person of the unit's. Nothing is read.

        Raises Refusal, which is on record then; UsageError for a target that is taken; what the ledger raises.
        """
        now_us = self._node.clock.now_us()
        id = new_id(now_us, secrets.token_hex(3))
        if Path(wish.target).is_dir():
            wish = replace(wish, target=str(Path(wish.target) / wish.form.file_name(id)))
        _check(wish, now_us, self._node.folder)
        try:
            grants = self._door.grants(who, "export", wish.cameras, wish.interval)
        except Refusal as refusal:
            self._door.refused(who, "export", wish.cameras, wish.interval, refusal, said)
            raise
        waits = who.unit is not None and who.unit.approval
        job = Job(
            id=id,
            step=Step.WAITING if waits else Step.TAKING,
            actor=who.actor,
            wish=wish,
            said=said,
            asked_us=now_us,
            changed_us=now_us,
            unit=who.unit.id if who.unit else "",
            user=who.user.id if who.user else "",
            authority=tuple(dict.fromkeys(text for grant in grants.values() for text in grant.authority)),
        )
        if not waits:
            return self._jobs.put(job)
        self._jobs.put(job, [_deed(job, who, Outcome.ASKED), _deed(job, who, Outcome.WAITING)], now_us)
        self._node.outbox.drain()
        return job

    def approve(self, id: str, who: Principal) -> Job:
        """The second person's yes; whoever asked may run it then. Raises Refusal, NotFound, UsageError where none waits."""
        job = self._decided(id, who)
        now_us = self._node.clock.now_us()
        with self._node.environment.read() as txn:
            since = drained(txn)
        job = self._move(job, who, Outcome.APPROVED, {}, Step.TAKING, approved=Act(who.actor, now_us))
        return self._jobs.put(replace(job, approval=sequence_of(self._node, f"{job.id}.{Outcome.APPROVED}", since)))

    def refuse(self, id: str, who: Principal, why: str) -> Job:
        """The second person's no, which ends it. Raises as `approve`."""
        job = self._decided(id, who)
        why = text_field("the reason", why, 500, required=True)
        more: dict[str, Value] = {"code": "second-person", "article": SECOND, "reason": why}
        return self._move(job, who, Outcome.REFUSED, more, Step.REFUSED, why=why)

    def run(
        self,
        id: str,
        who: Principal,
        *,
        password: str | None = None,
        allow_damaged: bool = False,
        told: Callable[[int], None] = lambda count: None,
        said: Callable[[str], None] = lambda text: None,
    ) -> tuple[Job, Delivered]:
        """Take it from wherever it stopped, and hand it over. `allow_damaged`: from now on, as if it had been wished.

        Raises Busy while another process does, Refusal (the export is over then), NotFound where there is no footage (over too),
        Damaged that names the segment, StoreFull, StoreError: then it may be run again.
        """
        job = self._own(id, who)
        with self._working.lock(id):
            job = self._jobs.get(id)
            if job.step is Step.WAITING:
                waits = f"export {id} waits for a second person: `export approve {id}`"
                self._refuse(job, who, Refusal(waits, "second-person", SECOND))
            if job.step.ended:
                raise UsageError(f"export {id} is {job.step}; ask for a new one")
            self._check_unit(job, who)
            if allow_damaged and not job.wish.allow_damaged:
                job = self._jobs.put(replace(job, wish=replace(job.wish, allow_damaged=True)))
            run = Run(self._door, who, job, password, told, said)
            try:
                return run.go()
            except (Refusal, NotFound) as error:
                # A process that stood still for long may go on with a new visit; a key that is missing may be brought back.
                if run.empty or (isinstance(error, Refusal) and error.code != "lapsed"):
                    self._close(run.job, str(error), error)
                raise

    def abort(self, id: str, who: Principal, why: str = "given up") -> Job:
        """Give it up; what is taken so far goes. Raises Busy while a process works on it, Refusal for another's, UsageError."""
        job = self._own(id, who, others=True)
        with self._working.lock(id):
            job = self._jobs.get(id)
            if job.step.ended:
                raise UsageError(f"export {id} is {job.step} already")
            return self._close(job, text_field("the reason", why, 500))

    def close(self, job: Job, why: str) -> Job:
        """For `tidy`, which holds its lock: nobody came back for it, or what it holds has expired."""
        return self._close(job, why)

    def _close(self, job: Job, why: str, error: StreamvaultError | None = None) -> Job:
        """An end without a package. What was being written at the target is taken away; the ledger hears how much it was. A package
        that stands at its target whole has left, and was killed before it could say so: then that is its end."""
        if job.handing and stands_at(job.target_path, job.wish.form, job.id, job.manifest_sha256):
            job = self._jobs.put(job.moved(Step.DONE, self._node.clock.now_us(), left_bytes=job.size_bytes))
            self._working.remove(job.id)
            return job
        left = taken_away(job.target_path, job.id) if job.handing else 0
        more: dict[str, Value] = {"bytes": left, "why_ended": why[:500]}
        if isinstance(error, Refusal):
            more |= {"code": error.code, "article": error.article}
        now_us = self._node.clock.now_us()
        # A visit that did not come to its end has told so itself. Behind that, or before any, nothing else would.
        waited = job.step is Step.WAITING or job.approved is not None
        tells = job.completion is not None or (waited and not job.deed)
        entries = [job.entry(job.actor, Outcome.ABORTED, more)] if tells else []
        job = self._jobs.put(job.moved(Step.ABORTED, now_us, why=why[:500], left_bytes=left), entries, now_us)
        self._working.remove(job.id)
        self._node.outbox.drain()
        return job

    def _own(self, id: str, who: Principal, *, others: bool = False) -> Job:
        job = self.get(id)
        # The operator at the host keeps order there; so does an administrator. Neither takes what another asked for.
        keeper = others and (who.user is None or who.user.role is Role.ADMIN)
        if job.actor != who.actor and not keeper:
            self._refuse(job, who, Refusal(f"export {id} is {job.actor}'s", "asker", SECOND))
        return job

    def _check_unit(self, job: Job, who: Principal) -> None:
        """What was asked for one unit does not go to another, nor without the second person whom the unit wants by now."""
        unit = who.unit
        if (unit.id if unit else "") != job.unit:
            self._refuse(
                job, who, Refusal(f"export {job.id} was asked for by unit {job.unit or '-'}; ask anew", "unit", SECOND)
            )
        if unit is not None and unit.approval and job.approved is None:
            why = f"unit {unit.id} wants a second person by now, and nobody approved export {job.id}; ask anew"
            self._refuse(job, who, Refusal(why, "second-person", SECOND))

    def _refuse(self, job: Job, who: Principal, refusal: Refusal) -> NoReturn:
        """On record as a deed of its own: tries without end must not fill up the export's."""
        self._door.refused(who, "export", job.wish.cameras, job.wish.interval, refusal)
        raise refusal

    def _decided(self, id: str, who: Principal) -> Job:
        """The export that waits, and whether this one may decide on it."""
        job = self.get(id)
        if job.step is not Step.WAITING:
            raise UsageError(f"export {id} is {job.step}; nobody has to approve it")
        try:
            _check_second(job, self._door.again(who))
        except Refusal as refusal:
            self._door.refused(who, "export", job.wish.cameras, job.wish.interval, refusal, export=job.id)
            raise
        return job

    def _move(self, job: Job, who: Principal, outcome: Outcome, more: dict[str, Value], step: Step, **fields: object) -> Job:
        """A decision and its entry are one transaction."""
        now_us = self._node.clock.now_us()
        waiting = job

        def change(found: Job) -> Job:
            if found.step is not Step.WAITING:
                raise UsageError(f"export {found.id} was decided on meanwhile: it is {found.step}")
            return waiting.moved(step, now_us, **fields)

        job = self._jobs.change(job.id, change, [_deed(job, who, outcome, more)], now_us)
        self._node.outbox.drain()
        return job


def _sees(who: Principal, job: Job) -> bool:
    user = who.user
    if user is None or user.role in (Role.ADMIN, Role.INSPECTOR, Role.INVESTIGATOR):
        return True
    return job.actor == who.actor or (user.role is Role.UNIT and bool(user.unit) and user.unit == job.unit)


def _check(wish: Wish, now_us: int, own: DataFolder) -> None:
    """Raises UsageError."""
    if wish.interval.end_us > now_us:
        raise UsageError(f"the range ends at {format_local(wish.interval.end_us)}, which is yet to come")
    if not 0 < len(wish.cameras) <= MAX_CAMERAS or len(set(wish.cameras)) != len(wish.cameras):
        raise UsageError(f"{len(wish.cameras)} cameras for one export; 1 to {MAX_CAMERAS}, each once")
    target = Path(wish.target)
    if len(wish.target) > MAX_TARGET_CHARS or not target.is_absolute():
        raise UsageError("the target of an export is an absolute path")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: is no folder; make it, or name another target")
    if own.holds(target):
        raise UsageError(f"{target}: is inside the data folder; what is handed out goes elsewhere")
    if os.path.lexists(target):
        raise UsageError(f"{target}: is there already; name another target")


def _check_second(job: Job, who: Principal) -> None:
    """Raises Refusal."""
    user = who.user
    if user is None:
        raise Refusal("a second person approves in their own name: say --as USER", "second-person", SECOND)
    if who.actor == job.actor or user.id == job.user:
        raise Refusal(f"{who.actor} asked for export {job.id}: another person has to decide on it", "second-person", SECOND)
    if user.disabled or user.must_change:
        raise Refusal(f"user {user.id} may do nothing before the password is changed", "password", "Art. 14 (7)")
    if who.token is not None and Action.EXPORT not in who.token.actions:
        raise Refusal(f"token {who.token.id} is not for exports", "token-scope", SECOND)
    if user.role not in (Role.ADMIN, Role.INVESTIGATOR) and not (user.role is Role.UNIT and user.unit == job.unit):
        raise Refusal(f"a user of role {user.role} does not decide on exports of unit {job.unit}", "role", SECOND)


def _deed(job: Job, who: Principal, outcome: Outcome, more: dict[str, Value] | None = None) -> NewEntry:
    return job.entry(who.actor, outcome, more or {}, who.user.id if who.user else "")
