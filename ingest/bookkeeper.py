"""The supervisor's duty to the ledger: what waits goes into it, looks at footage whose process died are closed there, its newest
checkpoint is kept elsewhere, it is forwarded, the register's index follows it, and a broken one is said.

A thread of its own: syncs and the store may block, and recording depends on none of it. What fails is tried again.
"""

from __future__ import annotations

import threading

from index.alarms import Alarms
from index.forwarder import forwarder
from index.ledger_anchor import anchor, keep_anchor, keep_succession, object_key
from index.node import Node
from index.register import Register
from index.visits import Visits
from vault.errors import Damaged, NotFound, Refused
from vault.ledger.checkpoint import SignedCheckpoint
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.bookkeeper")

ALARM = "ledger broken"
LOOK_US = 60 * US
"""How often the ledger's end is compared with what the index remembers of it."""

STORE_US = 3_600 * US
"""How often a checkpoint goes into the store. Each covers all before it, so none has to wait for the store in the spool."""


REGISTER_US = 30 * US
"""How often the register's index takes in what is new, so that whoever asks has little to wait for."""

REGISTER_ROUNDS = 20
"""Transactions of it at once: the first time over a long ledger must not hold up what waits."""


class Bookkeeper:
    """`start`, and `stop` when nobody changes the registry any more."""

    def __init__(self, node: Node) -> None:
        self._clock = node.clock
        self._env = node.environment
        self._store = node.store
        self._ledger = node.ledger
        self._outbox = node.outbox
        self._visits = Visits(node.environment, node.clock)
        self._alarms = Alarms(node.environment, node.clock)
        self._forwarder = forwarder(node.config, node.folder.path, node.environment, node.ledger, node.clock)
        self._register = Register(node.environment, node.ledger)
        self._look_due_us = self._store_due_us = self._register_due_us = 0
        self._stored: SignedCheckpoint | None = None
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bookkeeper", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if self._forwarder is not None:
            self._forwarder.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Bring what waits into the ledger, then end."""
        self._stop.set()
        self._thread.join(timeout=seconds)
        if self._forwarder is not None:
            self._forwarder.stop(seconds)

    def _run(self) -> None:
        while not self._stop.wait(1):
            self._guarded()
        self._store_due_us = 0
        self._guarded()

    def _guarded(self) -> None:
        try:
            self.run_once()
            self._said = ""
        except Exception as error:  # the next round repeats it; a thread that is gone repeats nothing
            if str(error) != self._said:
                log.error("ledger waits", error=error)
            self._said = str(error)

    def run_once(self) -> None:
        """What is due now. Raises what the ledger, the index and the store raise."""
        now_us = self._clock.mono_us()
        try:
            if left := self._visits.close_left():
                log.warning("looks at footage ended without a word", looks=left)
            if self._outbox.waiting():
                self._outbox.drain()
            if now_us >= self._look_due_us:
                self.look()
                self._look_due_us = now_us + LOOK_US
            if now_us >= self._store_due_us:
                # Until it is there, or while the store is away, this is tried each minute and not each second.
                self._store_due_us = now_us + LOOK_US
                self._keep_in_store()
                self._store_due_us = now_us + STORE_US
            if now_us >= self._register_due_us:
                self._register.fill(rounds=REGISTER_ROUNDS)
                self._register_due_us = now_us + REGISTER_US
        except (Damaged, NotFound, Refused) as error:
            # Nothing of this gets better by itself: entries that are not what was signed, a key that is gone or open to others,
            # another checkpoint of this size in the store.
            self._alarms.begin(ALARM, "", str(error))
            raise

    def look(self) -> None:
        """The cheap look at the ledger's end, not at each entry: that the one that the index remembers is its beginning."""
        with self._env.read() as txn:
            known = anchor(txn)
        newest = self._ledger.newest()
        if known is not None:
            newest, _ = self._ledger.prove_growth(known)
        if newest is not None:
            keep_anchor(self._env, newest)
        self._alarms.end(ALARM, "")

    def _keep_in_store(self) -> None:
        newest = self._ledger.newest()
        if newest is not None and newest != self._stored:
            keep_succession(self._store, self._ledger.succession())
            self._store.put_bytes(object_key(newest), newest.note.encode())
            self._stored = newest
