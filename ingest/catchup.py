"""At start: is the index as new as its store? Asked on a thread of its own, since the store may be away and recording goes on.

What is lifted then ends what was recorded under an epoch of old, as any other process that takes a camera would.
"""

from __future__ import annotations

import threading

from index.alarms import Alarms
from index.behind import ahead, is_behind, make_safe, used_epochs
from index.node import Node
from vault.errors import StreamvaultError
from vault.logs import Log

log = Log("ingest.catchup")

FIRST_SECONDS = 5.0
"""How long recording waits for the answer of a store that is there."""

AGAIN_SECONDS = 30.0
ALARM = "index behind store"


class CatchUp:
    """`start` before cameras are taken, `stop` at the end."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._alarms = Alarms(node.environment, node.clock)
        self._stop = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catch-up", daemon=True)

    def start(self, seconds: float = FIRST_SECONDS) -> None:
        """Lift epochs above those in the spool, and above the store's if it answers in time. Raises what the index raises."""
        self._node.catalog.lift_epochs(used_epochs(self._node.spool.list_keys()))
        self._say()
        self._thread.start()
        self._asked.wait(seconds)

    def stop(self) -> None:
        self._stop.set()

    def run_once(self) -> None:
        """Compare with the store. Raises StoreError when it is away."""
        node = self._node
        found = ahead(node.environment, node.registry, node.store, node.clock.now_us())
        make_safe(node.environment, node.catalog, found)
        self._say()
        if found.is_behind:
            log.error(
                "index older than its store, nothing is removed; run `streamvault index rebuild`",
                unknown_segments=found.segments, newer_documents=found.documents, cameras=len(found.epochs),
            )  # fmt: skip

    def _say(self) -> None:
        if is_behind(self._node.environment):
            self._alarms.begin(
                ALARM, "", "the index is older than its store and nothing is removed; run `streamvault index rebuild`"
            )
        else:
            self._alarms.end(ALARM, "")

    def _run(self) -> None:
        while True:
            try:
                self.run_once()
                return
            except StreamvaultError as error:
                log.warning("index not compared with its store yet", error=str(error))
            finally:
                self._asked.set()
            if self._stop.wait(AGAIN_SECONDS):
                return
