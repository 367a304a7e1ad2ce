"""A bounded number of threads for work that may be stuck for minutes, and whose results are looked at when they are there.

The threads are daemons: at the end of the process nobody waits for a store that does not answer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """`submit` and `results` belong to one thread. A job hands its errors back as part of its result: it must not raise."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.busy = 0
        """Jobs whose results were not taken yet."""

    @property
    def free(self) -> int:
        """How many jobs would begin at once."""
        return self._count - self.busy

    def submit(self, job: Callable[[], T]) -> None:
        """Begin a job, or let it wait until a thread is free."""
        self.busy += 1
        if len(self._threads) < min(self.busy, self._count):
            thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def results(self, wait_seconds: float) -> list[T]:
        """All results that are there; waits so long for the first."""
        found: list[T] = []
        try:
            found.append(self._results.get(timeout=wait_seconds))
            while True:
                found.append(self._results.get_nowait())
        except queue.Empty:
            self.busy -= len(found)
            return found

    def _run(self) -> None:
        while True:
            self._results.put(self._jobs.get()())
