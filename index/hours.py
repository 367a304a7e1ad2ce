"""What only the recorder knows of a camera's hour: pictures, lost packets, and how its clock stood. Figures for planners.

They are added a minute's worth at a time, outside the transactions that commit footage: a crash loses the last minute of figures and
nothing of the footage. Bytes, seconds and gaps are not here: rows and gap rows tell them exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from index.environment import Environment, Table
from vault.errors import Damaged
from vault.ids import CameraNumber

HOUR_US = 3_600_000_000

_KEY = struct.Struct(">II")
_VALUE = struct.Struct("<BB2xIQq")
_VERSION = 1
_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class HourFigures:
    """`frames`: pictures in segments that began in the hour. `clock_offset_us`: the camera's clock minus ours when it was last
    heard in it, None when never."""

    frames: int = 0
    lost_packets: int = 0
    clock_offset_us: int | None = None

    def plus(self, more: HourFigures) -> HourFigures:
        """This, and then `more`."""
        offset_us = self.clock_offset_us if more.clock_offset_us is None else more.clock_offset_us
        return HourFigures(self.frames + more.frames, self.lost_packets + more.lost_packets, offset_us)


CameraHour = tuple[CameraNumber, int]
"""A camera and an hour: whole hours of UTC since 1970."""


class Hours:
    """Over one environment."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    def add(self, figures: Mapping[CameraHour, HourFigures]) -> None:
        """Add to what is there, in one transaction."""
        with self._env.write("add figures of hours") as txn:
            for (camera, hour), more in figures.items():
                raw_key = _KEY.pack(camera, hour)
                raw = txn.get(Table.HOURS, raw_key)
                txn.put(Table.HOURS, raw_key, _pack(more if raw is None else _unpack(raw).plus(more)))

    def of(self, camera: CameraNumber, first_hour: int, stop_hour: int) -> dict[int, HourFigures]:
        """By hour; an hour without any is not there."""
        with self._env.read() as txn:
            items = txn.scan(Table.HOURS, _KEY.pack(camera, first_hour), _KEY.pack(camera, stop_hour))
            return {_KEY.unpack(raw_key)[1]: _unpack(raw) for raw_key, raw in items}

    def drop_before(self, cameras: Iterable[CameraNumber], hour: int) -> None:
        """They are in the store by now."""
        for camera in cameras:
            with self._env.write("drop figures of hours", frees=True) as txn:
                for raw_key in [raw_key for raw_key, _ in txn.scan(Table.HOURS, _KEY.pack(camera, 0), _KEY.pack(camera, hour))]:
                    txn.delete(Table.HOURS, raw_key)


def _pack(figures: HourFigures) -> bytes:
    offset_us = figures.clock_offset_us
    return _VALUE.pack(
        _VERSION, offset_us is not None, min(figures.lost_packets, _U32), figures.frames, 0 if offset_us is None else offset_us
    )


def _unpack(raw: bytes) -> HourFigures:
    try:
        version, has_offset, lost, frames, offset_us = _VALUE.unpack(raw)
        if version != _VERSION:
            raise Damaged(f"figures of an hour of version {version}, this program knows {_VERSION}: use the newer program")
    except struct.error as error:
        raise Damaged(f"figures of an hour in {len(raw)} bytes are not ours; run `index rebuild`") from error
    return HourFigures(frames, lost, offset_us if has_offset else None)
