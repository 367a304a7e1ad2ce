"""Which hours of which cameras their manifests no longer tell rightly: marks, made in the transaction that changes a row.

A mark is the whole to-do list of `index.manifests`, which takes it up and wipes it; whatever changes meanwhile marks the hour anew.
Cheap on purpose: the first change of an hour costs a put, every further one a look.
"""

from __future__ import annotations

import struct
from typing import Final

from index.environment import ReadTxn, Table, WriteTxn
from vault.ids import CameraNumber
from vault.manifest import HOUR_US

SEGMENTS: Final = b"\1"
"""Only segments changed; their objects tell of themselves, so this may wait until the hour is complete."""

GAPS: Final = b"\2"
"""A gap or erased time changed, which nothing but a manifest tells."""

TAKEN: Final = b"\3"
"""A manifest is being written from what stood here when it was taken up."""

HOUR = struct.Struct(">QI")
"""Hour, camera: the oldest hour of all cameras first."""


def hour_of(at_us: int) -> int:
    """The first microsecond of the hour of an instant."""
    return at_us - at_us % HOUR_US


def mark_segment(txn: WriteTxn, camera: CameraNumber, start_us: int) -> None:
    """A segment that begins then came, went, or says something else."""
    key = HOUR.pack(hour_of(start_us), camera)
    mark = txn.get(Table.STALE, key)
    if mark is None or mark == TAKEN:
        txn.put(Table.STALE, key, SEGMENTS)


def mark_time(txn: WriteTxn, camera: CameraNumber, start_us: int) -> None:
    """A gap or erased time that begins then came, went, or ends elsewhere."""
    txn.put(Table.STALE, HOUR.pack(hour_of(start_us), camera), GAPS)


def mark_of(txn: ReadTxn, camera: CameraNumber, hour_us: int) -> bytes | None:
    return txn.get(Table.STALE, HOUR.pack(hour_us, camera))
