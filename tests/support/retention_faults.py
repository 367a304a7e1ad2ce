"""What goes wrong around retention in tests: a store that does not delete, a mount that is gone, a process that ends in mid-step."""

from __future__ import annotations

import functools
import importlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from index.environment import WriteTxn
from vault.errors import StoreError, StoreFull
from vault.ledger.ledger import Ledger
from vault.source import OpenSource
from vault.store.bound import MARKER, marker
from vault.store.interface import Failure, Failures, NewObject, ObjectStat, ObjectStore


class Cut(BaseException):
    """The process ends here."""


class FaultyStore:
    """A store that does as the one inside it, but for what it is told. `seen` hears of each deletion before it is done."""

    def __init__(self, inner: ObjectStore, faults: StoreFaults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def at_once(self) -> int:
        return self._inner.at_once

    def put_file(self, key: str, path: Path, *, digest: bytes | None = None, lock_until_us: int = 0) -> None:
        self._inner.put_file(key, path, digest=digest, lock_until_us=lock_until_us)

    def put_files(self, files: Sequence[NewObject]) -> Failures:
        return self._inner.put_files(files)

    def put_bytes(self, key: str, data: bytes) -> None:
        self._inner.put_bytes(key, data)

    def raise_lock(self, key: str, until_us: int) -> None:
        self._inner.raise_lock(key, until_us)

    def open(self, key: str) -> OpenSource:
        return self._inner.open(key)

    def stat(self, key: str) -> ObjectStat | None:
        return self._inner.stat(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return self._inner.list(prefix)

    def delete(self, keys: Iterable[str]) -> Failures:
        wanted = list(keys)
        faults = self._faults
        footage = [key for key in wanted if key.startswith("segments/")]
        faults.seen(footage)
        if faults.refuses:
            raise StoreError("the store does not answer")
        stuck = [key for key in wanted if key in faults.stuck]
        wanted = [key for key in wanted if key not in faults.stuck]
        if faults.cut_half and footage:
            self._inner.delete(wanted[: len(wanted) // 2])
            raise Cut
        failures = [] if faults.lies else self._inner.delete(wanted)
        return [*failures, *(Failure(key, StoreError(f"{key}: is locked")) for key in stuck)]

    def close(self) -> None:
        self._inner.close()


class StoreFaults:
    """What a `FaultyStore` is told. `stuck`: keys that cannot be deleted; `lies`: says that it deletes, and does not."""

    def __init__(self, seen: Callable[[list[str]], None]) -> None:
        self.seen = seen
        self.refuses = self.lies = self.cut_half = False
        self.stuck: set[str] = set()

    def lift(self) -> None:
        self.refuses = self.lies = self.cut_half = False
        self.stuck = set()

    @property
    def any(self) -> bool:
        return bool(self.refuses or self.lies or self.stuck)


class Mount:
    """The folder of a local store, which may be away: not there, an empty folder in its place, or another index's store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = path.with_name("mounted elsewhere")
        self.is_away = False

    def take_away(self, instead: str) -> None:
        if not self.is_away:
            self.path.rename(self._kept)
            self.is_away = True
            if instead != "nothing":
                self.path.mkdir()
            if instead == "foreign":
                file = self.path / MARKER
                file.parent.mkdir()
                file.write_bytes(marker("ab" * 16))

    def bring_back(self) -> None:
        if self.is_away:
            if self.path.exists():
                assert not (self.path / "segments").exists(), "footage was put into a store that is not the index's"
                shutil.rmtree(self.path)
            self._kept.rename(self.path)
            self.is_away = False


STEPS = {
    "D1 decide": "retention.sweep:expired_sums",
    "D1 plan": "retention.sweep:Sweep._doom_piece",
    "D2 doom": "index.catalog:Catalog.doom",
    "D2 foretell": "retention.sweep:Sweep._foretell",
    "D3 grace": "retention.deleter:Deleter.run",
    "D4 mark": "index.catalog:Catalog.mark_deleting",
    "D4 list": "retention.deleter:write_list",
    "D4 announce": "retention.deleter:Deleter._announce",
    "D5 objects": "retention.deleter:Deleter._delete",
    "D5 look": "retention.deleter:Deleter._still_there",
    "D5 spool": "vault.spool:Spool.remove",
    "D6 complete": "retention.deleter:Deleter._complete",
    "D6 erase": "index.catalog:Catalog.erase",
    "raise": "index.raising:Raising._step",
    "fix": "retention.service:fix_unknown",
    "remember": "retention.sweep:Sweep._remember",
}
"""Where a run may be cut short, before each or after it."""


def place(name: str) -> tuple[Any, str]:
    """`package.module:Class.method` as the object that holds it and the attribute."""
    module, _, path = name.partition(":")
    holder: Any = importlib.import_module(module)
    *parts, last = path.split(".")
    for part in parts:
        holder = getattr(holder, part)
    return holder, last


class Cuts:
    """Ends the process, by an exception that nothing catches, at the n-th call of a step or the n-th commit; once."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._step, self._left, self._after = "", 0, False
        self.ledger_full = False
        for step, name in STEPS.items():
            self._wrap(patch, step, name)
        self._wrap_commit(patch)
        self._wrap_ledger(patch)

    def arm(self, step: str, call: int, *, after: bool) -> None:
        """`step`: one of STEPS, "commit" or "ledger"; empty is none."""
        self._step, self._left, self._after = step, call, after

    def _due(self, step: str) -> bool:
        if step != self._step:
            return False
        self._left -= 1
        if self._left == 0:
            self._step = ""
            return True
        return False

    def _wrap(self, patch: pytest.MonkeyPatch, step: str, name: str) -> None:
        holder, attribute = place(name)
        whole = getattr(holder, attribute)

        @functools.wraps(whole)
        def cutting(*given: Any, **named: Any) -> Any:
            due, after = self._due(step), self._after
            if due and not after:
                raise Cut
            result = whole(*given, **named)
            if due:
                raise Cut
            return result

        patch.setattr(holder, attribute, cutting)

    def _wrap_commit(self, patch: pytest.MonkeyPatch) -> None:
        whole = WriteTxn.__exit__

        def cutting(txn: WriteTxn, kind: Any, error: BaseException | None, trace: Any) -> None:
            due, after = error is None and self._due("commit"), self._after
            if due and not after:
                whole(txn, Cut, Cut(), None)
                raise Cut
            whole(txn, kind, error, trace)
            if due:
                raise Cut

        patch.setattr(WriteTxn, "__exit__", cutting)

    def _wrap_ledger(self, patch: pytest.MonkeyPatch) -> None:
        whole = Ledger.append

        def cutting(ledger: Ledger, *given: Any, **named: Any) -> Any:
            if self.ledger_full:
                raise StoreFull("no space for the ledger")
            due, after = self._due("ledger"), self._after
            if due and not after:
                raise Cut
            receipt = whole(ledger, *given, **named)
            if due:
                raise Cut
            return receipt

        patch.setattr(Ledger, "append", cutting)
