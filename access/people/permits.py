"""Applications and what comes of them: a unit asks for footage, an administrator grants or refuses, a grant is given or revoked.

A grant never changes: it is revoked and another is given. Whether one covers a look at footage is `access.authorize`'s to say.
Every change is durable when the method returns, and told to the ledger by the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from access.people.admins import is_enabled_admin
from access.people.checked import MAX_IMPORT, MAX_WHY_CHARS, checked_application, checked_grant, person
from access.people.documents import APPLICATIONS, GRANTS, named, to_fields
from access.people.model import Act, Application, UnitGrant
from access.people.people import People, present
from access.people.units import unit_of
from index.batch import Outcome, checked_all
from index.cameras import camera_document
from index.environment import ReadTxn, WriteTxn
from index.registry import counter, lift_number, set_counter
from index.sites import site_of
from index.texts import text_field
from vault.errors import Refused, UsageError
from vault.grant import Action, Refusal
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval, format_local

MAX_NUMBER: Final = 10**9
"""Of a grant that a file names: what is above is left for those that are numbered here."""


class Permits:
    """The applications and grants of `people`'s registry."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._env = people.environment

    def ask(
        self,
        unit_id: str,
        *,
        work: str,
        actions: Iterable[Action],
        window: Interval,
        sites: Iterable[str] = (),
        cameras: Iterable[CameraNumber] = (),
        by: str = "",
    ) -> Application:
        """A unit's application, for somebody to decide. Raises UsageError, Refusal."""
        asked = Act(person(by), self._people.clock.now_us())
        new = checked_application(
            Application(0, unit_id, tuple(sites), tuple(cameras), frozenset(actions), window, work, asked)
        )  # fmt: skip
        with self._env.write("ask") as txn:
            self._refuse_strangers(txn, unit_id, asked.by)
            self._check_scope(txn, new)
            new = replace(new, number=_next(txn, APPLICATIONS))
            self._write(txn, APPLICATIONS, new, asked)
        return new

    def grant(
        self,
        number: int,
        *,
        by: str,
        reason: str = "",
        valid: Interval | None = None,
        sites: Iterable[str] | None = None,
        cameras: Iterable[CameraNumber] | None = None,
        actions: Iterable[Action] | None = None,
        window: Interval | None = None,
    ) -> tuple[Application, UnitGrant]:
        """Grant what was asked for, or less of it; from now on and without an end where `valid` is None.

        Both documents change in one transaction. Raises NotFound, UsageError; Refused for one that is decided; Refusal where the
        asker decides, or more would be given than was asked for.
        """
        with self._env.write("grant application") as txn:
            old, act = self._undecided(txn, number, by)
            given = checked_grant(
                UnitGrant(
                    0, old.unit, old.sites if sites is None else tuple(sites), old.cameras if cameras is None else tuple(cameras),
                    old.actions if actions is None else frozenset(actions), window or old.window,
                    valid or Interval(act.at_us, MAX_US), act, number, reason or old.work,
                )
            )  # fmt: skip
            if not (
                set(given.sites) <= set(old.sites) and set(given.cameras) <= set(old.cameras) and given.actions <= old.actions
                and old.window.start_us <= given.window.start_us and given.window.end_us <= old.window.end_us
            ):  # fmt: skip
                raise Refusal(f"application {number}: no more is granted than was asked for", "scope", "Art. 14 (4)")
            self._check_scope(txn, given)
            given = self._give(txn, given)
            decided = replace(old, decided=act, granted=True, reason=_reason(reason), grant=given.number)
            self._write(txn, APPLICATIONS, decided, act)
        return decided, given

    def refuse(self, number: int, *, by: str, reason: str) -> Application:
        """Raises NotFound, UsageError; Refused for one that is decided; Refusal without a reason, or where the asker decides."""
        if not _reason(reason):
            raise Refusal(f"application {number}: is refused with a reason", "field", "Art. 13")
        with self._env.write("refuse application") as txn:
            old, act = self._undecided(txn, number, by)
            decided = replace(old, decided=act, granted=False, reason=_reason(reason))
            self._write(txn, APPLICATIONS, decided, act)
        return decided

    def add(
        self,
        unit_id: str,
        *,
        why: str,
        actions: Iterable[Action],
        window: Interval,
        valid: Interval | None = None,
        sites: Iterable[str] = (),
        cameras: Iterable[CameraNumber] = (),
        by: str = "",
    ) -> UnitGrant:
        """A grant without an application, with the reason for it. Raises UsageError, Refusal."""
        act = Act(person(by), self._people.clock.now_us())
        given = checked_grant(
            UnitGrant(
                0, unit_id, tuple(sites), tuple(cameras), frozenset(actions), window, valid or Interval(act.at_us, MAX_US), act,
                None, why,
            )
        )  # fmt: skip
        with self._env.write("add grant") as txn:
            self._refuse_other_roles(txn, act.by)
            self._check_scope(txn, given)
            return self._give(txn, given)

    def revoke(self, number: int, by: str = "") -> UnitGrant:
        """At once: whoever reads by it is stopped. Raises NotFound; Refused for one that is revoked already."""
        with self._env.write("revoke grant") as txn:
            old = present(self._people.find_grant(txn, number), f"grant {number}")
            if old.revoked is not None:
                raise Refused(f"grant {number} was revoked at {format_local(old.revoked.at_us)} by {old.revoked.by}")
            act = Act(person(by), self._people.clock.now_us())
            new = replace(old, revoked=act)
            self._write(txn, GRANTS, new, act)
        return new

    def import_grants(self, grants: Sequence[UnitGrant], by: str = "", *, dry_run: bool = False) -> list[Outcome]:
        """Give all of them or none; what became of each. One that is there already, word for word, is left. Number 0 takes the next.

        `dry_run`: check them, and give none. Raises Rejected, UsageError.
        """
        act = Act(person(by), self._people.clock.now_us())
        with self._env.write("import grants") as txn:

            def checked(grant: UnitGrant) -> UnitGrant:
                new = checked_grant(replace(grant, given=act))
                old = self._people.find_grant(txn, new.number) if new.number else None
                if old is not None and (old.revoked is not None or replace(old, given=act) != new):
                    raise Refused(
                        f"grant {new.number} says something else here, or was revoked; a grant never changes: give another, without an id"
                    )
                if old is not None:
                    return old
                if new.number > MAX_NUMBER:
                    raise UsageError(f"grant {new.number}: a file names numbers up to {MAX_NUMBER:,}")
                self._check_scope(txn, new)
                return new

            told = checked_all(grants, checked, "grants", MAX_IMPORT)
            news = [grant for grant in told if grant.given is act]
            # Those that say their number first, or one without would take it.
            for new in sorted(news, key=lambda grant: not grant.number) if not dry_run else ():
                self._give(txn, new)
        return [Outcome.ADDED if grant.given is act else Outcome.LEFT for grant in told]

    def _give(self, txn: WriteTxn, grant: UnitGrant) -> UnitGrant:
        """The next number, or the one that a file named and no grant has."""
        if grant.number:
            lift_number(txn, GRANTS, grant.number)
        else:
            grant = replace(grant, number=_next(txn, GRANTS))
        self._write(txn, GRANTS, grant, grant.given)
        return grant

    def _undecided(self, txn: ReadTxn, number: int, by: str) -> tuple[Application, Act]:
        old = present(self._people.find_application(txn, number), f"application {number}")
        if old.decided is not None:
            raise Refused(
                f"application {number} was decided at {format_local(old.decided.at_us)} by {old.decided.by}; ask anew"
            )
        act = Act(person(by), self._people.clock.now_us())
        if act.by.casefold() == old.asked.by.casefold():
            raise Refusal(f"application {number}: {old.asked.by} asked, so another person decides (--by)", "self", "Art. 13")
        self._refuse_other_roles(txn, act.by)
        return old, act

    def _refuse_other_roles(self, txn: ReadTxn, by: str) -> None:
        user = self._people.find_user(txn, by)
        if user is not None and not is_enabled_admin(user):
            raise Refusal(f"user {by} is no administrator, and grants nothing", "role", "Art. 13")

    def _refuse_strangers(self, txn: ReadTxn, unit_id: str, by: str) -> None:
        user = self._people.find_user(txn, by)
        if user is not None and not is_enabled_admin(user) and (user.disabled or user.unit != unit_id):
            raise Refusal(f"user {by} is not of unit {unit_id[:80]}, and asks for nothing in its name", "unit", "Art. 13")

    def _check_scope(self, txn: ReadTxn, said: Application | UnitGrant) -> None:
        """Raises Refusal, UsageError where the unit, a site or a camera is not there; a removed camera's footage is."""
        where = f"for {said.unit}"
        unit_of(self._people, txn, said.unit, where)
        registry = self._people.registry
        for site in said.sites:
            if site_of(txn, registry, site) is None:
                raise UsageError(f"{where}: there is no site {site[:80]!r}")
        for camera in said.cameras:
            if registry.fields(txn, camera_document(camera)) is None:
                raise UsageError(f"{where}: there is no camera #{camera}")
        if isinstance(said, UnitGrant) and said.application is not None:
            found = self._people.find_application(txn, said.application)
            if found is None or found.unit != said.unit:
                raise UsageError(f"{where}: there is no application {said.application} of this unit")

    def _write(self, txn: WriteTxn, kind: str, document: Application | UnitGrant, act: Act) -> None:
        self._people.registry.write(txn, named(kind, document.number), to_fields(document), act.at_us, act.by)


def _next(txn: WriteTxn, kind: str) -> int:
    name = f"last-{kind.removesuffix('s')}-number".encode()
    number = counter(txn, name) + 1
    set_counter(txn, name, number)
    return number


def _reason(text: str) -> str:
    return text_field("the reason", text, MAX_WHY_CHARS)
