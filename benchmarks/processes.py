"""What a tree of processes costs, from the kernel: processor time to the nanosecond, resident memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """`cpu_s`: user and system time of all threads there are; `user_s`: its user part, in ticks of the kernel only."""

    cpu_s: float
    user_s: float
    resident_mb: float
    processes: int

    def since(self, earlier: Cost) -> Cost:
        return Cost(self.cpu_s - earlier.cpu_s, self.user_s - earlier.user_s, self.resident_mb, self.processes)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found.extend(tree(int(child)))
    except FileNotFoundError:
        pass
    return found


def cost(pids: list[int]) -> Cost:
    """Of these processes and their descendants; threads that ended meanwhile are not in it."""
    nanoseconds = user = pages = 0
    everyone = [one for pid in pids for one in tree(pid)]
    for pid in everyone:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                nanoseconds += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
            user += int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Cost(nanoseconds / 1e9, user / TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(everyone))
