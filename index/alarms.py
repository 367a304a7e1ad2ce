"""What is wrong with the node and lasts: one row from when it is raised until it ends. Telling people of it is done elsewhere.

An alarm is named by its kind and its subject. Raising one that lasts only changes its message, so whoever watches something may
say at every look what it sees, and a process that begins anew goes on where the one before it stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from index.environment import Environment, Table
from vault.clock import Clock, SystemClock
from vault.errors import Damaged, UsageError

_MAX_NAME = 200
_MAX_MESSAGE = 1_000


@dataclass(frozen=True, slots=True)
class Alarm:
    """`kind`: what sort of trouble, a fixed lower-case name; `subject`: what it is about, empty where there is one only."""

    kind: str
    subject: str
    message: str
    since_us: int


class Alarms:
    """The alarms that last, over one environment. A call that changes nothing writes nothing."""

    def __init__(self, environment: Environment, clock: Clock | None = None) -> None:
        self._env = environment
        self._clock = clock or SystemClock()

    def begin(self, kind: str, subject: str, message: str) -> bool:
        """It is so, or still so. True when it is new."""
        raw_key = _key(kind, subject)
        message = message[:_MAX_MESSAGE]
        with self._env.read() as txn:
            raw = txn.get(Table.ALARMS, raw_key)
        if raw is not None and _unpack(raw_key, raw).message == message:
            return False
        with self._env.write("begin alarm", frees=True) as txn:
            raw = txn.get(Table.ALARMS, raw_key)
            since_us = self._clock.now_us() if raw is None else _unpack(raw_key, raw).since_us
            value = {"version": 1, "message": message, "since_us": since_us}
            txn.put(Table.ALARMS, raw_key, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        return raw is None

    def end(self, kind: str, subject: str) -> bool:
        """It is over. False when it did not last."""
        raw_key = _key(kind, subject)
        with self._env.read() as txn:
            if txn.get(Table.ALARMS, raw_key) is None:
                return False
        with self._env.write("end alarm", frees=True) as txn:
            return txn.delete(Table.ALARMS, raw_key)

    def lasting(self) -> list[Alarm]:
        """By kind and subject."""
        with self._env.read() as txn:
            return [_unpack(raw_key, raw) for raw_key, raw in txn.scan(Table.ALARMS)]


def _key(kind: str, subject: str) -> bytes:
    raw = f"{kind}\0{subject}".encode()
    if not kind or "\0" in kind or len(raw) > _MAX_NAME:
        raise UsageError(f"an alarm's kind and subject are {len(raw)} bytes together; at most {_MAX_NAME}, the kind not empty")
    return raw


def _unpack(raw_key: bytes, raw: bytes) -> Alarm:
    try:
        kind, _, subject = raw_key.decode().partition("\0")
        value = json.loads(raw)
        return Alarm(kind, subject, str(value["message"]), int(value["since_us"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("a row of the alarms cannot be read; run `index rebuild`") from error
