"""What is known of those who use footage: values only. Where they are kept, and which may be written, is in the modules beside it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from vault.grant import Action
from vault.ids import CameraNumber
from vault.timebase import Interval


class Role(enum.StrEnum):
    """What a user is here for; each has exactly one."""

    ADMIN = "admin"
    """Keeps people, sites and grants; sees footage only where a grant of their unit says so."""
    INVESTIGATOR = "investigator"
    """Of the police: sees and takes any camera's footage, with purpose and case on record."""
    UNIT = "unit"
    """Of a using unit: what its grants say, from its terminals, before its viewing-room camera."""
    PLANNER = "planner"
    """Capacity only, no footage."""
    INSPECTOR = "inspector"
    """Reports, register and ledger; no footage."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who did it, and when."""

    by: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Terminal:
    """A declared machine (Art. 14 (3)). `address`: an IP address or a network in CIDR form."""

    address: str
    place: str
    person: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A using unit 使用单位. `valid_from_us`, `valid_to_us`: the sharing agreement's term, half-open; `valid_to_us` None has no end.

    `viewing_camera`: the camera that shows its operators (Art. 14 (2)). `approval`: its exports wait for a second person.
    `disabled`: none of its users may sign in. One that was removed keeps its document, and nobody gets its id again.
    """

    id: str
    name: str = ""
    agreement: str = ""
    valid_from_us: int = 0
    valid_to_us: int | None = None
    scope: str = ""
    rules_ref: str = ""
    leader: str = ""
    terminals: tuple[Terminal, ...] = ()
    viewing_camera: CameraNumber | None = None
    approval: bool = False
    disabled: bool = False
    removed_us: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """`unit` is empty for an administrator who belongs to none. `trained_on`: ISO date, empty where nobody said so.

    `password_hash`: argon2's encoded form, empty where no password can open; `password_set_us`: since when it is that password; rises with each.
    `must_change`: nothing else is allowed before. A removed user's id is nobody's again, so that the register means one person.
    """

    id: str
    role: Role
    unit: str = ""
    real_name: str = ""
    staff_number: str = ""
    trained_on: str = ""
    password_hash: str = field(default="", repr=False)
    password_set_us: int = 0
    must_change: bool = False
    disabled: bool = False
    removed_us: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """A unit asks (Art. 13, 14). `window`: the footage it asks for. `granted` None: nobody decided yet; `grant`: what came of it."""

    number: int
    unit: str
    sites: tuple[str, ...]
    cameras: tuple[CameraNumber, ...]
    actions: frozenset[Action]
    window: Interval
    work: str
    asked: Act
    decided: Act | None = None
    granted: bool | None = None
    reason: str = ""
    grant: int | None = None


@dataclass(frozen=True, slots=True)
class UnitGrant:
    """What a unit may do: the cameras of `sites` and `cameras` themselves, footage of `window`, while `valid` holds.

    Instants are UTC µs, half-open; an open end is `MAX_US`.
    """

    number: int
    unit: str
    sites: tuple[str, ...]
    cameras: tuple[CameraNumber, ...]
    actions: frozenset[Action]
    window: Interval
    valid: Interval
    given: Act
    application: int | None = None
    why: str = ""
    revoked: Act | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """For programs. `secret_hash`: SHA-256 of 32 random bytes, hex. `actions` empty: no footage, only reports."""

    id: str
    user: str
    secret_hash: str = field(repr=False)
    actions: frozenset[Action]
    made: Act
    expires_us: int
    revoked: Act | None = None

    def holds(self, now_us: int) -> bool:
        return self.revoked is None and now_us < self.expires_us


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks, known by now. `user` None: the operator at the host, without a user. `address`: of the terminal; "" is the host itself.

    `token`: the token's id when one was used; its `actions` narrow what the user may.
    """

    actor: str
    user: User | None = None
    unit: Unit | None = None
    address: str = ""
    token: Token | None = None
