"""A thread of the supervisor that writes manifests: behind the uploads, and in nobody's way. Which and when is `index.manifests`."""

from __future__ import annotations

import threading

from index.manifests import Manifests
from vault.logs import Log
from vault.timebase import US

log = Log("ingest.lister")

WAIT_US = US
FIRST_BACKOFF_US = 5 * US
LAST_BACKOFF_US = 60 * US


class Lister:
    """Whatever fails stays marked in the index and is tried again, later each time."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lister", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Write whatever is marked, since nobody records any more, and end; a store that hangs is left after that long."""
        self._stop.set()
        self._thread.join(timeout=seconds)
        if self._thread.is_alive():
            log.error("store does not answer; manifests are written after the next start")

    def _run(self) -> None:
        wait_us = backoff_us = 0
        while not self._stop.wait(wait_us / US):
            try:
                wait_us = 0 if self._manifests.run_once() else WAIT_US
                backoff_us = 0
            except Exception as error:  # the next round repeats it; a thread that is gone repeats nothing
                _tell(error)
                wait_us = backoff_us = min(LAST_BACKOFF_US, max(FIRST_BACKOFF_US, backoff_us * 2))
        try:
            self._manifests.write_all()
        except Exception as error:  # it is marked, and the next start goes on with it
            _tell(error)


def _tell(error: Exception) -> None:
    log.warning("manifests wait", error=error)
