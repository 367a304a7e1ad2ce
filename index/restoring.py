"""The mark of an index that is being made anew, and of one whose holds did not all come back: nothing in it is doomed.

The mark of the making holds how far it is, so that it goes on there when it was cut short. The steps are `index.rebuild`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from index.environment import ReadTxn, Table, WriteTxn
from vault.errors import Damaged

_MARK: Final = b"rebuild"
_UNREAD: Final = b"unread-documents"
MAX_KEPT = 1_000


@dataclass(slots=True)
class Progress:
    """How far a rebuild is. `origin` tells the state it was begun in: another one means that it must begin anew.

    `step` has been done up to the object `after`. `refused`: objects that were not taken in, key and why. `absent`: objects that
    a manifest names, that are not there, and that no list of deletions names. The first of both outlive the process.
    """

    origin: str
    step: str
    after: str = ""
    refused: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def progress_of(txn: ReadTxn) -> Progress | None:
    """None in an index that is whole. Raises Damaged."""
    raw = txn.get(Table.META, _MARK)
    if raw is None:
        return None
    try:
        whole = json.loads(raw)
        refused = [(str(key), str(why)) for key, why in whole["refused"]]
        absent = [str(key) for key in whole["absent"]]
        return Progress(str(whole["origin"]), str(whole["step"]), str(whole["after"]), refused, absent)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("the index was being rebuilt, and how far cannot be read; run `index rebuild`") from error


def put_progress(txn: WriteTxn, progress: Progress) -> None:
    whole = {
        "version": 1,
        "origin": progress.origin,
        "step": progress.step,
        "after": progress.after,
        "refused": progress.refused[:MAX_KEPT],
        "absent": progress.absent[:MAX_KEPT],
    }
    txn.put(Table.META, _MARK, json.dumps(whole, separators=(",", ":")).encode())


def end_progress(txn: WriteTxn, unread: int) -> None:
    """The index is whole. `unread`: documents that may forbid a deletion and could not be read."""
    txn.delete(Table.META, _MARK)
    if unread:
        txn.put(Table.META, _UNREAD, unread.to_bytes(8, "big"))


def keeps_everything(txn: ReadTxn) -> str | None:
    """Why nothing may be doomed in this index, None when what forbids a deletion is all here."""
    if txn.get(Table.META, _MARK) is not None:
        return "the index is being rebuilt"
    raw = txn.get(Table.META, _UNREAD)
    if raw is not None:
        count = int.from_bytes(raw, "big")
        return f"{count} documents that may forbid it could not be read; repair them, then run `index rebuild`"
    return None
