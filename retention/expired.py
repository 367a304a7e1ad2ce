"""What has reached its minimum, as the index counts it, in pieces that `decide` can take. Reads only.

Each piece is one short snapshot with the holds, pins and raises of its cameras, and whole hours of expiry; so it costs what has
expired, and a run over a million segments keeps no million in memory. A raise that is not in the rows yet counts all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from index.doom import Hold, holds_of, objection_to_all
from index.environment import Environment, ReadTxn
from index.expiry import expiry_hours, expiry_sums, rows_of_hour
from index.minima import Raise, pending_raises, raised_by
from index.pins import Pin, pins_of
from index.rows import SegmentRow
from index.writes import SegmentWriter
from retention.decide import Plan, decide
from retention.policy import Rules
from vault.ids import CameraNumber

PIECE_ROWS = 2_000


@dataclass(slots=True)
class Piece:
    """Rows, each with its minimum by every raise, and what keeps footage of their cameras. `all_stay`: as in `decide`."""

    rows: list[SegmentRow] = field(default_factory=list)
    holds: dict[CameraNumber, list[Hold]] = field(default_factory=dict)
    pins: dict[CameraNumber, list[Pin]] = field(default_factory=dict)
    all_stay: str | None = None
    _raises: dict[CameraNumber, list[Raise]] = field(default_factory=dict)
    _asked: set[CameraNumber] = field(default_factory=set)

    def ask(self, txn: ReadTxn, camera: CameraNumber, mono_us: int) -> None:
        """What keeps this camera's footage, looked up once."""
        if camera not in self._asked:
            self._asked.add(camera)
            if holds := list(holds_of(txn, camera)):
                self.holds[camera] = holds
            if pins := [pin for pin in pins_of(txn, camera) if pin.lasts(mono_us)]:
                self.pins[camera] = pins
            if raises := pending_raises(txn, camera):
                self._raises[camera] = raises

    def add(self, row: SegmentRow) -> None:
        """A row of a camera that was asked for."""
        raises = self._raises.get(row.key.camera)
        until_us = row.min_until_us if raises is None else raised_by(raises, row)
        self.rows.append(row if until_us == row.min_until_us else replace(row, min_until_us=until_us))


def pieces(environment: Environment, now_us: int, mono_us: int) -> Iterator[Piece]:
    """Committed segments whose row has a minimum that is known and past at `now_us`, the longest past first."""
    segments, after, more = SegmentWriter(), b"", True
    while more:
        more, piece = False, Piece()
        with environment.read() as txn:
            piece.all_stay = objection_to_all(txn)
            for hour in expiry_hours(txn, 1, now_us, after):
                after = hour.key
                piece.ask(txn, hour.camera, mono_us)
                for item in rows_of_hour(txn, hour):
                    piece.add(segments.row(txn, *item))
                if more := len(piece.rows) >= PIECE_ROWS:
                    break
        if piece.rows:
            yield piece


def plans(environment: Environment, rules: Rules, now_us: int, mono_us: int) -> Iterator[Plan]:
    """The plan for each piece: what a run at `now_us` would do. The very one that a run carries out."""
    for piece in pieces(environment, now_us, mono_us):
        yield decide(piece.rows, rules, piece.holds, piece.pins, now_us, all_stay=piece.all_stay)


def expired_sums(environment: Environment, until_us: int | None = None) -> list[tuple[int, int]]:
    """Minimum, and how many committed segments have it, of all that are known and at most `until_us`; None: of all."""
    with environment.read() as txn:
        return [(item.min_until_us, item.segments) for item in expiry_sums(txn, until_us) if item.min_until_us]
