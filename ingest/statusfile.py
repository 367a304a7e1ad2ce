"""`run/status.json` as the supervisor writes it each second: what each camera does. Reading it is `index.status`.

Not durable, and not read by anything that decides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from index.status import STATUS_FILE
from ingest.crew import Crewman
from ingest.messages import CameraStatus
from vault.files import FILE_MODE
from vault.ids import CameraNumber
from vault.logs import Log

log = Log("ingest.statusfile")


def write_status(run: Path, now_us: int, slots: Mapping[CameraNumber, Crewman], waiting: Mapping[CameraNumber, str]) -> None:
    """Of the cameras that workers have, and of those that wait, why. What keeps it from being written is only logged."""
    path = run / STATUS_FILE
    cameras = {str(number): _shown(man.cameras.get(number), man.pid) for number, man in slots.items()}
    for number, why in waiting.items():
        cameras[str(number)] = {"state": "waiting", "worker": None, "why": why}
    whole = {"at_us": now_us, "pid": os.getpid(), "cameras": cameras}
    temporary = path.with_suffix(".new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        with open(fd, "w", encoding="utf-8") as file:
            # Not `dump`, which goes through Python for each word.
            file.write(json.dumps(whole))
        temporary.replace(path)
    except OSError as error:
        log.warning("status not written", error=str(error))


def _shown(status: CameraStatus | None, pid: int | None) -> dict[str, object]:
    if status is None:
        return {"state": "starting", "worker": pid}
    return {
        "state": "recording" if status.recording else "waiting",
        "worker": pid,
        "epoch": status.epoch,
        "recorded_to_us": status.recorded_to_us,
        "received_bytes": status.received_bytes,
        "lost_packets": status.lost_packets,
        "why": status.why,
    }
