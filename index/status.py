"""What the running recorder says of its cameras, for people. Nothing that decides may read it: it is written without a sync.

The recorder writes `run/status.json` each second; what is older than a few seconds is no news and is not shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vault.timebase import US

STATUS_FILE = "status.json"
"""In the data folder's `run`."""

FRESH_US = 5 * US
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LiveState:
    """`state`: `recording`, `waiting` or `starting`. `why`: the last failure, empty while it records."""

    state: str = "starting"
    why: str = ""
    recorded_to_us: int | None = None
    lost_packets: int = 0
    received_bytes: int = 0


def read_status(path: Path, now_us: int) -> dict[int, LiveState] | None:
    """By camera number, None when no recorder runs or what it wrote cannot be read."""
    try:
        with path.open("rb") as file:
            whole = json.loads(file.read(MAX_BYTES))
        if not -FRESH_US < now_us - int(whole["at_us"]) < FRESH_US:
            return None
        return {int(number): _state(one) for number, one in whole["cameras"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(one: dict[str, object]) -> LiveState:
    recorded_to = one.get("recorded_to_us")
    return LiveState(
        str(one["state"]),
        str(one.get("why", "")),
        recorded_to if isinstance(recorded_to, int) and recorded_to > 0 else None,
        int(str(one.get("lost_packets", 0))),
        int(str(one.get("received_bytes", 0))),
    )
