"""The ledger as syslog messages: entries word for word, in parts where they are long, and checkpoints; and what they tell, read back.

Values only; sending is `index.forwarder`'s. The form is in `vault/ledger/FORMAT.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from vault.errors import Damaged
from vault.ledger.checkpoint import MAX_NOTE_BYTES, SignedCheckpoint, parse_note
from vault.ledger.entry import Entry
from vault.syslog import Priority, SyslogMessage

ENTRY: Final = "LEDGER"
CHECKPOINT: Final = "CHECKPOINT"
"""Their msgids."""

HEAD_BYTES: Final = 1024
"""More than what stands before the text of any message of these."""

MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Of a log that checkpoints are looked for in."""

_NOTE = re.compile(r'\{"note": ?"((?:[^"\\]|\\.){1,2048})"\}')


def entry_messages(entry: Entry, message_bytes: int) -> Iterator[SyslogMessage]:
    """The entry's line in as many messages as it needs, none longer than `message_bytes` when it is encoded."""
    parts = _split(escaped(entry.line.decode()), message_bytes - HEAD_BYTES)
    fields = {"sequence": str(entry.sequence), "id": entry.id, "kind": entry.kind}
    for at, text in enumerate(parts, 1):
        more = {"part": str(at), "parts": str(len(parts))} if len(parts) > 1 else {}
        yield SyslogMessage(entry.time_us, Priority.INFO, ENTRY, text, fields | more)


def checkpoint_message(signed: SignedCheckpoint, at_us: int) -> SyslogMessage:
    """The whole signed note, which is what a ledger that was cut back is found by."""
    checkpoint = signed.checkpoint
    fields = {"origin": checkpoint.origin, "size": str(checkpoint.size), "root": checkpoint.root.hex()}
    text = escaped(json.dumps({"note": signed.note}, ensure_ascii=False))
    return SyslogMessage(at_us, Priority.INFO, CHECKPOINT, text, fields)


def escaped(text: str) -> str:
    """JSON that says the same without a character that is not printed, which a log's viewer might obey."""
    return text if text.isprintable() else "".join(map(_escape, text))


def notes_in(text: str) -> Iterator[SignedCheckpoint]:
    """Checkpoints in a file that somebody kept: notes as they are, or lines of a log that our messages of `CHECKPOINT` are in.
    What cannot be read is passed over; whether a signature is right is not asked."""
    lines = text.splitlines(keepends=True)
    found = ["".join(lines[at - 5 : at + 1]) for at, line in enumerate(lines) if line.startswith("\u2014 ") and at >= 5]
    # A log that is JSON itself has our quotes escaped.
    for whole in (text, text.replace('\\"', '"').replace("\\\\", "\\")):
        found += [str(json.loads(f'"{match}"')) for match in _NOTE.findall(whole) if _is_text(match)]
    for note in dict.fromkeys(found):
        try:
            if len(note) <= MAX_NOTE_BYTES:
                yield parse_note(note)
        except Damaged:
            continue


def _is_text(match: str) -> bool:
    try:
        json.loads(f'"{match}"')
    except ValueError:
        return False
    return True


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    raw = character.encode("utf-16-be")
    return "".join(f"\\u{int.from_bytes(raw[at : at + 2], 'big'):04x}" for at in range(0, len(raw), 2))


def _split(text: str, room_bytes: int) -> list[str]:
    """Cut between characters, so that each part is text of its own."""
    raw, parts = text.encode(), list[str]()
    while len(raw) > room_bytes:
        cut = room_bytes
        while raw[cut] & 0xC0 == 0x80:
            cut -= 1
        parts.append(raw[:cut].decode())
        raw = raw[cut:]
    return [*parts, raw.decode()]
