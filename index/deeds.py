"""What the ledger says of a change in the registry: which document, which of its fields from what to what, no secret in any."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from index.kinds import NUMBERED
from vault.ledger.canonical import MAX_INTEGER, Value
from vault.ledger.entry import Kind, NewEntry
from vault.secrets import BLANK, redact

MAX_DOCUMENT_BYTES = 24 * 1024
"""A change of a longer one is told by the names of its fields; the hash of the document stands for the rest."""

_KINDS = {"holds": Kind.HOLD, "raises": Kind.POLICY}
_WHOSE = {"users": ("unit",), "applications": ("unit",), "grants": ("unit",), "tokens": ("user",)}
"""Fields that say whom such a document concerns."""
_SECRET = re.compile(r"(?i)secret|passw|token|credential|private_key|api_key")


def change(
    kind: str, name: str, version: int, raw: bytes, old: Mapping[str, Any] | None, new: Mapping[str, Any], actor: str
) -> NewEntry:
    """The entry of a document's next version. `old` is None for the first; `raw` is the new document's object."""
    fields = sorted({*new, *(old or {})})
    # A secret that was replaced by another looks the same before and after, and is a change all the same.
    changed = [field for field in fields if (old or {}).get(field) != new.get(field)]
    body: dict[str, Value] = {"version": version, "sha256": hashlib.sha256(raw).hexdigest()}
    if len(raw) <= MAX_DOCUMENT_BYTES and len(str(old)) <= MAX_DOCUMENT_BYTES:
        body["changed"] = {field: [_shown(field, (old or {}).get(field)), _shown(field, new.get(field))] for field in changed}
    else:
        body["changed_fields"] = [field[:100] for field in changed[:100]]
    return NewEntry(_KINDS.get(kind, Kind.REGISTRY), actor, _subject(kind, name, new), body)


def _subject(kind: str, name: str, fields: Mapping[str, Any]) -> dict[str, Value]:
    called = int(name) if kind in NUMBERED else name
    subject: dict[str, Value] = {"document": f"{kind}/{name}", kind.removesuffix("s"): called}
    subject |= {field: str(fields[field]) for field in _WHOSE.get(kind, ()) if fields.get(field)}
    cameras = fields.get("cameras")
    if isinstance(cameras, list) and len(cameras) <= 1_000 and all(type(number) is int for number in cameras):
        subject["cameras"] = cameras
    return subject


def _shown(name: str, value: Any) -> Value:
    """A field's value as it may stand in the ledger."""
    if value is None or isinstance(value, bool):
        return value
    if _SECRET.search(name):
        return BLANK
    if isinstance(value, str):
        return _plain(redact(value))
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return value
    if isinstance(value, list | tuple):
        return [_shown(name, item) for item in value]
    if isinstance(value, dict):
        return {str(field): _shown(str(field), item) for field, item in value.items()}
    return str(value)


def _plain(text: str) -> str:
    """Without halves of surrogate pairs, which have no bytes."""
    return text.encode("utf-8", "replace").decode()
