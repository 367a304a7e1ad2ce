"""Why nothing was recorded: the words of gap rows. A gap's reason is one of these, sometimes with figures behind it."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    CONNECTING = "connecting"
    UNREACHABLE = "unreachable"
    CREDENTIALS = "stored credentials do not open"
    REFUSED = "refused by camera"
    CLOSED = "closed by camera"
    STALLED = "no data from camera"
    LOST = "packets lost"
    NO_KEY_FRAME = "waiting for key frame"
    CLOCK_STEP = "host clock stepped"
    CAMERA_CLOCK = "camera clock drifts"
    DISK = "disk full or failing"
    SPOOL = "spool full"
    STORE = "store full"
    CRASH = "crash"
    STOPPED = "recorder stopped"
    DISABLED = "recording switched off"
    TAKEN_OVER = "taken over"
