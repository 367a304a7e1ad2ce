"""D4 to D6: doomed segments past their grace become batches in the ledger, objects that are gone, and rows that are erased.

Every step is repeated after a crash under the batch's own id: rows that are `deleting` are what is left of a batch. The id begins
with the ledger's size before the batch, so that a repetition knows from where on its entries may stand.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from index.catalog import MAX_ROWS, Catalog
from index.doom import Sentence
from index.rows import Place, SegmentRow, State
from vault.clock import Clock
from vault.errors import Damaged, NotFound, StoreError
from vault.files import store_error, sync_folder
from vault.ids import SegmentKey
from vault.ledger.canonical import Value
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.ledger.lists import ListRef, read_list, write_list
from vault.logs import Log
from vault.spool import Spool
from vault.store.interface import ObjectStore
from vault.timebase import US

log = Log("retention.deleter")

GRACE_US: Final = 3_600 * US
"""D3: from doom to deletion, so that a hold can still spare and a reader finish."""
ACTOR: Final = "retention"

FIRST_BACKOFF_US = 60 * US
LAST_BACKOFF_US = 6 * 3_600 * US
_LIST_FROM = 4
"""From so many objects of a folder on, its listing is cheaper than looking for each."""
_MAX_REASONS = 20

DERIVED: tuple[Callable[[SegmentKey], Iterable[str]], ...] = ()
"""Whatever makes objects out of a segment (thumbnails, transcodes) names them here by a function; they go with it."""

Marked = tuple[SegmentRow, Sentence]


@dataclass(slots=True)
class Deleted:
    """What a round did. `oldest_us`: the least minimum among what is doomed and still there, 0 when nothing is."""

    segments: int = 0
    size_bytes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    spared: int = 0
    waiting: int = 0
    oldest_us: int = 0


@dataclass(frozen=True, slots=True)
class _Aside:
    due_us: int
    backoff_us: int
    why: str


class Deleter:
    """One at a time (`DataFolder.retention_lock`). What it set aside is forgotten with it, and then tried at once."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        spool: Spool,
        ledger: Ledger,
        clock: Clock,
        *,
        pause: Callable[[float], bool],
        per_second: int = 0,
    ) -> None:
        """`pause` waits so many seconds and returns True when the work shall end; `per_second` 0 is no limit."""
        self._catalog = catalog
        self._store = store
        self._spool = spool
        self._ledger = ledger
        self._clock = clock
        self._pause = pause
        self._per_second = per_second
        self._aside: dict[SegmentKey, _Aside] = {}
        self._listed: dict[str, ListRef] = {}
        self._grace_us = GRACE_US

    def run(self, now_us: int, grace_us: int = GRACE_US) -> Deleted:
        """Batches that were begun, then new ones of what was doomed a grace ago. Raises StoreError when the store is away, and
        what ledger and index raise; then everything else waits too."""
        self._grace_us = grace_us
        done = Deleted()
        begun: dict[str, list[Marked]] = defaultdict(list)
        # The list is read to its end first: a batch that was begun is finished whole.
        for marked in doomed_of(self._catalog):
            if marked[0].state is State.DELETING:
                begun[marked[1].batch].append(marked)
        goes_on = all(self._finish(batch, rows, done, again=True) for batch, rows in begun.items())
        ripe: list[Marked] = []
        for marked in doomed_of(self._catalog):
            row, sentence = marked
            if row.state is State.DELETING:
                continue
            if not goes_on or sentence.at_us + grace_us > now_us:
                self._leave(done, row)
                continue
            ripe.append(marked)
            if len(ripe) == MAX_ROWS:
                goes_on, ripe = self._begin(ripe, done), []
        if ripe:
            self._begin(ripe, done)
        return done

    def _leave(self, done: Deleted, row: SegmentRow) -> None:
        done.waiting += 1
        done.oldest_us = min(done.oldest_us or row.min_until_us, row.min_until_us)

    def _begin(self, rows: list[Marked], done: Deleted) -> bool:
        """D4. Holds and pins are asked by the index, in the transaction that marks."""
        newest = self._ledger.newest()
        batch = f"{newest.checkpoint.size if newest else 0:012d}-{secrets.token_hex(6)}"
        outcome = self._catalog.mark_deleting([row.key for row, _ in rows], batch)
        refused = dict(outcome.refused)
        for row, _ in rows:
            if (why := refused.get(row.key)) is not None:
                log.info("segment is not deleted", segment=row.key.object_key, reason=why)
                done.spared += 1
                if (now := self._catalog.row(row.key)) is not None and now.state is State.DOOMED:
                    self._leave(done, row)
        marked = [item for item in rows if item[0].key not in refused]
        return self._finish(batch, marked, done) if marked else True

    def _finish(self, batch: str, marked: Sequence[Marked], done: Deleted, *, again: bool = False) -> bool:
        """The list in the ledger, D5, D6. `again`: it was begun earlier. False when the work shall end."""
        mono_us = self._clock.mono_us()
        now = [item for item in marked if (aside := self._aside.get(item[0].key)) is None or aside.due_us <= mono_us]
        waiting = {row.key for row, _ in marked} - {row.key for row, _ in now}
        for row, _ in marked:
            if row.key in waiting:
                self._leave(done, row)
                done.failed.append((row.key.object_key, self._aside[row.key].why))
        if not now:
            return True
        since = int(batch.partition("-")[0])
        if batch not in self._listed:
            self._listed[batch] = self._announce(batch, since, now)
        failures = self._delete([row for row, _ in now])
        gone = [item for item in now if item[0].key not in failures]
        for row, _ in now:
            if row.key in failures:
                self._set_aside(row.key, failures[row.key], mono_us)
                self._leave(done, row)
                done.failed.append((row.key.object_key, failures[row.key]))
        if gone:
            told = self._completed(batch, since) if again else frozenset()
            self._complete(batch, since, [item for item in gone if item[0].key.object_key not in told])
            self._catalog.erase([row.key for row, _ in gone])
            for row, _ in gone:
                self._aside.pop(row.key, None)
        done.segments += len(gone)
        done.size_bytes += sum(row.size_bytes for row, _ in gone)
        seconds = len(now) / self._per_second if self._per_second else 0.0
        return not self._pause(max(0.0, seconds - (self._clock.mono_us() - mono_us) / US))

    def _announce(self, batch: str, since: int, marked: Sequence[Marked]) -> ListRef:
        """Durable in the ledger before the first object goes."""
        rows = [row for row, _ in marked]
        reasons: list[Value] = [*islice(dict.fromkeys(sentence.reason for _, sentence in marked), _MAX_REASONS)]
        rules: list[Value] = [*sorted({sentence.rule for _, sentence in marked})]
        cameras: list[Value] = [*sorted({row.key.camera for row in rows})]
        ref = write_list(self._ledger.folder, (row.key.object_key for row in rows))
        # Said where it was not the usual hour: somebody may ask why a hold came too late.
        haste: dict[str, Value] = {} if self._grace_us == GRACE_US else {"grace_us": self._grace_us}
        self._ledger.append(
            [
                NewEntry(
                    Kind.DELETION,
                    ACTOR,
                    {"batch": batch, "cameras": cameras},
                    {
                        "segments": len(rows),
                        "bytes": sum(row.size_bytes for row in rows),
                        "from_us": min(row.key.start_us for row in rows),
                        "to_us": max(row.end_us for row in rows),
                        "reasons": reasons,
                        "rules": rules,
                        "list": ref.value,
                        **haste,
                    },
                    id=f"deletion:{batch}",
                )
            ],
            unless_since=since,
        )
        return ref

    def _completed(self, batch: str, since: int) -> frozenset[str]:
        """What the ledger says of this batch to be gone: rows of it may have been left when their erasing was cut short."""
        found: set[str] = set()
        for entry in self._ledger.entries(since):
            named = entry.body.get("list")
            if entry.kind == Kind.DELETED and entry.subject.get("batch") == batch and isinstance(named, dict):
                # A list that cannot be read tells nothing, and then it is told twice.
                with suppress(Damaged, NotFound):
                    found.update(read_list(self._ledger.folder, str(named.get("sha256"))))
        return frozenset(found)

    def _complete(self, batch: str, since: int, gone: Sequence[Marked]) -> None:
        """D6, first half. What is left of a batch gets a list of its own when it goes. `doomed`: when, and how many of them then,
        for whoever counts what became of a forecast."""
        if not gone:
            return
        whole = len(gone) == self._listed[batch].count
        ref = self._listed[batch] if whole else write_list(self._ledger.folder, (row.key.object_key for row, _ in gone))
        body: dict[str, Value] = {
            "segments": len(gone), "bytes": sum(row.size_bytes for row, _ in gone), "list": ref.value,
            "doomed": _dooms(sentence.at_us for _, sentence in gone),
        }  # fmt: skip
        entry = NewEntry(Kind.DELETED, ACTOR, {"batch": batch}, body, id=f"deleted:{batch}:{ref.sha256[:16]}")
        self._ledger.append([entry], unless_since=since)

    def _delete(self, rows: Sequence[SegmentRow]) -> dict[SegmentKey, str]:
        """D5: objects and spool files go, and are looked for. What is still there, and why. Raises StoreError."""
        owner: dict[str, SegmentKey] = {}
        for row in rows:
            owner[row.key.object_key] = row.key
            owner.update((name, row.key) for derived in DERIVED for name in derived(row.key))
        failures = {owner[failure.key]: str(failure.error) for failure in self._store.delete(owner)}
        for name in self._still_there(owner):
            failures.setdefault(owner[name], f"{name}: the store says that it is deleted, and it is still there")
        for row in rows:
            try:
                self._spool.remove(row.key)
                if row.place is Place.SPOOL:
                    # A name that came back after a power cut would be adopted as new footage.
                    sync_folder(self._spool.path_of(row.key).parent)
            except StoreError as error:
                failures.setdefault(row.key, str(error))
            except OSError as error:
                failures.setdefault(row.key, str(store_error(f"removing {row.key.object_key} from the spool", error)))
        return failures

    def _still_there(self, names: Iterable[str]) -> list[str]:
        folders: dict[str, list[str]] = defaultdict(list)
        for name in names:
            folders[name.rpartition("/")[0]].append(name)
        found: list[str] = []
        for folder, inside in folders.items():
            if len(inside) < _LIST_FROM:
                found += [name for name in inside if self._is_there(name)]
            else:
                found += {item.key for item in self._store.list(f"{folder}/")}.intersection(inside)
        return found

    def _is_there(self, name: str) -> bool:
        try:
            return self._store.stat(name) is not None
        except Damaged:
            return True

    def _set_aside(self, key: SegmentKey, why: str, mono_us: int) -> None:
        before = self._aside.get(key)
        backoff_us = FIRST_BACKOFF_US if before is None else min(LAST_BACKOFF_US, before.backoff_us * 2)
        self._aside[key] = _Aside(mono_us + backoff_us, backoff_us, why)
        log.error("object not deleted, tried again later", segment=key.object_key, error=why, again_in_s=backoff_us // US)


def doomed_of(catalog: Catalog) -> Iterator[Marked]:
    """Every doomed and deleting row, in pieces."""
    after: SegmentKey | None = None
    while found := catalog.doomed(MAX_ROWS, after):
        yield from found
        after = found[-1][0].key


def _dooms(moments: Iterable[int]) -> list[Value]:
    """Moments of doom and how many each had. Of many the earliest are counted as the first of the others: later, so that whoever
    compares with a forecast finds too much rather than too little."""
    counts = sorted(Counter(moments).items())
    first = max(0, len(counts) - _MAX_REASONS)
    early = sum(count for _, count in counts[:first])
    return [[at_us, count + (early if at == first else 0)] for at, (at_us, count) in enumerate(counts) if at >= first]
