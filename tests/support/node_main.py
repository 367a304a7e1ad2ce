"""A supervisor in a process of its own, told what to do by the variable NODE_TEST (JSON); see `tests.support.node`.

Its workers run this module too before anything else (`spawn` imports the main module), so that a fault can be put before or
after the n-th call of any function in whichever process comes to it first. The product itself has no hooks.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.rows import NewRow

TOLD: dict[str, Any] = json.loads(os.environ.get("NODE_TEST", "{}"))


def _find(name: str) -> tuple[Any, str]:
    """`package.module:Class.method` as the object that holds it and the attribute."""
    module, _, path = name.partition(":")
    holder: Any = importlib.import_module(module)
    *parts, last = path.split(".")
    for part in parts:
        holder = getattr(holder, part)
    return holder, last


def _put(fault: dict[str, Any], marker: Path) -> None:
    """Wrap the function: at its n-th call in this process the fault happens, once for all processes."""
    holder, name = _find(fault["at"])
    whole: Callable[..., Any] = getattr(holder, name)
    calls = 0
    lock = threading.Lock()

    def strike() -> None:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        if "raise" in fault:
            raise {"RuntimeError": RuntimeError, "SystemExit": SystemExit}[fault["raise"]]("a fault that nobody foresaw")
        if fault.get("hang"):
            time.sleep(fault["hang"])
            return
        # To this very thread: a stop that another thread takes up leaves this one a moment in which to go on.
        signal.pthread_kill(threading.get_ident(), getattr(signal, fault.get("signal", "SIGKILL")))

    @functools.wraps(whole)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            due = calls == fault.get("call", 1)
        if due and fault.get("when", "before") == "before":
            strike()
        result = whole(*args, **kwargs)
        if due and fault.get("when", "before") == "after":
            strike()
        return result

    setattr(holder, name, wrapped)


def _log_commits(path: Path) -> None:
    """Every segment whose commit was acknowledged, a line each, in a file that outlives the data folder's disk."""
    from index.catalog import Catalog

    whole = Catalog.commit

    @functools.wraps(whole)
    def wrapped(self: Catalog, rows: Sequence[NewRow], **options: Any) -> None:
        whole(self, rows, **options)
        lines = "".join(f"{row.key.object_key} {row.blake3.hex()}\n" for row in rows)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, lines.encode())
        os.close(fd)

    Catalog.commit = wrapped  # type: ignore[method-assign]


def _prepare() -> None:
    """In this process: the fault that is next, and other constants."""
    if TOLD.get("commits"):
        _log_commits(Path(TOLD["commits"]))
    for name, value in TOLD.get("set", {}).items():
        holder, last = _find(name)
        assert hasattr(holder, last)
        setattr(holder, last, value)
    here = "supervisor" if __name__ == "__main__" else "worker"
    markers = Path(TOLD["markers"])
    for number, fault in enumerate(TOLD.get("faults", [])):
        marker = markers / f"{number:03d}"
        if not marker.exists():
            if fault.get("who", "worker") == here:
                _put(fault, marker)
            if "raise" not in fault and "hang" not in fault:
                # One after the other: the next one is for the next process.
                return


def main() -> None:
    """Record until SIGTERM."""
    from ingest.supervisor import run_node
    from vault import logs
    from vault.config import Config, Recording, Store
    from vault.datafolder import DataFolder

    logs.setup("info")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Made without the file: tests use shorter segments than a configuration may ask for.
    config = Config(recording=Recording(**TOLD["recording"]), store=Store(**TOLD.get("store", {})))
    run_node(DataFolder.open(Path(TOLD["data"])), config, stop)


if TOLD:
    _prepare()
if __name__ == "__main__":
    main()
