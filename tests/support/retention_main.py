"""The service of retention in a process of its own, told what to do by the variable NODE_TEST (JSON): faults and constants as for
`tests.support.node_main`, which puts them in when it is imported.

`once`: a run and its end; else it runs until SIGTERM. When the file `kill-scheduler` appears in the folder of the markers, the thread
of the scheduler is ended from outside, as a fault in it would.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from pathlib import Path

from tests.support.node_main import TOLD


def _kill_scheduler_when_told(folder: Path) -> None:
    while True:
        if (folder / "kill-scheduler").exists():
            for thread in threading.enumerate():
                if thread.name == "APScheduler" and thread.ident is not None:
                    ended = ctypes.py_object(SystemExit)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ended)
                    while thread.is_alive():
                        time.sleep(0.05)
                    (folder / "kill-scheduler").rename(folder / "killed-scheduler")
        time.sleep(0.05)


def main() -> None:
    """One run, or the service."""
    from index.node import open_node
    from retention.service import Retention, run_retention
    from vault import logs
    from vault.clock import SystemClock
    from vault.config import Config
    from vault.config import Retention as Keeping
    from vault.datafolder import DataFolder

    logs.setup("info")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    folder = DataFolder.open(Path(TOLD["data"]))
    # Made without the file: tests run more often than a configuration may ask for.
    config = Config(retention=Keeping(**TOLD.get("retention", {})))
    if TOLD.get("once"):
        with open_node(folder, config, SystemClock()) as node:
            report = Retention(node, stop).run_once()
        assert not report.stopped, report.stopped
        return
    threading.Thread(target=_kill_scheduler_when_told, args=(Path(TOLD["markers"]),), daemon=True).start()
    run_retention(folder, config, stop)


if __name__ == "__main__":
    main()
