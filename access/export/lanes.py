"""Work that goes on beside the reading: a thread each for writing and for every hash, fed in order, with few buffers in flight.

Hashing, reading and writing let other threads run, so that an export costs the time of its slowest step and not of their sum.
What is hashed or written is the caller's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Any, Final

BUFFER_BYTES: Final = 2 * 1024 * 1024
_BUFFERS: Final = 4


class Lane:
    """Calls in the order in which they were given, in one thread. An error of a call is raised by the next `put` or `settle`."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: deque[Future[Any]] = deque()

    def put(self, call: Callable[[Any], object], value: Any) -> Future[Any]:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(call, value))
        return self._waiting[-1]

    def settle(self) -> None:
        """Until everything given is done. Raises what a call raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def drop(self) -> None:
        """As `settle`; what a call raised is forgotten."""
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)
        self._waiting.clear()

    def close(self) -> None:
        """What has not begun is not begun any more."""
        self._thread.shutdown(wait=True, cancel_futures=True)


class Ring:
    """Buffers that go round: one is filled while others are still being written or hashed."""

    def __init__(self, count: int = _BUFFERS, size: int = BUFFER_BYTES) -> None:
        self.size = size
        self._count = count
        self._free = deque(memoryview(bytearray(size)) for _ in range(count))
        self._busy: deque[tuple[memoryview, list[Future[Any]]]] = deque()

    def take(self) -> memoryview:
        """A buffer that nobody reads any more; the oldest in use is waited for where none is free. Raises what its use raised."""
        if not self._free:
            buffer, uses = self._busy.popleft()
            self._free.append(buffer)
            for use in uses:
                use.result()
        return self._free.popleft()

    def give(self, buffer: memoryview, uses: list[Future[Any]]) -> None:
        """It comes back when all of its uses are done."""
        self._busy.append((buffer, uses))

    @property
    def whole(self) -> bool:
        """Every buffer is free: none is lost to what was given up."""
        return len(self._free) == self._count

    def settle(self) -> None:
        """Until every buffer is free. Raises what their uses raised."""
        while self._busy:
            buffer, uses = self._busy.popleft()
            self._free.append(buffer)
            for use in uses:
                use.result()


class Works:
    """The threads and buffers of one export, used by one segment and one file after the other."""

    def __init__(self) -> None:
        self.reading = Lane("export-read")
        self.blake3 = Lane("export-blake3")
        self.sha256 = Lane("export-sha256")
        self.writing = Lane("export-write")
        self.pictures = Lane("export-pictures")
        self.blocks = Ring()
        self.pieces = Ring()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self.reading, self.blake3, self.sha256, self.writing, self.pictures

    def settle(self) -> None:
        """Until nothing is under way. Raises what a step raised."""
        for lane in self.lanes:
            lane.settle()
        self.blocks.settle()
        self.pieces.settle()

    def quiet(self) -> None:
        """As `settle` for what has been given up: its errors are told already, its buffers are made anew.

        Those of an hour without footage were not used: new ones for each would be most of what it costs.
        """
        for lane in self.lanes:
            lane.drop()
        self.blocks = self.blocks if self.blocks.whole else Ring()
        self.pieces = self.pieces if self.pieces.whole else Ring()


@contextmanager
def works() -> Iterator[Works]:
    made = Works()
    with ExitStack() as stack:
        for lane in made.lanes:
            stack.callback(lane.close)
        yield made


class Stop:
    """A reason to stop that another thread may set; looked at between buffers."""

    def __init__(self) -> None:
        self._reason: Exception | None = None
        self._set = threading.Event()

    def give(self, reason: Exception) -> None:
        if not self._set.is_set():
            self._reason = reason
            self._set.set()

    def look(self) -> None:
        """Raises the reason, once there is one."""
        if self._set.is_set():
            assert self._reason is not None
            raise self._reason

    def wait(self, seconds: float) -> bool:
        return self._set.wait(seconds)
