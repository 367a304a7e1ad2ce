"""Rebuilding an index and writing manifests in a process that is killed at the n-th step. Targets of spawned processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from index import rebuild_manifests, rebuild_scan
from index.environment import Environment, WriteTxn
from index.manifests import Manifests
from index.rebuild import rebuild
from tests.support.index_vault import MAP_BYTES
from tests.support.lives import Watched
from vault.clock import ManualClock
from vault.spool import Spool
from vault.store.local import LocalStore

PATIENCE_SECONDS = 60
_EACH_TIME = ("open", "begin rebuild", "count expiry", "bind store", "restore ledger checkpoint")
"""Transactions of every rebuild, also of one that goes on."""


def exit_code(target: Callable[..., None], *args: Any) -> int | None:
    """What a spawned process that runs this ends with."""
    child = multiprocessing.get_context("spawn").Process(target=target, args=args)
    child.start()
    child.join(PATIENCE_SECONDS)
    return child.exitcode


def rebuild_and_die(folder: Path, target: Path, write: int) -> None:
    """A rebuild of a vault in the smallest steps there are, killed when the n-th transaction that brings it on would begin."""
    begin, calls = Environment.write, 0

    def counted(self: Environment, label: str, *, frees: bool = False) -> WriteTxn:
        nonlocal calls
        calls += label not in _EACH_TIME
        if calls == write:
            os.kill(os.getpid(), signal.SIGKILL)
        return begin(self, label, frees=frees)

    setattr(Environment, "write", counted)  # noqa: B010
    rebuild_manifests.TXN_HOURS = rebuild_scan.TXN_ROWS = 1
    with Spool(folder / "spool") as spool, closing(LocalStore(folder / "store")) as store:
        rebuild(store, spool, target, map_bytes=MAP_BYTES)


def write_manifests_and_die(folder: Path, step: int, now_us: int) -> None:
    """Write a vault's manifests, killed at the n-th of these: a transaction begins, is over; a put or deletion begins, is over."""
    begin, end, steps = Environment.write, WriteTxn.__exit__, 0

    def count(name: str) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def begun(self: Environment, label: str, *, frees: bool = False) -> WriteTxn:
        count(label)
        return begin(self, label, frees=frees)

    def ended(self: WriteTxn, *error: Any) -> None:
        end(self, *error)
        count("after a transaction")

    with Environment(folder / "index", MAP_BYTES) as environment, closing(LocalStore(folder / "store")) as store:
        setattr(Environment, "write", begun)  # noqa: B010
        setattr(WriteTxn, "__exit__", ended)  # noqa: B010
        Manifests(environment, Watched(store, count), ManualClock(now_us)).write_all()
