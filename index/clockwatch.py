"""The clock's guard at work: looks, judges (`vault.clockguard`), and remembers the latest confirmed time in the index.

Any process may look; they share what is remembered, and the monotonic clock is the host's. The alarm `clock unconfirmed` lasts
while the time is not believed. What follows in the ledger, and for the segments that got no minimum, is retention's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from index.alarms import Alarms
from index.cameranote import noted_clocks
from index.duties import Fields, duty_of, put_duty
from index.environment import Environment, Table
from index.outbox import record
from index.rows import CAMERA
from index.timeline import Timeline
from vault.cameraclocks import Votes, votes
from vault.clock import Clock, boot_id, kernel_time
from vault.clockguard import BY_PERSON, CEILING_US, FLOOR_US, Known, Ntp, Signs, Verdict, impossible, judge
from vault.errors import Refused
from vault.ids import CameraNumber
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.timebase import US

DUTY: Final = "clock"
ALARM: Final = "clock unconfirmed"
NOTE_US: Final = 60 * US
"""The confirmed time is noted about this often: what is behind it after a crash only counts as a longer pause."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """What is remembered. `since_us`: since when the time is not believed, by that very time; None while it is."""

    known: Known | None
    since_us: int | None
    why: str


def host_signs(clock: Clock) -> Signs:
    """What this host shows."""
    kernel = kernel_time()
    now_us, mono_us = clock.now_us(), clock.mono_us()
    if kernel is None:
        return Signs(now_us, mono_us, boot_id())
    return Signs(now_us, mono_us, boot_id(), Ntp.SYNCHRONISED if kernel.synchronised else Ntp.NOT, kernel.now_us)


class ClockWatch:
    """Over one environment; cheap to make."""

    def __init__(self, environment: Environment, clock: Clock, signs: Callable[[], Signs] | None = None) -> None:
        self._env = environment
        self._clock = clock
        self._signs = signs or (lambda: host_signs(clock))
        self._newest_us: int | None = None
        self._looked = False

    def trusted_us(self) -> int | None:
        """The time, None while it is not to be believed. Raises what the index raises."""
        signs = self._signs()
        return signs.now_us if self._look(signs).confirmed else None

    def trusted(self) -> bool:
        return self.trusted_us() is not None

    def look(self) -> Verdict:
        """The verdict now; noted when it is another one, or when the last note is old."""
        return self._look(self._signs())

    def state(self) -> ClockState:
        with self._env.read() as txn:
            return _state(duty_of(txn, DUTY) or {})

    def confirm(self, actor: str = "operator") -> int:
        """A person says that the clock is right; the outbox has it for the ledger. Returns the time that was confirmed. Raises
        Refused for one that cannot be."""
        signs = self._signs()
        if why := impossible(signs):
            raise Refused(f"the clock cannot be confirmed: {why}; set it first")
        with self._env.write("confirm clock", frees=True) as txn:
            put_duty(txn, DUTY, (duty_of(txn, DUTY) or {}) | _known_fields(signs, True) | {"since_us": None, "why": BY_PERSON})
            body: dict[str, Value] = {"confirmed_us": signs.now_us, "why": BY_PERSON}
            record(txn, NewEntry(Kind.CLOCK, actor, {}, body), signs.now_us)
        Alarms(self._env, self._clock).end(ALARM, "")
        return signs.now_us

    def cameras(self) -> Votes:
        """What the cameras' clocks say of the time now."""
        signs = self._signs()
        with self._env.read() as txn:
            return votes(noted_clocks(txn, signs.mono_us, signs.boot), signs.now_us, signs.mono_us)

    def _look(self, signs: Signs) -> Verdict:
        with self._env.read() as txn:
            state = _state(duty_of(txn, DUTY) or {})
            said = votes(noted_clocks(txn, signs.mono_us, signs.boot), signs.now_us, signs.mono_us)
        signs = replace(signs, agreeing=said.agreeing, disagreeing=said.disagreeing)
        if state.known is None:
            signs = replace(signs, newest_us=self._newest())
        verdict = judge(state.known, signs)
        if verdict.confirmed:
            noted_us = None if state.known is None else signs.mono_us - state.known.mono_us
            if state.since_us is not None or noted_us is None or not 0 <= noted_us < NOTE_US or self._rebooted(state, signs):
                by_person = state.known is not None and state.known.by_person and verdict.why == BY_PERSON
                self._note(_known_fields(signs, by_person) | {"since_us": None, "why": verdict.why})
                Alarms(self._env, self._clock).end(ALARM, "")
        elif state.since_us is None or state.why != verdict.why:
            since_us = signs.now_us if state.since_us is None else state.since_us
            self._note({"since_us": since_us, "why": verdict.why})
            message = (
                f"the clock is not believed: {verdict.why}; nothing is deleted until it agrees, or `streamvault clock confirm`"
            )
            Alarms(self._env, self._clock).begin(ALARM, "", message)
        return verdict

    def _newest(self) -> int | None:
        """Where the newest footage ends that has a time that can be. Looked for once: what comes later has our own clock's."""
        if not self._looked:
            timeline = Timeline(self._env)
            ends = [end_us for camera in self._cameras() if (end_us := timeline.last_end_us(camera)) is not None]
            self._newest_us = max((end_us for end_us in ends if FLOOR_US <= end_us < CEILING_US), default=None)
            self._looked = True
        return self._newest_us

    def _cameras(self) -> list[CameraNumber]:
        with self._env.read() as txn:
            return [CameraNumber(CAMERA.unpack(raw_key)[0]) for raw_key, _ in txn.scan(Table.USAGE)]

    def _rebooted(self, state: ClockState, signs: Signs) -> bool:
        return state.known is not None and state.known.boot != signs.boot

    def _note(self, fields: Fields) -> None:
        with self._env.write("note clock", frees=True) as txn:
            put_duty(txn, DUTY, (duty_of(txn, DUTY) or {}) | fields)


def _known_fields(signs: Signs, by_person: bool) -> Fields:
    return {"confirmed_us": signs.now_us, "mono_us": signs.mono_us, "boot": signs.boot, "by_person": by_person}


def _state(duty: Fields) -> ClockState:
    known = None
    if "confirmed_us" in duty:
        known = Known(int(duty["confirmed_us"]), int(duty["mono_us"]), str(duty["boot"]), duty.get("by_person") is True)
    since = duty.get("since_us")
    return ClockState(known, None if since is None else int(since), str(duty.get("why", "")))
