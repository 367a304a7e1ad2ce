"""What supervisor and worker say to each other over their pipe. Values that pickle; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.closer import Keep
from vault.ids import CameraId, CameraNumber
from vault.media import GapBefore


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera to record: `url` has no userinfo; the password never shows in a repr.

    `gap`: since when and why nothing was recorded before, None for a camera that never was.
    """

    number: CameraNumber
    id: CameraId
    url: str
    transport: str
    epoch: int
    gap: GapBefore | None
    keep: Keep
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Start:
    spec: CameraSpec


@dataclass(frozen=True, slots=True)
class Stop:
    """Record this camera no more; `reason` goes into its gap row."""

    number: CameraNumber
    reason: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Close and commit everything, then end."""

    reason: str


Order = Start | Stop | Shutdown


class CameraStatus(NamedTuple):
    """How a camera is doing; a tuple, since each goes over the pipe every second. `recorded_to_us`: UTC where its footage ends, 0 when it has none from this worker.

    `lost_packets`, `received_bytes`: since the worker took it. `why`: the last failure, for people; empty while it records.
    `clock_lead_us`: the camera's own clock minus the host's monotonic one, None where it has not told it by this connection.
    """

    epoch: int
    recording: bool
    recorded_to_us: int
    received_bytes: int
    lost_packets: int
    why: str
    clock_lead_us: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Sent every second; a worker that sends none is taken for dead. `cpu_us`: processor time it has used."""

    cameras: dict[CameraNumber, CameraStatus]
    cpu_us: int
    backlog_bytes: int


@dataclass(frozen=True, slots=True)
class GapNews:
    """Nothing has been recorded of the camera since `start_us`."""

    number: CameraNumber
    start_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingNews:
    """Footage is being written again, from `start_us` on."""

    number: CameraNumber
    start_us: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The worker let go of the camera: it was fenced out or its files cannot be written. The supervisor assigns it anew."""

    number: CameraNumber
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message after Shutdown: everything is committed."""


News = Status | GapNews | RecordingNews | Dropped | Ended
