"""The cameras' clocks as the recorder noted them last, for every process that judges the host's clock.

What they say is `vault.cameraclocks`' to find. A note counts for minutes and for this boot: it is told against the monotonic clock.
"""

from __future__ import annotations

from typing import Final

from index.duties import duty_of, put_duty
from index.environment import Environment, ReadTxn
from vault.cameraclocks import CameraClocks, CameraGroup
from vault.errors import Damaged
from vault.timebase import US

DUTY: Final = "camera clocks"
FRESH_US: Final = 300 * US


def note_clocks(environment: Environment, clocks: CameraClocks, mono_us: int, boot: str) -> None:
    """Durable when it returns. Raises what the index raises."""
    groups = [[group.lead_us, group.cameras] for group in clocks.groups]
    with environment.write("note cameras' clocks", frees=True) as txn:
        put_duty(txn, DUTY, {"groups": groups, "voting": clocks.voting, "mono_us": mono_us, "boot": boot})


def noted_clocks(txn: ReadTxn, mono_us: int, boot: str) -> CameraClocks:
    """None of them where the note is old, or of another boot. Raises Damaged."""
    duty = duty_of(txn, DUTY)
    try:
        if duty is None or duty["boot"] != boot or not 0 <= mono_us - int(duty["mono_us"]) <= FRESH_US:
            return CameraClocks()
        groups = tuple(CameraGroup(int(lead_us), int(cameras)) for lead_us, cameras in duty["groups"])
        return CameraClocks(groups, int(duty["voting"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"what {DUTY!r} remembers cannot be read; run `index rebuild`") from error
