"""What the rule asks a unit to declare and it has not: a decision over values, for those who grant and those who inspect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from access.people.model import Role, Unit, User


@dataclass(frozen=True, slots=True)
class Lack:
    """`what` is missing, or over; `article` demands it."""

    what: str
    article: str


def lacks_of(unit: Unit, users: Iterable[User], now_us: int) -> list[Lack]:
    """In the order of the rule's articles."""
    found = []
    if not unit.agreement:
        found.append(Lack("a sharing agreement", "Art. 14"))
    elif now_us < unit.valid_from_us:
        found.append(Lack("an agreement that has begun", "Art. 14"))
    elif unit.valid_to_us is not None and unit.valid_to_us <= now_us:
        found.append(Lack("an agreement that is not over", "Art. 14"))
    if not unit.scope:
        found.append(Lack("a declared scope", "Art. 14 (4)"))
    if not unit.rules_ref:
        found.append(Lack("security rules of its own", "Art. 14"))
    untrained = sorted(
        user.id
        for user in users
        if user.unit == unit.id and user.role is Role.UNIT and not user.trained_on and user.removed_us is None
    )
    if untrained:
        found.append(Lack(f"training of {', '.join(untrained[:10])}", "Art. 14"))
    if unit.viewing_camera is None:
        found.append(Lack("a camera that shows its viewing room", "Art. 14 (2)"))
    if not unit.terminals:
        found.append(Lack("declared terminals", "Art. 14 (3)"))
    if not unit.leader:
        found.append(Lack("a responsible leader", "Art. 14 (3)"))
    return found
