"""What has reached its minimum, as the index counts it, in pieces that `decide` can take. Reads only.

Each piece is one short snapshot with the holds and pins of its cameras, and whole hours of expiry; so it costs what has expired,
and a run over a million segments keeps no million in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from index.doom import Hold, holds_of
from index.environment import Environment, ReadTxn
from index.expiry import expiry_hours, expiry_sums, rows_of_hour
from index.pins import Pin, pins_of
from index.rows import SegmentRow
from index.writes import SegmentWriter
from retention.decide import Plan, decide
from retention.policy import Rules
from vault.ids import CameraNumber

PIECE_ROWS = 2_000


@dataclass(slots=True)
class Piece:
    """Rows, and what keeps footage of their cameras."""

    rows: list[SegmentRow] = field(default_factory=list)
    holds: dict[CameraNumber, list[Hold]] = field(default_factory=dict)
    pins: dict[CameraNumber, list[Pin]] = field(default_factory=dict)
    _asked: set[CameraNumber] = field(default_factory=set)

    def ask(self, txn: ReadTxn, camera: CameraNumber, mono_us: int) -> None:
        """What keeps this camera's footage, looked up once."""
        if camera not in self._asked:
            self._asked.add(camera)
            if holds := list(holds_of(txn, camera)):
                self.holds[camera] = holds
            if pins := [pin for pin in pins_of(txn, camera) if pin.lasts(mono_us)]:
                self.pins[camera] = pins


def pieces(environment: Environment, now_us: int, mono_us: int) -> Iterator[Piece]:
    """Committed segments whose minimum is known and past at `now_us`, the longest past first."""
    segments, after, more = SegmentWriter(), b"", True
    while more:
        more, piece = False, Piece()
        with environment.read() as txn:
            for hour in expiry_hours(txn, 1, now_us, after):
                after = hour.key
                piece.ask(txn, hour.camera, mono_us)
                piece.rows += [segments.row(txn, *item) for item in rows_of_hour(txn, hour)]
                if more := len(piece.rows) >= PIECE_ROWS:
                    break
        if piece.rows:
            yield piece


def plans(environment: Environment, rules: Rules, now_us: int, mono_us: int) -> Iterator[Plan]:
    """The plan for each piece: what a run at `now_us` would do. The very one that a run carries out."""
    for piece in pieces(environment, now_us, mono_us):
        yield decide(piece.rows, rules, piece.holds, piece.pins, now_us)


def expired_sums(environment: Environment, until_us: int) -> list[tuple[int, int]]:
    """Minimum, and how many committed segments have it, of all that are known and at most `until_us`."""
    with environment.read() as txn:
        return [(item.min_until_us, item.segments) for item in expiry_sums(txn, until_us) if item.min_until_us]
