"""Ctrl-C at the two ends of a process, where there is nothing to take away: it ends at once, without a word, with the shell's code.

In between it is the exception KeyboardInterrupt, which the command line turns into a line. While modules are imported that would end
as a trace, or be dropped by the import machinery. What long-running commands do with signals is theirs.
"""

from __future__ import annotations

import os
import signal


def leave_at_once() -> None:
    """From here on. Whoever is to ignore Ctrl-C, as in a shell's background, goes on to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """The end of `leave_at_once`."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:
    os._exit(128 + number)
