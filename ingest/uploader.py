"""W3 and W4: committed segments from the spool into the store, and small objects (the registry's) before any of them.

One thread decides and settles; a bounded number of others put, so that an upload that is stuck delays no other. What goes next is
`ingest.turns`; the store says how many requests at a time are of use (`at_once`): a local one takes many files together in one
call, a bucket one by one over several connections.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from index.alarms import Alarms
from index.catalog import Catalog
from index.registry import Registry
from index.room import NO_SPACE
from index.rows import Place, SegmentRow
from ingest.lanes import Lanes
from ingest.turns import Turns
from vault.clock import Clock
from vault.errors import Damaged, NotFound, StoreError, StreamvaultError, Unreadable
from vault.grant import system_grant
from vault.ids import SegmentKey
from vault.logs import Log
from vault.spool import Spool
from vault.store.interface import Failure, NewObject, ObjectStore
from vault.timebase import US

log = Log("ingest.uploader")

BATCH = 64
"""Files that go into a local store in one call; what is settled in one transaction at most."""

LOOK_AHEAD = 2
"""For a bucket: how many objects are chosen for each connection before the next look at what waits."""

WAIT_US = US
SETTLE_US = US // 2
"""While a backlog drains, so many puts share a commit."""

AWAY = "store away"
BAD = "not uploaded"
_PIECE_BYTES = 1024 * 1024
_TEXTS = {
    AWAY: "nothing can be put into the store, and the spool holds what is recorded",
    NO_SPACE: "the store says that it is full, and the spool holds what is recorded; give it room or lower what is kept",
}


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a job has done: `rows` or small objects by `names`; those not in `failures` are in the store."""

    rows: Sequence[SegmentRow] = ()
    names: Sequence[str] = ()
    failures: Mapping[str, StreamvaultError] = field(default_factory=dict)


class Uploader:
    """A thread of the supervisor, and those that put. Whatever fails stays in the spool and is tried again; nothing is thrown away."""

    def __init__(
        self, spool: Spool, store: ObjectStore, catalog: Catalog, registry: Registry, clock: Clock, *, lock: bool = False
    ) -> None:
        """`lock`: objects get the term until which they must be kept, for a store that holds everyone to it."""
        self._spool = spool
        self._store = store
        self._catalog = catalog
        self._registry = registry
        self._clock = clock
        self._lock = lock
        self._alarms = Alarms(catalog.environment, clock)
        at_once = store.at_once
        self._together = BATCH if at_once == 1 else 1
        self._look_ahead = BATCH if at_once == 1 else at_once * LOOK_AHEAD
        self._lanes: Lanes[_Sent] = Lanes(at_once, "uploader")
        self._turns = Turns(at_once)
        self._chosen: list[SegmentRow] = []
        self._put: list[SegmentKey] = []
        self._settled_us = 0
        self._more = False
        self._alarmed: str | None = ""
        self._bad: dict[str, str] = {}
        """Segments that are themselves the reason why they are not put, and what it is."""
        self._told: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, seconds: float = 60) -> None:
        """One more round for what is committed, then the end; a store that hangs is left after that long."""
        self._stop.set()
        self._thread.join(timeout=seconds)
        if self._thread.is_alive():
            log.error("store does not answer; what waits in the spool goes there after the next start")

    def _run(self) -> None:
        while not self._stop.is_set():
            self._guarded(lambda: self.step(WAIT_US / US))
        while self._guarded(self.run_once):
            pass

    def _guarded(self, act: Callable[[], bool]) -> bool:
        """What goes wrong ends here: the next round repeats it, and a thread that is gone repeats nothing."""
        try:
            return act()
        except Exception as error:
            log.error("segments wait in the spool", error=error)
            self._stop.wait(WAIT_US / US)
            return False

    def run_once(self) -> bool:
        """One batch, to its end. True when there may be more.

        Raises what the index raises; and when the store took nothing of the batch, the first reason it gave.
        """
        self._hand_out()
        took, first = False, None
        while self._lanes.busy:
            for sent in self._lanes.results(WAIT_US / US):
                self._take_in(sent)
                took = took or len(sent.failures) < len(sent.rows) + len(sent.names)
                first = first or next(iter(sent.failures.values()), None)
            self._hand_out(anew=False)
        self._settle()
        self._say()
        if first is not None and not took:
            raise first
        return self._more

    def step(self, wait_seconds: float) -> bool:
        """Hand out what may go, wait a while for something to be done, settle. True when something was. Raises what the index
        raises."""
        self._hand_out()
        done = self._lanes.results(wait_seconds)
        for sent in done:
            self._take_in(sent)
        if self._put and (not self._lanes.busy or self._clock.mono_us() - self._settled_us >= SETTLE_US):
            self._settle()
        self._say()
        return bool(done)

    # What goes.

    def _hand_out(self, *, anew: bool = True) -> None:
        """Give free lanes something to do; `anew`: look at the index when what was chosen is used up."""
        looks = anew and not self._chosen and self._lanes.free > 0
        if anew:
            # What was committed since the last look may wait.
            self._more = not looks
        if looks:
            if self._small_objects():
                return
            self._choose()
        while self._chosen and self._lanes.free > 0:
            rows, self._chosen = self._chosen[: self._together], self._chosen[self._together :]
            self._lanes.submit(lambda rows=rows: self._send(rows))  # type: ignore[misc]

    def _choose(self) -> None:
        limit = self._turns.unavailable + self._look_ahead
        oldest = self._catalog.pending(limit)
        # Where all that waits was seen, there is no other end to begin at.
        newest = self._catalog.pending(limit, newest=True) if len(oldest) == limit else []
        self._chosen = self._turns.choose(oldest, newest, self._look_ahead, self._clock.mono_us())
        self._more = len(self._chosen) == self._look_ahead

    def _small_objects(self) -> bool:
        """Whether there are any that wait, which go alone and before footage: what they say is needed to read it."""
        mono_us = self._clock.mono_us()
        keys = [key for key in self._registry.pending() if self._turns.aside_until(key) <= mono_us]
        if not keys:
            return False
        if not self._lanes.busy and self._turns.may_try(mono_us):
            self._lanes.submit(lambda: self._send_small(keys))
            self._more = True
        return True

    # On a lane.

    def _send(self, rows: Sequence[SegmentRow]) -> _Sent:
        try:
            objects = [self._object(row) for row in rows]
            return _Sent(rows, (), {failure.key: self._whose(failure) for failure in self._store.put_files(objects)})
        except Exception as error:
            return _Sent(rows, (), dict.fromkeys((row.key.object_key for row in rows), _ours(error)))

    def _object(self, row: SegmentRow) -> NewObject:
        # Footage that ends after now was recorded by a clock that was wrong; its term is wrong too, and could not be taken back.
        until_us = row.min_until_us if self._lock and row.end_us <= self._clock.now_us() else 0
        return NewObject(row.key.object_key, self._spool.path_of(row.key), row.blake3, until_us)

    def _whose(self, failure: Failure) -> StreamvaultError:
        """Damaged where it is the spool's disk that does not give the file, else what the store said."""
        error, cause = failure.error, failure.error.__cause__
        if not isinstance(error, Unreadable) and not (isinstance(cause, OSError) and cause.errno == errno.EIO):
            return error
        try:
            with self._spool.open_source(SegmentKey.parse(failure.key), system_grant("upload")) as source:
                source.forget()
                for offset in range(0, source.size, _PIECE_BYTES):
                    source.read(offset, min(_PIECE_BYTES, source.size - offset))
        except Unreadable as unreadable:
            return Damaged(f"{failure.key}: the spool's disk does not give its file: {unreadable}")
        except StreamvaultError:
            # It is gone meanwhile, or its disk is away as a whole: what the store said stands.
            pass
        return error

    def _send_small(self, keys: Sequence[str]) -> _Sent:
        """In their order, each dropped from the spool when the store has it; the store being away ends it."""
        failures: dict[str, StreamvaultError] = {}
        for number, key in enumerate(keys):
            try:
                self._store.put_bytes(key, self._registry.read(key))
                self._registry.drop([key])
            except Exception as error:
                failures[key] = _ours(error)
                if not self._is_its_own(key, failures[key]):
                    return _Sent((), keys[: number + 1], failures)
        return _Sent((), keys, failures)

    # What came of it.

    def _take_in(self, sent: _Sent) -> None:
        mono_us = self._clock.mono_us()
        why: StreamvaultError | None = None
        for name, error in sent.failures.items():
            passing = not self._is_its_own(name, error)
            why = why or (error if passing else None)
            if sent.rows and not passing:
                self._bad[name] = str(error)
            # Small objects are waited for: only one that can never be put lets the others pass.
            if sent.rows or not passing:
                aside = self._turns.refused(name, mono_us, passing=passing)
                if self._turns.why_away is None:
                    again_s = aside.backoff_us // US
                    log.warning("object not put into the store", key=name, error=str(error), again_in_s=again_s)
        put = [row.key for row in sent.rows if row.key.object_key not in sent.failures]
        self._put += put
        if put or any(name not in sent.failures for name in sent.names):
            self._turns.answered()
        if why is not None and not put and self._turns.failed(why, mono_us):
            self._turns.back(row.key.object_key for row in self._chosen)
            self._chosen = []
        if put and len(self._put) >= BATCH:
            self._settle()

    def _is_its_own(self, name: str, error: StreamvaultError) -> bool:
        """Whether it is the object that is not as it should be. All else is the store's, though it may be one key's alone."""
        if isinstance(error, NotFound) and name.startswith("segments/"):
            return not self._spool.path_of(SegmentKey.parse(name)).exists()
        return isinstance(error, Damaged)

    def _settle(self) -> None:
        self._settled_us = self._clock.mono_us()
        if not self._put:
            return
        known = self._put
        try:
            self._catalog.settle(self._put)
        except NotFound as error:
            # The others are settled. What has no row is nobody's, and stays for whoever adopts it.
            log.error("segments without a row were put", error=str(error))
            known = [key for key in self._put if self._catalog.row(key) is not None]
        # Only now: until then they are listed as waiting, and would be put again.
        self._turns.settled(key.object_key for key in self._put)
        self._put = []
        for key in known:
            self._spool.remove(key)

    def _say(self) -> None:
        """The alarms, and one line in the log when one begins and when it ends."""
        self._say_bad()
        why = self._turns.why_away
        if why == self._alarmed:
            return
        now = None if why is None else NO_SPACE if self._turns.full else AWAY
        for kind, text in _TEXTS.items():
            if kind == now:
                if self._alarms.begin(kind, "", f"{text}: {why}"):
                    log.error("store takes nothing; the spool holds what is recorded", reason=kind, error=why)
            elif self._alarms.end(kind, ""):
                log.info("alarm over", reason=kind)
        self._alarmed = why

    def _say_bad(self) -> None:
        for name in list(self._bad):
            row = self._catalog.row(SegmentKey.parse(name))
            if row is None or row.place is Place.STORE:
                del self._bad[name]
        text = ""
        if self._bad:
            first = min(self._bad)
            text = f"{len(self._bad)} segments of the spool cannot be put as they are, and wait there: {self._bad[first]}"
        if text != self._told:
            self._alarms.say(BAD, text)
            self._told = text


def _ours(error: Exception) -> StreamvaultError:
    if isinstance(error, StreamvaultError):
        return error
    log.error("putting ended by an error of ours", error=error)
    return StoreError(f"putting ended by an error of ours: {type(error).__name__}: {error}")
