"""Changing units and their terminals. What a unit may be is `checked`'s; what it may do is in its grants.

Every change is durable when the method returns, and told to the ledger by the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from access.people.admins import keep_an_administrator
from access.people.checked import MAX_IMPORT, checked_terminal, checked_unit, person
from access.people.documents import GRANTS, UNITS, USERS, fitting, grant_from, named, to_fields, user_from
from access.people.model import Terminal, Unit
from access.people.people import Ids, People, present
from index.batch import Outcome, checked_all, outcome
from index.cameras import camera_document, camera_from
from index.environment import ReadTxn, WriteTxn
from vault.errors import NotFound, Refused, UsageError
from vault.grant import Refusal


class Units:
    """The units of `people`'s registry."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._env = people.environment

    def add(self, unit: Unit, by: str = "") -> Unit:
        """Raises UsageError for a bad field or an id that was given; Refusal for what the rule demands."""
        with self._env.write("add unit") as txn:
            return self._put(txn, None, unit, by)

    def change(self, unit_id: str, change: Callable[[Unit], Unit], by: str = "") -> Unit:
        """What `change` makes of the unit. Raises NotFound, UsageError, Refusal; Refused where no administrator would be left."""
        with self._env.write("change unit") as txn:
            old = present(self._people.find_unit(txn, unit_id), f"unit {unit_id[:80]!r}")
            return self._put(txn, old, change(old), by)

    def remove(self, unit_id: str, by: str = "") -> Unit:
        """Its document stays. Raises NotFound; Refused while it has users, or grants that nobody revoked."""
        with self._env.write("remove unit") as txn:
            old = present(self._people.find_unit(txn, unit_id), f"unit {unit_id[:80]!r}")
            registry = self._people.registry
            users = [
                user.id
                for user in map(user_from, registry.all_fields(txn, USERS))
                if user.unit == unit_id and user.removed_us is None
            ]
            grants = [
                grant.number
                for grant in map(grant_from, registry.all_fields(txn, GRANTS))
                if grant.unit == unit_id and grant.revoked is None
            ]
            if users or grants:
                whose = f"users {', '.join(users[:10])}" if users else f"grants {', '.join(map(str, grants[:10]))}"
                raise Refused(f"unit {unit_id} stays while there are {whose}; remove or revoke them, or `unit set --disable`")
            gone = replace(old, removed_us=self._people.clock.now_us())
            self._write(txn, old, gone, by)
        return gone

    def import_units(self, units: Sequence[Unit], by: str = "", *, dry_run: bool = False) -> list[Outcome]:
        """Add or set all of them or none; what became of each. Those that were there keep their terminals.

        `dry_run`: check them, and change nothing. Raises Rejected, UsageError; Refused where no administrator would be left.
        """
        with self._env.write("import units") as txn:
            olds = {unit.id: self._people.find_unit(txn, unit.id) for unit in units}
            ids = Ids(txn, self._people.registry, UNITS)

            def checked(unit: Unit) -> Unit:
                old = olds[unit.id]
                return self._checked(txn, old, unit if old is None else replace(unit, terminals=old.terminals), ids)

            news = checked_all(units, checked, "units", MAX_IMPORT)
            keep_an_administrator(self._people, txn, units=news)
            if not dry_run:
                for new in news:
                    self._write(txn, olds[new.id], new, by)
        return [outcome(olds[new.id], new) for new in news]

    def put_terminals(self, terminals: Sequence[tuple[str, Terminal]], by: str = "", *, dry_run: bool = False) -> list[Outcome]:
        """Declare terminals, each with its unit's id; one whose address the unit declared is set. All of them or none; what became
        of each. `dry_run`: check them, and change nothing. Raises Rejected, UsageError."""
        with self._env.write("put terminals") as txn:
            units: dict[str, Unit] = {}
            declared: dict[str, dict[str, Terminal]] = {}

            def checked(item: tuple[str, Terminal]) -> Outcome:
                unit_id, terminal = item
                if unit_id not in units:
                    units[unit_id] = present(self._people.find_unit(txn, unit_id), f"unit {unit_id[:80]!r}")
                    declared[unit_id] = {old.address: old for old in units[unit_id].terminals}
                told = checked_terminal(f"unit {unit_id}", terminal)
                old = declared[unit_id].get(told.address)
                declared[unit_id][told.address] = told
                return outcome(old, told)

            outcomes = checked_all(terminals, checked, "terminals", MAX_IMPORT)
            news = [
                self._checked(txn, units[unit_id], replace(units[unit_id], terminals=tuple(found.values())))
                for unit_id, found in declared.items()
            ]
            if not dry_run:
                for new in news:
                    self._write(txn, units[new.id], new, by)
        return outcomes

    def put_terminal(self, unit_id: str, terminal: Terminal, by: str = "") -> bool:
        """Declare one, or set the one of this address; whether there was one. Raises NotFound, UsageError, Refusal."""
        known = False

        def having(old: Unit) -> Unit:
            nonlocal known
            told = checked_terminal(f"unit {unit_id}", terminal)
            left = {item.address: item for item in old.terminals}
            known = told.address in left
            return replace(old, terminals=tuple((left | {told.address: told}).values()))

        self.change(unit_id, having, by)
        return known

    def drop_terminal(self, unit_id: str, address: str, by: str = "") -> Unit:
        """Raises NotFound."""

        def without(old: Unit) -> Unit:
            left = tuple(item for item in old.terminals if item.address != address)
            if len(left) == len(old.terminals):
                raise NotFound(f"unit {unit_id}: declared no terminal {address[:64]!r}; `unit terminal list` shows them")
            return replace(old, terminals=left)

        return self.change(unit_id, without, by)

    def _put(self, txn: WriteTxn, old: Unit | None, unit: Unit, by: str) -> Unit:
        new = self._checked(txn, old, unit, Ids(txn, self._people.registry, UNITS) if old is None else None)
        keep_an_administrator(self._people, txn, units=[new])
        self._write(txn, old, new, by)
        return new

    def _checked(self, txn: ReadTxn, old: Unit | None, unit: Unit, ids: Ids | None = None) -> Unit:
        new = checked_unit(unit)
        if old is None:
            assert ids is not None
            ids.take(new.id)
        elif old.removed_us is not None:
            raise UsageError(f"unit {new.id!r} was removed, and its id is given to nobody again; name another")
        elif (new.id, new.removed_us) != (old.id, None):
            raise UsageError(f"unit {old.id}: its id stays")
        if new.viewing_camera is not None and (old is None or new.viewing_camera != old.viewing_camera):
            self._check_camera(txn, new)
        fitting(named(UNITS, new.id), to_fields(new))
        return new

    def _write(self, txn: WriteTxn, old: Unit | None, new: Unit, by: str) -> None:
        if new != old:
            self._people.registry.write(txn, named(UNITS, new.id), to_fields(new), self._people.clock.now_us(), person(by))

    def _check_camera(self, txn: ReadTxn, unit: Unit) -> None:
        assert unit.viewing_camera is not None
        fields = self._people.registry.fields(txn, camera_document(unit.viewing_camera))
        if fields is None or camera_from(fields).is_removed:
            raise Refusal(
                f"unit {unit.id}: its viewing room is shown by a camera that is there, and #{unit.viewing_camera} is not",
                "viewing",
                "Art. 14 (2)",
            )


def unit_of(people: People, txn: ReadTxn, unit_id: str, where: str) -> Unit:
    """The unit that something is for. Raises Refusal where it is not there."""
    unit = people.find_unit(txn, unit_id)
    if unit is None or unit.removed_us is not None:
        raise Refusal(
            f"{where}: there is no unit {unit_id[:80]!r}; a unit is registered before anything is for it", "unit", "Art. 13"
        )
    return unit
