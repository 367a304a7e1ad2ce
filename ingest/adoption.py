"""A thread of the supervisor that adopts: at start, after every loss of a worker, and each minute. What becomes of a file is `ingest.adopter`'s.

Recovery reads whole files, for which the watch loop has no time.
"""

from __future__ import annotations

import threading

from ingest.adopter import Adopter
from vault.clock import Clock
from vault.errors import StreamvaultError
from vault.logs import Log

log = Log("ingest.adoption")

FIRST_SECONDS = 1.0
SOON_SECONDS = 5.0
AGAIN_SECONDS = 60.0


class Adoption:
    """`start`, and `stop` and `finish` when nobody records any more."""

    def __init__(self, adopter: Adopter, clock: Clock) -> None:
        self._adopter = adopter
        self._clock = clock
        self._now = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="adopter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def soon(self) -> None:
        """A worker was lost, or a camera was taken anew: some file may be nobody's."""
        self._now.set()

    def stop(self, seconds: float) -> None:
        """End after the file at hand."""
        self._stop.set()
        self._now.set()
        self._thread.join(timeout=seconds)

    def finish(self, most_us: int) -> None:
        """Nobody records any more: what a worker could not close is closed now, and not at the next start."""
        deadline_us = self._clock.mono_us() + most_us
        try:
            self._adopter.adopt(lambda: self._clock.mono_us() > deadline_us, current=True)
        except StreamvaultError as error:
            log.warning("some files stay open in the spool until the next start", error=error)

    def _run(self) -> None:
        pause = FIRST_SECONDS
        while not self._stop.wait(pause):
            self._now.clear()
            try:
                done = self._adopter.adopt(self._stop.is_set)
                if done.committed or done.emptied or done.dropped:
                    log.info(
                        "spool looked through", adopted=len(done.committed), empty=len(done.emptied), dropped=len(done.dropped)
                    )
                again = SOON_SECONDS if done.busy or done.failed else AGAIN_SECONDS
            except Exception as error:  # the next round repeats it; a thread that is gone repeats nothing
                log.error("spool not looked through", error=error)
                again = SOON_SECONDS
            # A camera that was lost is taken anew a moment later, and only then are its files nobody's.
            pause = FIRST_SECONDS if self._now.wait(again) else 0
