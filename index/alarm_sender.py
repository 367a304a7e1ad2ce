"""Telling people of alarms: each event, in order, to each receiver that is configured, until it was taken.

A receiver that is away is tried again, later and later, and holds up no other. How far each is stands in the index, so a new
process goes on there. A death between a receiver's yes and our note of it tells one event twice: its number says so.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from index.alarms import AlarmEvent, Alarms
from vault.config import Config
from vault.logs import Log
from vault.syslog import Priority, SyslogAddress, SyslogMessage, SyslogSender
from vault.timebase import format_us
from vault.webhook import Webhook

log = Log("index.alarm_sender")

LOOK_SECONDS = 1.0
LAST_BACKOFF_SECONDS = 60.0


class Receiver(Protocol):
    """Somebody who is told."""

    def tell(self, event: AlarmEvent) -> None:
        """Raises StreamvaultError when it was not taken."""
        ...

    def close(self) -> None: ...


class WebhookReceiver:
    """One POST an event; any 2xx takes it."""

    def __init__(self, hook: Webhook, host: str) -> None:
        self._hook = hook
        self._host = host

    def tell(self, event: AlarmEvent) -> None:
        self._hook.post({"host": self._host, **as_document(event)})

    def close(self) -> None:
        self._hook.close()


class SyslogReceiver:
    """One message an event, msgid `ALARM`."""

    def __init__(self, sender: SyslogSender) -> None:
        self._sender = sender

    def tell(self, event: AlarmEvent) -> None:
        alarm, over = event.alarm, event.ended_us is not None
        fields = {
            "event": str(event.sequence),
            "kind": alarm.kind,
            "subject": alarm.subject,
            "state": "ended" if over else "begun",
        }
        fields["since"] = format_us(alarm.since_us)
        at_us = alarm.since_us if event.ended_us is None else event.ended_us
        subject = f" {alarm.subject}" if alarm.subject else ""
        text = f"{alarm.kind}{subject}: {'over' if over else alarm.message}"
        priority = Priority.NOTICE if over else Priority.ERROR
        self._sender.send(SyslogMessage(at_us, priority, "ALARM", text, fields), os.getpid())

    def close(self) -> None:
        self._sender.close()


def as_document(event: AlarmEvent) -> dict[str, object]:
    """An event as JSON for programs."""
    return {
        "event": event.sequence,
        "state": "begun" if event.ended_us is None else "ended",
        "kind": event.alarm.kind,
        "subject": event.alarm.subject,
        "message": event.alarm.message,
        "since": format_us(event.alarm.since_us),
        "ended": None if event.ended_us is None else format_us(event.ended_us),
    }


def receivers(config: Config, folder: Path) -> dict[str, Receiver]:
    """Who is configured, by name. Raises ConfigError."""
    alarms, found = config.alarms, dict[str, Receiver]()
    authorities = folder / alarms.tls_ca_file if alarms.tls_ca_file else None
    if alarms.webhook:
        token = folder / alarms.webhook_token_file if alarms.webhook_token_file else None
        found["webhook"] = WebhookReceiver(Webhook(alarms.webhook, token, authorities), os.uname().nodename)
    if alarms.syslog:
        found["syslog"] = SyslogReceiver(SyslogSender(SyslogAddress.parse(alarms.syslog), authorities))
    return found


class AlarmSender:
    """A thread for each receiver: one that hangs until its timeout holds up nobody else."""

    def __init__(self, alarms: Alarms, to: Mapping[str, Receiver]) -> None:
        self._alarms = alarms
        self._to = to
        self._stop = threading.Event()
        for name in to:
            alarms.introduce(name)
        self._threads = [threading.Thread(target=self._run, args=(name,), name=f"alarms to {name}", daemon=True) for name in to]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """What is not told by then is told by the next process."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)

    def waiting(self) -> dict[str, int]:
        """How many events each receiver has not been told of."""
        last = self._alarms.last_event()
        return {name: last - self._alarms.told(name) for name in self._to}

    def run_once(self, name: str) -> None:
        """Tell this receiver all that it does not know. Raises what the receiver or the index raises."""
        while events := self._alarms.events(self._alarms.told(name)):
            for event in events:
                self._to[name].tell(event)
                self._alarms.note_told(name, event.sequence)

    def _run(self, name: str) -> None:
        wait = backoff = 0.0
        while not self._stop.wait(wait):
            try:
                self.run_once(name)
                wait, backoff = LOOK_SECONDS, 0.0
            except Exception as error:  # the next round repeats it; a thread that is gone tells nobody
                wait = backoff = min(LAST_BACKOFF_SECONDS, max(LOOK_SECONDS, backoff * 2))
                log.warning("alarm not told", receiver=name, error=error, again_in_s=round(wait))
        self._to[name].close()
