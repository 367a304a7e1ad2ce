"""One end of the pipe between supervisor and worker: whoever tells or takes never waits for the other process.

The other side may be stopped in the middle of a message, or read nothing for minutes; then only threads here wait. What the
messages mean is in `ingest.messages`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from vault.logs import Log

log = Log("ingest.mailbox")

Out = TypeVar("Out")
In = TypeVar("In")


class Mailbox(Generic[Out, In]):
    """Two threads over a pipe, which this owns from here on. They end when the other side is gone."""

    def __init__(self, pipe: Connection, name: str) -> None:
        self._pipe = pipe
        self._changed = threading.Condition()
        self._outgoing: deque[Out] = deque()
        self._newest: Out | None = None
        self._last = False
        self._incoming: queue.SimpleQueue[In | None] = queue.SimpleQueue()
        self._waited: list[In | None] = []
        self.gone = False
        self._sender = threading.Thread(target=self._send, name=f"{name}-send", daemon=True)
        self._receiver = threading.Thread(target=self._receive, name=f"{name}-receive", daemon=True)
        self._sender.start()
        self._receiver.start()

    def tell(self, message: Out, *, only_newest: bool = False) -> None:
        """Queue a message. `only_newest`: it replaces one that was told the same way and is not sent yet, so that a side that
        reads nothing costs no memory; it may be sent after messages that were told later."""
        with self._changed:
            if self.gone or self._last:
                return
            if only_newest:
                self._newest = message
            else:
                self._outgoing.append(message)
            self._changed.notify()

    def take(self) -> list[In]:
        """Everything that came since the last call, in order. What came before the other side went is still given."""
        messages, self._waited = self._waited, []
        while not self._incoming.empty():
            messages.append(self._incoming.get())
        return [message for message in messages if message is not None]

    def wait(self, seconds: float) -> None:
        """Until there is something to take or the other side goes, at most this long. One thread waits and takes."""
        if not self._waited:
            with contextlib.suppress(queue.Empty):
                self._waited.append(self._incoming.get(timeout=seconds))

    def finish(self, seconds: float) -> None:
        """Send what is queued, waiting at most this long for the other side to read it."""
        with self._changed:
            self._last = True
            self._changed.notify()
        self._sender.join(timeout=seconds)

    def _next(self) -> list[Out]:
        """What is to be sent; waits for it. Empty at the end."""
        with self._changed:
            while not (self._outgoing or self._newest is not None or self._last or self.gone):
                self._changed.wait()
            if self.gone:
                return []
            messages = list(self._outgoing)
            self._outgoing.clear()
            if self._newest is not None:
                messages.append(self._newest)
                self._newest = None
            return messages

    def _send(self) -> None:
        try:
            while messages := self._next():
                for message in messages:
                    self._pipe.send(message)
        except OSError:
            # It reads no more; the receiver sees its end.
            return

    def _receive(self) -> None:
        try:
            while True:
                message: In = self._pipe.recv()
                self._incoming.put(message)
        except (EOFError, OSError):
            pass
        except Exception as error:  # half a message of a killed process need not unpickle
            log.error("message not understood, taken as the end", error=error)
        with self._changed:
            self.gone = True
            self._changed.notify()
        # Nothing to take, but whoever waits shall see it.
        self._incoming.put(None)
        # Only now: a descriptor that is closed under a running write may already be somebody else's.
        self._sender.join()
        self._pipe.close()
