"""Changing units and their terminals. What a unit may be is `checked`'s; what it may do is in its grants.

Every change is durable when the method returns, and told to the ledger by the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from access.people.admins import keep_an_administrator
from access.people.checked import checked_terminal, checked_unit
from access.people.documents import GRANTS, UNITS, USERS, grant_from, named, to_fields, user_from
from access.people.model import Terminal, Unit
from access.people.people import People, present, refuse_twin
from index.cameras import camera_document, camera_from
from index.environment import ReadTxn, WriteTxn
from vault.errors import NotFound, Refused, UsageError
from vault.grant import Refusal

MAX_IMPORT: Final = 1_000


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
            self._write(txn, gone, by)
        return gone

    def import_units(self, units: Sequence[Unit], by: str = "") -> tuple[int, int]:
        """Add or set all of them or none; how many were added and how many set. A unit that is there keeps its terminals.

        Raises as `add` and `change` do. One transaction, in which each document is synced: so there may not be many.
        """
        if len(units) > MAX_IMPORT:
            raise UsageError(f"{len(units)} units in one import; at most {MAX_IMPORT}, so split it")
        known = 0
        with self._env.write("import units") as txn:
            for unit in units:
                old = self._people.find_unit(txn, unit.id)
                known += old is not None
                self._put(txn, old, unit if old is None else replace(unit, terminals=old.terminals), by)
        return len(units) - known, known

    def put_terminals(self, terminals: Iterable[tuple[str, Terminal]], by: str = "") -> tuple[int, int]:
        """Declare terminals, each with its unit's id; one whose address the unit declared is set. How many were added and set.

        All of them or none. Raises NotFound, UsageError, Refusal.
        """
        added = known = 0
        with self._env.write("put terminals") as txn:
            changed: dict[str, dict[str, Terminal]] = {}
            for unit_id, terminal in terminals:
                if unit_id not in changed:
                    unit = present(self._people.find_unit(txn, unit_id), f"unit {unit_id[:80]!r}")
                    changed[unit_id] = {item.address: item for item in unit.terminals}
                told = checked_terminal(f"unit {unit_id}", terminal)
                known += told.address in changed[unit_id]
                added += told.address not in changed[unit_id]
                changed[unit_id][told.address] = told
            for unit_id, found in changed.items():
                old = self._people.find_unit(txn, unit_id)
                assert old is not None
                self._put(txn, old, replace(old, terminals=tuple(found.values())), by)
        return added, known

    def drop_terminal(self, unit_id: str, address: str, by: str = "") -> Unit:
        """Raises NotFound."""

        def without(old: Unit) -> Unit:
            left = tuple(item for item in old.terminals if item.address != address)
            if len(left) == len(old.terminals):
                raise NotFound(f"unit {unit_id}: declared no terminal {address[:64]!r}; `unit terminal list` shows them")
            return replace(old, terminals=left)

        return self.change(unit_id, without, by)

    def _put(self, txn: WriteTxn, old: Unit | None, unit: Unit, by: str) -> Unit:
        new = checked_unit(unit)
        if old is None:
            refuse_twin("unit", new.id, [str(fields["id"]) for fields in self._people.registry.all_fields(txn, UNITS)])
        elif old.removed_us is not None:
            raise UsageError(f"unit {new.id!r} was removed, and its id is given to nobody again; name another")
        elif (new.id, new.removed_us) != (old.id, None):
            raise UsageError(f"unit {old.id}: its id stays")
        if new == old:
            return new
        if new.viewing_camera is not None and (old is None or new.viewing_camera != old.viewing_camera):
            self._check_camera(txn, new)
        self._write(txn, new, by)
        if new.disabled:
            keep_an_administrator(self._people, txn)
        return new

    def _write(self, txn: WriteTxn, unit: Unit, by: str) -> None:
        self._people.registry.write(txn, named(UNITS, unit.id), to_fields(unit), self._people.clock.now_us(), by)

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
