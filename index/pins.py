"""Pins: footage that somebody is reading right now and that deletion therefore waits for.

A pin lasts minutes and is renewed while the reading goes on, so that a reader that was killed or stopped keeps nothing; and
never longer than six hours from its first moment, because retention is law. It does not take the place of a hold.
The monotonic clock counts: every process of the host has the same one, and a step of the wall clock neither ends a pin nor
makes one last for ever. Pins of before a reboot are of no reader any more; their moments are over soon, or yet to come.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.rows import CAMERA, SegmentRow
from vault.clock import Clock
from vault.errors import Damaged, StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.timebase import US, Interval

RENEW_US: Final = 60 * US
LEASE_US: Final = 3 * RENEW_US
"""A pin that was not renewed for this long is over."""
LONGEST_US: Final = 6 * 3_600 * US
"""No pin outlasts this, however often it is renewed."""

_VERSION = 1
_MAX_OWNER_CHARS = 64

log = Log("index.pins")


@dataclass(frozen=True, slots=True)
class Pin:
    """Footage of this camera and time is being read by `owner`. `since_us`, `expires_us`: µs of the monotonic clock."""

    id: str
    camera: CameraNumber
    interval: Interval
    owner: str
    since_us: int
    expires_us: int

    @property
    def row_key(self) -> bytes:
        return CAMERA.pack(self.camera) + self.id.encode()

    def pack(self) -> bytes:
        fields = {
            "version": _VERSION, "start_us": self.interval.start_us, "end_us": self.interval.end_us, "owner": self.owner,
            "since_mono_us": self.since_us, "expires_mono_us": self.expires_us,
        }  # fmt: skip
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw_key: bytes, raw: bytes) -> Pin:
        try:
            fields = json.loads(raw)
            return cls(
                raw_key[4:].decode(),
                CameraNumber(CAMERA.unpack(raw_key[:4])[0]),
                Interval(int(fields["start_us"]), int(fields["end_us"])),
                str(fields["owner"]),
                int(fields["since_mono_us"]),
                int(fields["expires_mono_us"]),
            )
        except (ValueError, KeyError, TypeError, StreamvaultError) as error:
            raise Damaged("a pin cannot be read; nothing of its camera is deleted until it can") from error

    def lasts(self, mono_us: int) -> bool:
        """One that begins later than now was made before the last reboot."""
        return self.since_us <= mono_us < self.expires_us


def renewed(pin: Pin, mono_us: int) -> Pin:
    """The pin for another while, as far as its six hours go."""
    return replace(pin, expires_us=min(mono_us + LEASE_US, pin.since_us + LONGEST_US))


def pins_of(txn: ReadTxn, camera: CameraNumber) -> Iterator[Pin]:
    """Those that are over too."""
    prefix = CAMERA.pack(camera)
    for raw_key, raw in txn.scan(Table.PINS, prefix):
        if not raw_key.startswith(prefix):
            return
        yield Pin.unpack(raw_key, raw)


def pinning(txn: ReadTxn, row: SegmentRow, mono_us: int) -> Pin | None:
    """A pin that keeps this segment now."""
    return next(
        (pin for pin in pins_of(txn, row.key.camera) if pin.lasts(mono_us) and pin.interval.overlaps(row.interval)), None
    )


class Pins:
    """Pins over one environment. Every change is durable when the method returns."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._env = environment
        self._clock = clock

    def all(self) -> list[Pin]:
        """Those that last, by camera."""
        mono_us = self._clock.mono_us()
        with self._env.read() as txn:
            pins = [Pin.unpack(*item) for item in txn.scan(Table.PINS)]
        return [pin for pin in pins if pin.lasts(mono_us)]

    def put(self, pin: Pin) -> None:
        """Write it, and wipe those of its camera that are over."""
        with self._env.write("pin", frees=True) as txn:
            self._wipe(txn, pin.camera)
            txn.put(Table.PINS, pin.row_key, pin.pack())

    def drop(self, pin: Pin) -> None:
        """Reading is over. Repeatable."""
        with self._env.write("unpin", frees=True) as txn:
            txn.delete(Table.PINS, pin.row_key)

    def made(self, camera: CameraNumber, interval: Interval, owner: str) -> Pin:
        """A pin that begins now, not yet written."""
        mono_us = self._clock.mono_us()
        return renewed(Pin(secrets.token_hex(8), camera, interval, owner[:_MAX_OWNER_CHARS], mono_us, mono_us), mono_us)

    def _wipe(self, txn: WriteTxn, camera: CameraNumber) -> None:
        mono_us = self._clock.mono_us()
        for pin in [pin for pin in pins_of(txn, camera) if not pin.lasts(mono_us)]:
            txn.delete(Table.PINS, pin.row_key)


class Pinned:
    """A camera's footage of a range, pinned while the `with` lasts; a thread of its own renews the pin.

    `reach` widens the range before more is read. What the pin's six hours end in the middle of is still read as long as it is
    there: deletion does not ask the reader.
    """

    def __init__(self, pins: Pins, clock: Clock, camera: CameraNumber, interval: Interval, owner: str) -> None:
        self._pins = pins
        self._clock = clock
        self._pin = pins.made(camera, interval, f"{owner} (process {os.getpid()})")
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name="pin", daemon=True)

    def __enter__(self) -> Self:
        self._pins.put(self._pin)
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._renewer.join()
        self._pins.drop(self._pin)

    def reach(self, start_us: int) -> None:
        """Pin what is there from `start_us` on too, before it is looked for."""
        with self._lock:
            span = self._pin.interval
            if start_us < span.start_us:
                self._pin = renewed(replace(self._pin, interval=Interval(start_us, span.end_us)), self._clock.mono_us())
                self._pins.put(self._pin)

    def renew(self) -> None:
        """For another while. Raises StreamvaultError."""
        with self._lock:
            self._pin = renewed(self._pin, self._clock.mono_us())
            self._pins.put(self._pin)

    def _keep(self) -> None:
        while not self._done.wait(RENEW_US / US):
            try:
                self.renew()
            except StreamvaultError as error:
                # The reading itself goes on; the next minute tries again before the pin is over.
                log.warning("pin not renewed", camera=self._pin.camera, error=str(error))
