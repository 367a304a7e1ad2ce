"""`tests.support.node_main` on a host whose wall clock somebody sets: the µs by which it is off stand in a file of 8 bytes.

Only the clock of the recorder's own processes is moved, never the machine's; so its kernel, which knows better, is not asked.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

import vault.clock
from vault.clock import SystemClock

with open(os.environ["NODE_CLOCK"], "rb") as _file:
    _offset = mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)


def _now_us(self: SystemClock) -> int:
    return int(time.time_ns() // 1000 + struct.unpack("<q", _offset[:8])[0])


# Workers run this too, since `spawn` imports the main module.
setattr(SystemClock, "now_us", _now_us)  # noqa: B010
setattr(vault.clock, "kernel_time", lambda: None)  # noqa: B010

if __name__ == "__main__":
    from tests.support.node_main import main

    main()
