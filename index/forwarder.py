"""Sending the ledger to somebody else's log: every entry, in order, at least once, and the newest signed checkpoint behind them.

Syslog has no receipt, so this is what counts. Entries are *read* once the receiver has closed a connection in good order behind
them (`vault.syslog_stream`): then its process has them all. They are *settled* once that process has been there for some time
longer, which an idle connection tells: it is opened before the one with the entries is ended, and breaks when the process dies. From
any break, and from a start of ours, everything is sent again that is not settled. So whatever lay in a buffer or in the receiver's memory is
sent twice rather than never, and the receiver tells a repetition by the entry's sequence. How far it is stands in the index; where that is
lost, all is sent again.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from index.alarms import Alarms
from index.duties import Duties
from index.environment import Environment
from vault.clock import Clock
from vault.config import Config
from vault.errors import Damaged, StreamvaultError
from vault.ledger.checkpoint import SignedCheckpoint
from vault.ledger.ledger import Ledger
from vault.ledger.message import checkpoint_message, entry_messages
from vault.logs import Log
from vault.syslog import SyslogAddress, SyslogMessage, encode
from vault.syslog_stream import SyslogStream, tls_context
from vault.timebase import US

log = Log("index.forwarder")

DUTY: Final = "forward"
ALARM: Final = "ledger not forwarded"
MAX_ENTRIES: Final = 1_000
MAX_BYTES: Final = 1 << 20
"""On one connection, whichever is reached first. A receiver that is slow, or stands still, is waited for: sending the same again would
only give it more to read."""

STEP_SECONDS: Final = 0.5
"""How long one call waits for the receiver to read on."""

LAST_STEPS: Final = 10
"""When the recorder is stopped: then the rest waits for the next start."""

LOOK_SECONDS: Final = 1.0
LAST_BACKOFF_SECONDS: Final = 60.0


class Stream(Protocol):
    """A connection, as `vault.syslog_stream.SyslogStream` is one."""

    def send(self, raw: bytes, /) -> None: ...
    def is_open(self) -> bool: ...
    def finish(self, seconds: float, /) -> bool: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How far it is, as it stands in the index. Entries below `settled` are surely there, those below `read` were read.

    `behind_since_us`: since when something waits, None when nothing does. `error`: why, as it was last tried.
    """

    receiver: str
    settled: int = 0
    read: int = 0
    behind_since_us: int | None = None
    error: str = ""

    def age_us(self, now_us: int) -> int:
        """How long something has waited."""
        return 0 if self.behind_since_us is None else max(0, now_us - self.behind_since_us)


def forwarded(environment: Environment, receiver: str) -> Forwarded:
    """What is known of this receiver; another one has had nothing."""
    fields = Duties(environment).get(DUTY)
    if fields.get("receiver") != receiver:
        return Forwarded(receiver)
    since = fields.get("behind_since_us")
    return Forwarded(
        receiver, int(fields.get("settled", 0)), int(fields.get("read", 0)), since if isinstance(since, int) else None,
        str(fields.get("error", "")),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Load:
    """What is on its way: the entries below `end`, and the checkpoint of `told_size` where it is not None."""

    stream: Stream
    end: int
    told_size: int | None


class Forwarder:
    """`run_once` for tests and `start`; one process at a time, the recorder."""

    def __init__(
        self, environment: Environment, ledger: Ledger, clock: Clock, receiver: str, connect: Callable[[], Stream], *,
        settle_us: int = 60 * US, message_bytes: int = 8192, alarm_us: int = 900 * US,
    ) -> None:  # fmt: skip
        self._env = environment
        self._duties = Duties(environment)
        self._alarms = Alarms(environment, clock)
        self._ledger = ledger
        self._clock = clock
        self._connect = connect
        self._settle_us = settle_us
        self._message_bytes = message_bytes
        self._alarm_us = alarm_us
        self._host = socket.gethostname()
        known = forwarded(environment, receiver)
        # What was only read was read by a process that may be another one by now.
        self._at = Forwarded(receiver, known.settled, known.settled, known.behind_since_us)
        self._idle: Stream | None = None
        self._settling: deque[tuple[int, int]] = deque()
        """Where each connection ended, and when it was proved read, on the monotonic clock."""
        self._told_size: int | None = None
        self._under_way: _Load | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """What is not sent by then is sent by the next process."""
        self._stop.set()
        self._thread.join(seconds)

    def run_once(self) -> bool:
        """Send what waits, on one connection at most; whether there is more to do. Raises what receiver, ledger and index raise."""
        try:
            more = self._once()
        except StreamvaultError as error:
            self._lose()
            self._note(error=str(error))
            self._look_at_age()
            raise
        self._note(error="")
        self._look_at_age()
        return more

    def close(self) -> None:
        """Drop the connections."""
        for stream in (self._idle, self._under_way.stream if self._under_way else None):
            if stream is not None:
                stream.close()
        self._idle = self._under_way = None

    def _once(self) -> bool:
        if self._idle is not None and not self._idle.is_open():
            unsettled = self._at.read - self._at.settled
            self._lose()
            if unsettled:
                log.warning("receiver of the ledger went away", receiver=self._at.receiver, sent_again=unsettled)
        self._settle()
        newest = self._ledger.newest()
        size = 0 if newest is None else newest.checkpoint.size
        if size < self._at.settled:
            raise Damaged(
                f"the ledger has {size} entries and {self._at.settled} were forwarded: it was cut back; run `ledger verify`"
            )
        if self._under_way is None:
            begin = self._at.read
            self._note(behind=begin < size)
            if newest is None or (begin == size and self._told_size == size):
                return False
            self._under_way = self._load(begin, newest)
            # Before the other one ends, so that no death of the receiver falls between the two.
            self._idle = self._connect()
        load = self._under_way
        if load.stream.finish(STEP_SECONDS):
            self._under_way = None
            self._settling.append((load.end, self._clock.mono_us()))
            self._told_size = load.told_size
            self._note(read=load.end, behind=load.end < size)
        return True

    def _load(self, begin: int, newest: SignedCheckpoint) -> _Load:
        """The next entries, and the newest checkpoint if it covers no others, on a connection."""
        self._idle = stream = self._idle or self._connect()
        end, size, size_bytes = begin, newest.checkpoint.size, 0
        for entry in islice(self._ledger.entries(begin), MAX_ENTRIES):
            for message in entry_messages(entry, self._message_bytes):
                self._send(stream, message)
            end, size_bytes = entry.sequence + 1, size_bytes + len(entry.line)
            if size_bytes > MAX_BYTES:
                break
        if end >= size:
            self._send(stream, checkpoint_message(newest, self._clock.now_us()))
        return _Load(stream, end, size if end >= size else None)

    def _send(self, stream: Stream, message: SyslogMessage) -> None:
        stream.send(encode(message, self._host, os.getpid(), self._message_bytes))

    def _lose(self) -> None:
        """Everything that is not settled counts as not sent."""
        self.close()
        self._settling.clear()
        self._told_size = None
        self._note(read=self._at.settled)

    def _settle(self) -> None:
        """The receiver is there: what it read long enough ago it has not lost by dying."""
        mono_us, settled = self._clock.mono_us(), None
        while self._settling and mono_us - self._settling[0][1] >= self._settle_us:
            settled, _ = self._settling.popleft()
        if settled is not None:
            self._note(settled=settled)

    def _note(
        self, *, settled: int | None = None, read: int | None = None, behind: bool | None = None, error: str | None = None
    ) -> None:  # fmt: skip
        at = self._at
        since = at.behind_since_us
        if behind is not None:
            since = (since if since is not None else self._clock.now_us()) if behind else None
        now = Forwarded(
            at.receiver, at.settled if settled is None else settled, at.read if read is None else read, since,
            at.error if error is None else error[:500],
        )  # fmt: skip
        if now != at:
            self._at = now
            fields = {
                "receiver": now.receiver, "settled": now.settled, "read": now.read, "behind_since_us": now.behind_since_us,
                "error": now.error,
            }  # fmt: skip
            self._duties.put(DUTY, fields)

    def _look_at_age(self) -> None:
        if self._at.age_us(self._clock.now_us()) < self._alarm_us:
            if self._at.behind_since_us is None:
                self._alarms.end(ALARM, "")
            return
        why = ": it does not read on" if self._under_way else ""
        why = f": {self._at.error}" if self._at.error else why
        message = f"entries of the ledger have waited for {self._at.receiver} for over {self._alarm_us // (60 * US)} min{why}"
        self._alarms.begin(ALARM, "", message)

    def _run(self) -> None:
        wait = backoff = 0.0
        while not self._stop.wait(wait):
            try:
                wait, backoff = 0.0 if self.run_once() else LOOK_SECONDS, 0.0
            except Exception as error:  # the next round repeats it; a thread that is gone forwards nothing
                wait = backoff = min(LAST_BACKOFF_SECONDS, max(LOOK_SECONDS, backoff * 2))
                log.warning("ledger not forwarded", error=error, again_in_s=round(wait))
        if not backoff:
            # What the recorder's end was told with.
            with suppress(StreamvaultError):
                for _ in range(LAST_STEPS):
                    if not self.run_once():
                        break
        self.close()


def forwarder(config: Config, folder: Path, environment: Environment, ledger: Ledger, clock: Clock) -> Forwarder | None:
    """As it is configured; None where nobody is. `folder`: the data folder. Raises ConfigError, what reading a key file raises."""
    said = config.forward
    if not said.address:
        return None
    address = SyslogAddress.parse(said.address)

    def named(name: str) -> Path | None:
        return folder / name if name else None

    context = None
    if address.transport == "tls":
        context = tls_context(named(said.tls_ca_file), named(said.tls_cert_file), named(said.tls_key_file))
    return Forwarder(
        environment, ledger, clock, str(address), lambda: SyslogStream(address, context),
        settle_us=said.settle_seconds * US, message_bytes=said.message_bytes, alarm_us=said.alarm_minutes * 60 * US,
    )  # fmt: skip
