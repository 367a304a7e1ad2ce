"""Why the footage of an instant is still here, or is not. Reads only; the words are those of the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo

from index.doom import Sentence, objection_to_all, objection_to_doom
from index.environment import ReadTxn, Table
from index.node import Node
from index.rows import SegmentRow, State, segment_key
from index.writes import SegmentWriter
from retention.decide import Fate, Item, decide
from retention.deleter import GRACE_US
from retention.expired import Piece
from retention.policy import DELETION, Rules, rules_of
from vault.ids import CameraNumber
from vault.media import SegmentFlag
from vault.retain import counted_day, local_day
from vault.timebase import Interval, format_local


@dataclass(frozen=True, slots=True)
class Explanation:
    """`state`: kept, due, doomed, deleting; or of what is not there expired, gap, never. `row` None: it is not there."""

    state: str
    reason: str
    article: str
    row: SegmentRow | None = None
    days: str = ""
    """How many the segment has, and from when they count; empty where that is not known."""


def explain(node: Node, camera: CameraNumber, at_us: int) -> list[Explanation]:
    """One for each segment that holds the instant (two where another process took the camera), else one for its absence."""
    moment, mono_us, segments = Interval(at_us, at_us + 1), node.clock.mono_us(), SegmentWriter()
    piece = Piece()
    with node.environment.read() as txn:
        piece.all_stay = objection_to_all(txn)
        piece.ask(txn, camera, mono_us)
        for row in segments.rows_over(txn, camera, moment):
            piece.add(row)
        doomed = {row.key: _Doomed.of(txn, row) for row in piece.rows}
    if not piece.rows:
        return [_absent(node, camera, moment)]
    rules, now_us = rules_of(node.config.retention), node.clock.now_us()
    plan = decide(piece.rows, rules, piece.holds, piece.pins, now_us, all_stay=piece.all_stay)
    zone = node.config.retention.zone
    return [replace(_present(item, doomed[item.row.key]), days=_days(item.row, rules, zone)) for item in plan.items]


def _days(row: SegmentRow, rules: Rules, zone: tzinfo) -> str:
    """Why a row is kept for longer than others of its day and class."""
    day = counted_day(row.end_us, row.counted_us, row.flags, zone)
    if not row.min_until_us or day is None:
        return ""
    # A minimum is the end of its last day.
    days, late = (local_day(row.min_until_us - 1, zone) - day).days, (day - local_day(row.end_us, zone)).days
    if row.flags & SegmentFlag.CLOCK_UNCONFIRMED:
        since = "when it was recorded is in doubt: they count from when the clock was right again, and are the most its camera ever had"
    elif row.flags & SegmentFlag.RECOVERED:
        since = f"a crash left it open, and it was closed {_later(late)}"
    elif late:
        since = f"it was closed {_later(late)}"
    else:
        since = "it was closed on the day it ended"
    rule = rules.get(row.site_class)
    more = (
        "" if rule is None or days <= rule.days else f"; more than its class's {rule.days}, by its site, its camera or a raise"
    )
    return f"{days} days after {day.isoformat()}: {since}{more}"


def _later(days: int) -> str:
    return "on the day it ended" if days == 0 else f"{days} day{'s' if days > 1 else ''} after it ended"


@dataclass(frozen=True, slots=True)
class _Doomed:
    """`why_not`: what came in between and will spare it, None when nothing did."""

    sentence: Sentence
    why_not: str | None

    @classmethod
    def of(cls, txn: ReadTxn, row: SegmentRow) -> _Doomed | None:
        raw = txn.get(Table.DOOMED, segment_key(row.key))
        if raw is None:
            return None
        sentence = Sentence.unpack(raw)
        return cls(sentence, objection_to_doom(txn, row, sentence.at_us))


def _present(item: Item, doomed: _Doomed | None) -> Explanation:
    if doomed is None:
        return Explanation("due" if item.fate is Fate.GO else "kept", item.reason, item.article, item.row)
    sentence = doomed.sentence
    if item.row.state is State.DELETING:
        reason = f"{sentence.reason}; batch {sentence.batch} in the ledger deletes it"
        return Explanation("deleting", reason, sentence.rule, item.row)
    if doomed.why_not is not None:
        return Explanation("doomed", f"{sentence.reason}; the next run spares it: {doomed.why_not}", sentence.rule, item.row)
    reason = f"{sentence.reason}; a hold can spare it until {format_local(sentence.at_us + GRACE_US)} at least"
    return Explanation("doomed", reason, sentence.rule, item.row)


def _absent(node: Node, camera: CameraNumber, moment: Interval) -> Explanation:
    view = node.timeline.view(camera, moment)
    if any(item.overlaps(moment) for item in view.expired):
        return Explanation("expired", "its time was over and it was deleted; the ledger has the batch", DELETION)
    for gap in view.gaps:
        if gap.start_us <= moment.start_us < gap.end_us:
            return Explanation("gap", f"nothing was recorded: {gap.reason}", "")
    return Explanation("never", "the camera was not to be recorded then, or it is still being recorded", "")
