"""The door to footage: gathers what is known of whoever asks, has `access.authorize` decide, and puts every look on record.

How to use it::

    with Door(node).open(who, "clip", [camera.number], wanted, said) as visit:    # ASKED is durable in the ledger by now
        for piece in pieces(visit.grants[camera.number]):
            visit.still()                                 # raises Refusal soon after a revocation
            write(piece); visit.wrote(size_so_far)
        visit.done(size, sha256)

A visit that is left without `done` was aborted, and the ledger says with how many bytes. One whose process is killed is closed by
whoever comes next (`index.visits`). Where the ledger cannot be written nothing is handed out; recording does not depend on it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from access.authorize import CameraFacts, Known, Rules, authorize
from access.occasion import ACTIONS, Occasion, Outcome, entry
from access.people.model import Principal, Role
from access.people.people import People
from index.growing import growing_intervals
from index.ledger_anchor import drained
from index.node import Node
from index.outbox import record
from index.visits import RENEW_US, Visits
from vault.errors import NotFound, StreamvaultError, UsageError
from vault.grant import Grant, Refusal
from vault.ids import CameraNumber
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.logs import Log
from vault.timebase import US, Interval

STILL_US: Final = 2 * US
"""How often a visit asks whether it still may where nothing was changed: what only time ends is seen within five seconds."""

MAX_CAMERAS: Final = 1_000
"""Of one visit: they all stand in one line of the ledger."""

log = Log("access.door")


@dataclass(frozen=True, slots=True)
class _Deed:
    """What every entry of one visit says."""

    kind: Kind
    who: Principal
    word: str
    cameras: tuple[CameraNumber, ...]
    wanted: Interval
    said: Occasion | None
    export: str
    id: str

    def entry(self, outcome: Outcome, more: Mapping[str, Value]) -> NewEntry:
        return entry(
            self.kind, self.who.actor, self.word, outcome, self.cameras, self.wanted, id=self.id,
            unit=self.who.unit.id if self.who.unit else "", user=self.who.user.id if self.who.user else "",
            said=self.said, export=self.export, more=more,
        )  # fmt: skip


class Door:
    """Over one node. Safe for several threads."""

    def __init__(self, node: Node, people: People | None = None) -> None:
        """`people`: those of the node's registry when None."""
        self.node = node
        self._people = people or People(node.registry, node.clock)
        self._visits = Visits(node.environment, node.clock)
        self._rules = Rules(node.config.access.viewing_room, node.config.access.host_terminal)
        self._known: dict[str, tuple[int, Known]] = {}

    def open(
        self,
        who: Principal,
        word: str,
        cameras: Sequence[CameraNumber],
        wanted: Interval,
        said: Occasion,
        *,
        export: str = "",
        more: Mapping[str, Value] | None = None,
    ) -> Visit:
        """Begin to look. `word`: one of `access.occasion.ACTIONS`. `more`: what else its opening entry says.

        Raises Refusal, which is in the ledger then; UsageError for none or too many cameras; what the ledger and the index raise
        when they cannot be written.
        """
        self._visits.close_left()
        deed = self._deed(who, word, cameras, wanted, said, export)
        try:
            grants = self.grants(who, word, deed.cameras, wanted)
        except Refusal as refusal:
            self._refused(deed, refusal)
            raise
        with self.node.environment.read() as txn:
            since = drained(txn)
        authority: list[Value] = [*dict.fromkeys(text for grant in grants.values() for text in grant.authority)]
        about = {"authority": authority, **_origin(who), **(more or {})}
        closing = deed.entry(Outcome.ABORTED, {"authority": authority})
        self._visits.open(deed.id, deed.entry(Outcome.ASKED, about), closing)
        visit = Visit(self, deed, grants, since)
        try:
            self.node.outbox.drain()
        except BaseException as error:
            visit.aborted(f"the ledger could not be written: {error}")
            raise
        return visit

    def grants(self, who: Principal, word: str, cameras: Sequence[CameraNumber], wanted: Interval) -> dict[CameraNumber, Grant]:
        """The decision alone, for every camera; nothing is written. Raises Refusal for the first that is refused, NotFound."""
        action, now_us, known = ACTIONS[word], self.node.clock.now_us(), self._of(who)
        return {number: authorize(who, action, self._camera(number), wanted, now_us, known, self._rules) for number in cameras}

    def refused(
        self,
        who: Principal,
        word: str,
        cameras: Sequence[CameraNumber],
        wanted: Interval,
        refusal: Refusal,
        said: Occasion | None = None,
        export: str = "",
        more: Mapping[str, Value] | None = None,
    ) -> None:
        """Put a refusal on record that was found elsewhere: a field that is missing, a person who may not approve."""
        self._refused(self._deed(who, word, cameras, wanted, said, export), refusal, more)

    def again(self, who: Principal) -> Principal:
        """The same one as known by now. Raises Refusal where what they signed in with or as is there no more."""
        if who.user is None:
            return who
        try:
            user = self._people.user(who.user.id)
            unit = self._people.unit(user.unit) if user.unit else None
            token = None if who.token is None else self._people.token(who.token.id)
        except NotFound as error:
            raise Refusal(f"{who.actor} is no longer known here: {error}", "disabled", "Art. 13, 14") from error
        if (user.password_set_us, user.role, user.unit) != (who.user.password_set_us, who.user.role, who.user.unit):
            raise Refusal(f"user {user.id}: password, role or unit were changed; sign in again", "credentials", "Art. 14 (7)")
        return replace(who, user=user, unit=unit, token=token)

    def _deed(
        self, who: Principal, word: str, cameras: Sequence[CameraNumber], wanted: Interval, said: Occasion | None, export: str
    ) -> _Deed:
        numbers = tuple(dict.fromkeys(cameras))
        if not 0 < len(numbers) <= MAX_CAMERAS:
            raise UsageError(f"{len(numbers)} cameras at once; 1 to {MAX_CAMERAS}")
        kind = Kind.EXPORT if word == "export" else Kind.READ
        return _Deed(kind, who, word, numbers, wanted, said, export, secrets.token_hex(12))

    def _refused(self, deed: _Deed, refusal: Refusal, more: Mapping[str, Value] | None = None) -> None:
        more = {
            "code": refusal.code, "article": refusal.article, "reason": str(refusal), **_origin(deed.who), **(more or {}),
        }  # fmt: skip
        with self.node.environment.write("record refusal", frees=True) as txn:
            record(txn, deed.entry(Outcome.REFUSED, more), self.node.clock.now_us())
        # It is in the outbox: where the ledger cannot be written now, the bookkeeper does it later.
        with suppress(StreamvaultError):
            self.node.outbox.drain()

    def _camera(self, number: CameraNumber) -> CameraFacts:
        camera = self.node.cameras.by_number(number)
        return CameraFacts(number, camera.stays, "" if camera.is_removed else camera.id)

    def _of(self, who: Principal) -> Known:
        """The unit's grants, read anew when the registry has changed, and how far its viewing-room camera is recorded."""
        if who.user is None or who.unit is None or who.user.role not in (Role.UNIT, Role.ADMIN):
            return Known()
        unit, changes = who.unit, self.node.registry.changes()
        seen, known = self._known.get(unit.id, (None, Known()))
        if seen != changes:
            known = Known.of(unit, self._people.grants_of(unit.id))
            self._known[unit.id] = changes, known
        room = unit.viewing_camera
        return known if room is None else replace(known, viewing_until_us=self._newest_us(room), viewing_id=self._id(room))

    def _id(self, number: CameraNumber) -> str:
        """Empty where the camera is not there any more."""
        with suppress(NotFound):
            camera = self.node.cameras.by_number(number)
            return "" if camera.is_removed else camera.id
        return ""

    def _newest_us(self, camera: CameraNumber) -> int | None:
        """Where what is recorded of a camera ends, what is being recorded included."""
        node = self.node
        ends = [span.end_us for span in growing_intervals(node.environment, node.spool, camera, node.clock.now_us())]
        closed_us = node.timeline.last_end_us(camera)
        return max([*ends, *(() if closed_us is None else (closed_us,))], default=None)


class Visit:
    """A look that is under way. Use it in a `with`, or see to it that `done` or `aborted` is called. Made by `Door.open`."""

    def __init__(self, door: Door, deed: _Deed, grants: dict[CameraNumber, Grant], since: int) -> None:
        self.id = deed.id
        self.grants = grants
        self._door = door
        self._deed = deed
        self._since = since
        self._visits = Visits(door.node.environment, door.node.clock)
        self._size_bytes = 0
        # Asked for at the first call, since something may have changed before it.
        self._changes, self._due_us = -1, 0
        self._over = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name="visit", daemon=True)
        self._renewer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._over.is_set():
            self.aborted(_why(error), error=error)

    def still(self) -> None:
        """Raises Refusal once the leave is gone: revoked, run out, the user disabled, the agreement or training over. Cheap, so ask
        often: what the registry says is looked at when it has changed, all else every two seconds."""
        clock, changes = self._door.node.clock, self._door.node.registry.changes()
        if changes == self._changes and clock.mono_us() < self._due_us:
            return
        # Whoever watches from another thread may ask just when it has come to its end.
        if not self._visits.is_open(self.id) and not self._over.is_set():
            raise Refusal("this look was taken for over while its process stood still", "lapsed", "Art. 14 (7)")
        deed = self._deed
        self._door.grants(self._door.again(deed.who), deed.word, deed.cameras, deed.wanted)
        self._changes, self._due_us = changes, clock.mono_us() + STILL_US

    def wrote(self, size_bytes: int) -> None:
        """So much has gone out by now: what the ledger says should this process be killed. Cheap."""
        self._size_bytes = size_bytes

    def done(self, size_bytes: int, sha256: str, more: Mapping[str, Value] | None = None) -> None:
        """All of it went out. On record when this returns; should the ledger not be writable just then, its entry waits."""
        self._end(Outcome.DONE, {"bytes": size_bytes, "sha256": sha256, **(more or {})})

    def aborted(self, why: str, *, error: BaseException | None = None) -> None:
        """It ended before its end, with what had gone out by then as `wrote` said. `error`: that ended it."""
        more: dict[str, Value] = {"bytes": self._size_bytes, "why_ended": why[:500]}
        if isinstance(error, Refusal):
            more |= {"code": error.code, "article": error.article}
        self._end(Outcome.ABORTED, more)

    def sequence(self, outcome: Outcome = Outcome.ASKED) -> int:
        """Where in the ledger this visit's entry stands. Raises NotFound before it is there, what the ledger raises."""
        wanted = self.id if outcome is Outcome.ASKED else f"{self.id}.{outcome}"
        self._door.node.outbox.drain()
        for found in self._door.node.ledger.entries(self._since):
            if found.id == wanted:
                return found.sequence
        raise NotFound(f"the ledger has no entry {wanted}")

    def _end(self, outcome: Outcome, more: Mapping[str, Value]) -> None:
        if self._over.is_set():
            return
        self._over.set()
        self._renewer.join()
        self._visits.close(self.id, self._deed.entry(outcome, more))
        with suppress(StreamvaultError):
            self._door.node.outbox.drain()

    def _keep(self) -> None:
        while not self._over.wait(RENEW_US / US):
            try:
                self._visits.renew(self.id, self._size_bytes)
            except StreamvaultError as error:
                # The next try is before the lease is over.
                log.warning("visit not renewed", visit=self.id, error=str(error))


def _why(error: BaseException | None) -> str:
    """In the register's words: people read it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) or type(error).__name__ if error is not None else "left before it was done"


def _origin(who: Principal) -> dict[str, Value]:
    """From where, and by which token."""
    named = {"address": who.address, "token": who.token.id if who.token else ""}
    return {name: text for name, text in named.items() if text}
