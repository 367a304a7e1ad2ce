"""Why the footage of an instant is still here, or is not. Reads only; the words are those of the plan."""

from __future__ import annotations

from dataclasses import dataclass

from index.doom import Sentence, holds_of
from index.environment import Table
from index.node import Node
from index.pins import pins_of
from index.rows import SegmentRow, State, segment_key
from index.writes import SegmentWriter
from retention.decide import Fate, Item, decide
from retention.deleter import GRACE_US
from retention.policy import DELETION, rules_of
from vault.ids import CameraNumber
from vault.timebase import Interval, format_us


@dataclass(frozen=True, slots=True)
class Explanation:
    """`state`: kept, due, doomed, deleting; or of what is not there expired, gap, never. `row` None: it is not there."""

    state: str
    reason: str
    article: str
    row: SegmentRow | None = None


def explain(node: Node, camera: CameraNumber, at_us: int) -> list[Explanation]:
    """One for each segment that holds the instant (two where another process took the camera), else one for its absence."""
    moment, mono_us, segments = Interval(at_us, at_us + 1), node.clock.mono_us(), SegmentWriter()
    with node.environment.read() as txn:
        rows = list(segments.rows_over(txn, camera, moment))
        holds = list(holds_of(txn, camera))
        pins = [pin for pin in pins_of(txn, camera) if pin.lasts(mono_us)]
        sentences = {row.key: txn.get(Table.DOOMED, segment_key(row.key)) for row in rows}
    if not rows:
        return [_absent(node, camera, moment)]
    plan = decide(rows, rules_of(node.config.retention), {camera: holds}, {camera: pins}, node.clock.now_us())
    return [_present(item, sentences[item.row.key]) for item in plan.items]


def _present(item: Item, raw: bytes | None) -> Explanation:
    if raw is None:
        return Explanation("due" if item.fate is Fate.GO else "kept", item.reason, item.article, item.row)
    sentence = Sentence.unpack(raw)
    if item.row.state is State.DELETING:
        reason = f"{sentence.reason}; batch {sentence.batch} in the ledger deletes it"
        return Explanation("deleting", reason, sentence.rule, item.row)
    reason = f"{sentence.reason}; a hold can spare it until {format_us(sentence.at_us + GRACE_US)} at least"
    return Explanation("doomed", reason, sentence.rule, item.row)


def _absent(node: Node, camera: CameraNumber, moment: Interval) -> Explanation:
    view = node.timeline.view(camera, moment)
    if any(item.overlaps(moment) for item in view.expired):
        return Explanation("expired", "its time was over and it was deleted; the ledger has the batch", DELETION)
    for gap in view.gaps:
        if gap.start_us <= moment.start_us < gap.end_us:
            return Explanation("gap", f"nothing was recorded: {gap.reason}", "")
    return Explanation("never", "the camera was not to be recorded then, or it is still being recorded", "")
