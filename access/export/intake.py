"""A stored segment read once: its ranges are handed on while the whole of it is hashed, so that what left is what the row says.

Reads before `arm` go to the segment as they come: a clip is planned with them. From then on the segment is read from its
beginning to its end in blocks, one ahead, and one segment at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from access.export.lanes import BUFFER_BYTES, Works
from access.package.custody import Source
from access.pool import SourcePool
from index.rows import SegmentRow
from vault.errors import Damaged
from vault.grant import Grant
from vault.ids import SegmentKey
from vault.source import FileSource


@dataclass(slots=True)
class Reading:
    """The segments that a file is made of, read one after the other. `found`: what each was, by its key. `allow_damaged`: one
    that is not what its row says is noted and not an error. `left`: those of which nothing is read, since not all of it can be."""

    pool: SourcePool
    works: Works
    allow_damaged: bool
    left: set[SegmentKey] = field(default_factory=set)
    found: dict[str, Source] = field(default_factory=dict)
    intakes: list[Intake] = field(default_factory=list)
    _now: Intake | None = None

    def turn(self, intake: Intake) -> None:
        """The segment before it is done with. Raises Damaged, naming that segment."""
        self.end()
        self._now = intake
        intake.begin()

    def end(self) -> None:
        """No more is read of the segment at hand. Raises Damaged."""
        intake, self._now = self._now, None
        if intake is None:
            return
        source = intake.finish()
        if source.damaged and not self.allow_damaged:
            raise Damaged(
                f"segment {source.key}: its bytes hash to {source.blake3[:16]}… and {intake.row.blake3.hex()[:16]}… was recorded"
            )
        self.found[source.key] = source


class Intake:
    """One committed segment as a ByteSource."""

    def __init__(self, grant: Grant, row: SegmentRow, reading: Reading) -> None:
        """Raises Refusal where the grant is for another camera."""
        grant.check(row.key.camera, grant.window)
        self.row = row
        self._reading = reading
        reading.intakes.append(self)
        self._armed = self._done = self._longer = False
        self._block: memoryview | None = None
        self._start = self._stop = 0
        self._ahead: Future[tuple[memoryview, int, int]] | None = None
        self._uses: list[Future[Any]] = []
        self._blake3 = blake3(max_threads=1)
        self._sha256 = hashlib.sha256()

    @property
    def size(self) -> int:
        return self.row.size_bytes

    @property
    def untouched(self) -> bool:
        """Nothing of it was hashed yet."""
        return not self._done and self._ahead is None and self._block is None

    def arm(self) -> None:
        """From here on what is read is hashed."""
        self._armed = True

    def read(self, offset: int, length: int) -> bytes:
        out = bytearray(length)
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def read_into(self, offset: int, view: memoryview) -> None:
        """As `ByteSource.read`, into the caller's buffer."""
        if self._armed and self.untouched:
            self._reading.turn(self)
        if not self._armed or self._done or offset < self._start:
            # A plan's look, or a segment that another one interrupts: its hash is known by then.
            self._fill(offset, view)
            return
        while len(view):
            while offset >= self._stop:
                self._next()
            assert self._block is not None
            at = offset - self._start
            count = min(self._stop - offset, len(view))
            view[:count] = self._block[at : at + count]
            offset, view = offset + count, view[count:]

    def begin(self) -> None:
        """Raises Damaged where there are fewer bytes than the row says."""
        with self._reading.pool.borrow(self.row) as source:
            if source.size < self.row.size_bytes:
                raise Damaged(
                    f"segment {self.row.key.object_key}: has {source.size} bytes, and its row says {self.row.size_bytes}"
                )
            self._longer = source.size > self.row.size_bytes
        self._look_ahead(0)

    def finish(self) -> Source:
        """Read what nobody asked for, and say what the whole is."""
        while self._stop < self.row.size_bytes:
            self._next()
        self._release()
        self._reading.works.blake3.settle()
        self._reading.works.sha256.settle()
        self._done = True
        found = self._blake3.digest()
        key, sha256 = self.row.key.object_key, self._sha256.hexdigest()
        return Source(key, self.row.size_bytes, found.hex(), sha256, found != self.row.blake3 or self._longer)

    def check_readable(self, look: Callable[[], None]) -> None:
        """Read all of it for nothing but that. `look`: between blocks. Raises Damaged, StoreError."""
        buffer = memoryview(bytearray(BUFFER_BYTES))
        for offset in range(0, self.size, len(buffer)):
            look()
            self._fill(offset, buffer[: self.size - offset])

    def _next(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            raise Damaged(f"segment {self.row.key.object_key}: more than its {self.row.size_bytes} bytes were asked for")
        block, self._start, self._stop = ahead.result()
        self._release()
        self._block = block
        data, works = block[: self._stop - self._start], self._reading.works
        self._uses = [works.blake3.put(self._blake3.update, data), works.sha256.put(self._sha256.update, data)]
        self._look_ahead(self._stop)

    def _look_ahead(self, offset: int) -> None:
        if offset < self.row.size_bytes:
            works = self._reading.works
            self._ahead = works.reading.put(self._load, (works.blocks.take(), offset))

    def _load(self, wanted: tuple[memoryview, int]) -> tuple[memoryview, int, int]:
        block, offset = wanted
        stop = min(offset + len(block), self.row.size_bytes)
        self._fill(offset, block[: stop - offset])
        return block, offset, stop

    def _release(self) -> None:
        if self._block is not None:
            self._reading.works.blocks.give(self._block, self._uses)
            self._block = None

    def _fill(self, offset: int, view: memoryview) -> None:
        with self._reading.pool.borrow(self.row) as source:
            if isinstance(source, FileSource):
                source.read_into(offset, view)
            else:
                view[:] = source.read(offset, len(view))
