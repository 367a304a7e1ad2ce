"""The command `streamvault`: how its process begins and how it ends. What it can do is put together in `access.commands`.

Little is imported here: nothing that takes time, before `main` answers for Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from vault.interrupts import leave_at_once


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    from access import commands

    return commands.run(arguments)


def _terminated(number: int, frame: object) -> None:
    # An exception and not death at once, so that half-written files are taken away. Long-running commands set their own.
    raise SystemExit(128 + number)


def _hold_standard_files() -> None:
    """Where the caller closed one of them, keep its number taken: else the index gets it, and a message lands in the index.

    A closed standard output stays one that fails when it is written; a service that writes nothing there is not kept from it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given, and those below are taken.
            os.open(os.devnull, os.O_RDONLY if fd == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main() -> None:
    """The console script."""
    leave_at_once()
    signal.signal(signal.SIGTERM, _terminated)
    _hold_standard_files()
    code = run(sys.argv[1:])
    leave_at_once()
    sys.exit(code)


if __name__ == "__main__":
    main()
