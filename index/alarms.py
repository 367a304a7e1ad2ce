"""What is wrong with the node and lasts: one row from when it begins until it ends, and an event for each of the two.

An alarm is named by its kind and its subject. Beginning one that lasts only changes its message, so whoever watches something may
say at every look what it sees, and a process that begins anew goes on where the one before it stopped. The events are numbered and
wait in the index until they were told to everybody who is to know (`index.alarm_sender`).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from index.environment import Environment, ReadTxn, Table, WriteTxn
from vault.clock import Clock, SystemClock
from vault.errors import Damaged, UsageError
from vault.logs import Log

log = Log("index.alarms")

MAX_EVENTS = 10_000
"""Older ones are dropped, told or not: a receiver that is away for good must not fill the index."""

_MAX_NAME = 200
_MAX_MESSAGE = 1_000
_SEQUENCE = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Alarm:
    """`kind`: what sort of trouble, a fixed lower-case name; `subject`: what it is about, empty where there is one only."""

    kind: str
    subject: str
    message: str
    since_us: int


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """An alarm began, or ended when `ended_us` is not None. `sequence` rises and is never given twice."""

    sequence: int
    alarm: Alarm
    ended_us: int | None = None


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
            lasting = _lasting(txn, raw_key)
        if lasting is not None and lasting.message == message:
            return False
        with self._env.write("begin alarm", frees=True) as txn:
            lasting = _lasting(txn, raw_key)
            alarm = Alarm(kind, subject, message, lasting.since_us if lasting else self._clock.now_us())
            txn.put(Table.ALARMS, raw_key, _pack(message=message, since_us=alarm.since_us))
            if lasting is None:
                _note(txn, alarm, None)
        return lasting is None

    def end(self, kind: str, subject: str) -> bool:
        """It is over. False when it did not last."""
        raw_key = _key(kind, subject)
        with self._env.read() as txn:
            if _lasting(txn, raw_key) is None:
                return False
        with self._env.write("end alarm", frees=True) as txn:
            lasting = _lasting(txn, raw_key)
            if lasting is not None:
                txn.delete(Table.ALARMS, raw_key)
                _note(txn, lasting, self._clock.now_us())
        return lasting is not None

    def say(self, kind: str, message: str) -> None:
        """It is so for as long as there is a message; its beginning and its end are in the log."""
        if message:
            if self.begin(kind, "", message):
                log.warning(kind, error=message)
        elif self.end(kind, ""):
            log.info("alarm over", reason=kind)

    def lasting(self) -> list[Alarm]:
        """By kind and subject."""
        with self._env.read() as txn:
            return [_unpack(raw_key, raw) for raw_key, raw in txn.scan(Table.ALARMS)]

    def events(self, after: int = 0, limit: int = 100) -> list[AlarmEvent]:
        """The events that came after number `after`, in order."""
        found: list[AlarmEvent] = []
        with self._env.read() as txn:
            for raw_key, raw in txn.scan(Table.ALARM_EVENTS, _SEQUENCE.pack(after + 1)):
                found.append(_unpack_event(raw_key, raw))
                if len(found) == limit:
                    break
        return found

    def last_event(self) -> int:
        """Number of the newest event, 0 when there was none."""
        with self._env.read() as txn:
            return _last(txn)

    def told(self, receiver: str) -> int:
        """Number of the last event that this receiver has."""
        with self._env.read() as txn:
            raw = txn.get(Table.META, _cursor(receiver))
        return 0 if raw is None else int.from_bytes(raw, "big")

    def introduce(self, receiver: str) -> None:
        """A receiver that nobody has told of anything is not told what was over before it came: its first event is the oldest
        that an alarm which lasts began with, or the next one."""
        with self._env.write("introduce receiver", frees=True) as txn:
            if txn.get(Table.META, _cursor(receiver)) is None:
                txn.put(Table.META, _cursor(receiver), _SEQUENCE.pack(_last_over(txn)))

    def note_told(self, receiver: str, sequence: int) -> None:
        with self._env.write("note alarm told", frees=True) as txn:
            txn.put(Table.META, _cursor(receiver), _SEQUENCE.pack(sequence))


def _note(txn: WriteTxn, alarm: Alarm, ended_us: int | None) -> None:
    sequence = _last(txn) + 1
    raw = _pack(kind=alarm.kind, subject=alarm.subject, message=alarm.message, since_us=alarm.since_us, ended_us=ended_us)
    txn.put(Table.ALARM_EVENTS, _SEQUENCE.pack(sequence), raw)
    if sequence > MAX_EVENTS:
        txn.delete(Table.ALARM_EVENTS, _SEQUENCE.pack(sequence - MAX_EVENTS))


def _last_over(txn: ReadTxn) -> int:
    """Number of the last event before the oldest that an alarm which lasts began with."""
    lasting = {_unpack(raw_key, raw) for raw_key, raw in txn.scan(Table.ALARMS)}
    begun = {(alarm.kind, alarm.subject, alarm.since_us) for alarm in lasting}
    for raw_key, raw in txn.scan(Table.ALARM_EVENTS):
        event = _unpack_event(raw_key, raw)
        if (event.alarm.kind, event.alarm.subject, event.alarm.since_us) in begun:
            return event.sequence - 1
    return _last(txn)


def _last(txn: ReadTxn) -> int:
    newest = txn.last_before(Table.ALARM_EVENTS, b"\xff" * 9)
    return 0 if newest is None else int.from_bytes(newest[0], "big")


def _cursor(receiver: str) -> bytes:
    return f"alarm-told/{receiver}".encode()


def _key(kind: str, subject: str) -> bytes:
    raw = f"{kind}\0{subject}".encode()
    if not kind or "\0" in kind or len(raw) > _MAX_NAME:
        raise UsageError(f"an alarm's kind and subject are {len(raw)} bytes together; at most {_MAX_NAME}, the kind not empty")
    return raw


def _pack(**fields: object) -> bytes:
    return json.dumps({"version": 1, **fields}, ensure_ascii=False, separators=(",", ":")).encode()


def _lasting(txn: ReadTxn, raw_key: bytes) -> Alarm | None:
    raw = txn.get(Table.ALARMS, raw_key)
    return None if raw is None else _unpack(raw_key, raw)


def _unpack(raw_key: bytes, raw: bytes) -> Alarm:
    kind, _, subject = raw_key.decode(errors="replace").partition("\0")
    value = _fields(raw)
    return Alarm(kind, subject, str(value["message"]), value["since_us"])


def _unpack_event(raw_key: bytes, raw: bytes) -> AlarmEvent:
    value = _fields(raw)
    alarm = Alarm(str(value.get("kind")), str(value.get("subject")), str(value["message"]), value["since_us"])
    ended_us = value.get("ended_us")
    return AlarmEvent(_SEQUENCE.unpack(raw_key)[0], alarm, ended_us if isinstance(ended_us, int) else None)


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
        if not isinstance(value["message"], str) or type(value["since_us"]) is not int:
            raise ValueError("not a row of alarms")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("a row of the alarms cannot be read; run `index rebuild`") from error
    return dict(value)
