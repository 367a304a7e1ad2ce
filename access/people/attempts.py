"""How often somebody tried to sign in and failed, and for how long they wait now: a bounded table, a lock that doubles.

An attempt is charged before its password is hashed, and taken back when it was right: so attempts side by side are counted too, and
what is locked costs one read. A name that is no user's is counted as a user's is: it gets the same answers after the same time. Rows of
such names, and of addresses, are so many at most, and those that failed longest ago go first.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from access.people.terminals import plain_address
from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.outbox import actor_here, record
from vault.clock import Clock
from vault.grant import Refusal
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import US, format_us

FIRST_LOCK_US: Final = 2 * US
LONGEST_LOCK_US: Final = 15 * 60 * US
MAX_ADDRESSES: Final = 4_096
MAX_STRANGERS: Final = 4_096
"""Names that are no user's. Few rows that they share would be fewer, but then a name that is locked at its first try is nobody's."""

_ROW: Final = struct.Struct("<BIQQ")
_VERSION: Final = 1
_USER, _STRANGER, _ADDRESS = b"u", b"x", b"a"


@dataclass(frozen=True, slots=True)
class Rule:
    """`free`: failures before the first lock. `forget_us`: without one for so long, all are forgotten."""

    free: int
    forget_us: int


BY_NAME: Final = Rule(10, 24 * 3600 * US)
BY_ADDRESS: Final = Rule(30, 3600 * US)
"""More are free and they are forgotten sooner: an office may be one address."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures of one row, the last at `last_us`; nothing is tried before `until_us`."""

    failures: int = 0
    last_us: int = 0
    until_us: int = 0

    def waits_us(self, now_us: int) -> int:
        """For how much longer it is locked, 0 when it is not. A lock that reaches too far was set by a clock that has stepped back."""
        left = self.until_us - now_us
        return left if 0 < left <= LONGEST_LOCK_US else 0

    def charged(self, rule: Rule, now_us: int) -> Tally:
        """With one failure more."""
        failures = 1 if self.is_forgotten(rule, now_us) else self.failures + 1
        doublings = failures - rule.free
        lock_us = 0 if doublings < 0 else min(LONGEST_LOCK_US, FIRST_LOCK_US << min(doublings, 20))
        return Tally(min(failures, 2**32 - 1), now_us, now_us + lock_us)

    def is_forgotten(self, rule: Rule, now_us: int) -> bool:
        return abs(now_us - self.last_us) > rule.forget_us


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt: the rows that it is charged to. `user`: empty where the name is nobody's or none was said."""

    rows: tuple[tuple[bytes, Rule], ...]
    user: str
    address: str


class Attempts:
    """The table of one environment, which every process of the node shares."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock

    def charge(self, name: str | None, *, known: bool, address: str) -> Charge:
        """Count one more attempt at this name (None: a token's, counted by its address alone) from this address.

        The host itself (no address) is never locked: whoever is there shares it with everybody, and needs no guess. Raises Refusal
        while name or address is locked.
        """
        rows = [(_address_key(address), BY_ADDRESS)] if address else []
        if name is not None:
            rows.insert(0, (_name_key(name, known=known), BY_NAME))
        charge = Charge(tuple(rows), name if name is not None and known else "", address)
        with self._env.read() as txn:
            self._refuse(txn, charge)
        with self._env.write("count attempt", frees=True) as txn:
            self._refuse(txn, charge)
            now_us = self._clock.now_us()
            for key, rule in charge.rows:
                if not key.startswith(_USER) and txn.get(Table.ATTEMPTS, key) is None:
                    _make_room(txn, key[:1], rule, now_us)
                txn.put(Table.ATTEMPTS, key, _pack(_tally(txn, key).charged(rule, now_us)))
        return charge

    def right(self, charge: Charge) -> None:
        """It was the right password: the name's failures are forgotten, and the address is charged one less."""
        with self._env.write("attempt was right", frees=True) as txn:
            for key, rule in charge.rows:
                left = _tally(txn, key).failures - 1
                if rule is BY_NAME or left <= 0:
                    txn.delete(Table.ATTEMPTS, key)
                else:
                    # The lock that the attempt itself may have set goes with it.
                    txn.put(Table.ATTEMPTS, key, _pack(Tally(left, self._clock.now_us(), 0)))

    def wrong(self, charge: Charge) -> None:
        """It was not. Where a lock has begun the ledger is told: so seldom as locks are long."""
        now_us = self._clock.now_us()
        with self._env.read() as txn:
            locked = [tally for key, _ in charge.rows if (tally := _tally(txn, key)).waits_us(now_us)]
        if not locked:
            return
        worst = max(locked, key=lambda tally: tally.until_us)
        subject: dict[str, Value] = {"user": charge.user} if charge.user else {}
        body: dict[str, Value] = {
            "what": "locked", "failures": worst.failures, "until": format_us(worst.until_us), "address": _address_key(charge.address)[2:].decode(),
        }  # fmt: skip
        with self._env.write("tell of a lock", frees=True) as txn:
            record(txn, NewEntry(Kind.ACCESS, actor_here("sign-in"), subject, body), now_us)

    def waits_us(self, user_id: str) -> int:
        """For how much longer a user is locked, 0 when they are not."""
        with self._env.read() as txn:
            return _tally(txn, _name_key(user_id, known=True)).waits_us(self._clock.now_us())

    def rows(self) -> int:
        """How many there are."""
        with self._env.read() as txn:
            return txn.entries(Table.ATTEMPTS)

    def _refuse(self, txn: ReadTxn, charge: Charge) -> None:
        now_us = self._clock.now_us()
        waits_us = max((_tally(txn, key).waits_us(now_us) for key, _ in charge.rows), default=0)
        if waits_us:
            raise Refusal(
                f"too many wrong passwords or tokens for this name or from this address; try again in {-(-waits_us // US)} s",
                "locked",
                "Art. 14 (7)",
            )


def forget(txn: WriteTxn, user_id: str) -> None:
    """A user has another password: what was guessed of the one before counts no more."""
    txn.delete(Table.ATTEMPTS, _name_key(user_id, known=True))


def _tally(txn: ReadTxn, key: bytes) -> Tally:
    raw = txn.get(Table.ATTEMPTS, key)
    if raw is None or len(raw) != _ROW.size or raw[0] != _VERSION:
        return Tally()
    return Tally(*_ROW.unpack(raw)[1:])


def _pack(tally: Tally) -> bytes:
    return _ROW.pack(_VERSION, tally.failures, tally.last_us, tally.until_us)


def _make_room(txn: WriteTxn, kind: bytes, rule: Rule, now_us: int) -> None:
    """Before an address or a stranger gets a row. Those that are forgotten go; where none is, the quarter that failed longest ago."""
    most = MAX_ADDRESSES if kind == _ADDRESS else MAX_STRANGERS
    if txn.entries(Table.ATTEMPTS) < most:
        return
    rows = [(key, _tally(txn, key)) for key, _ in txn.scan(Table.ATTEMPTS, kind + b"/", kind + b"0")]
    if len(rows) < most:
        return
    gone = [key for key, tally in rows if tally.is_forgotten(rule, now_us)]
    if not gone:
        rows.sort(key=lambda row: row[1].last_us)
        gone = [key for key, _ in rows[: len(rows) // 4]]
    for key in gone:
        txn.delete(Table.ATTEMPTS, key)


def _name_key(name: str, *, known: bool) -> bytes:
    if known:
        return _USER + b"/" + name.encode()
    return _STRANGER + b"/" + hashlib.blake2s(name.encode("utf-8", "replace"), digest_size=16).digest()


def _address_key(address: str) -> bytes:
    """IPv6 by the network that one customer has; what is no address is the host itself."""
    try:
        found = plain_address(address)
    except ValueError:
        return _ADDRESS + b"/"
    if isinstance(found, ipaddress.IPv6Address):
        found = ipaddress.ip_network((found, 64), strict=False).network_address
    return _ADDRESS + b"/" + str(found).encode()
