"""What an entry of the ledger says, in a line for people: `about` whom or what, and `what` was done. The entry itself is in --json.

Entries of other programs, and fields that are not as they should be, are shown as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from index.kinds import NUMBERED
from vault.console import size_text
from vault.days import begin_shown, end_shown, span_shown
from vault.errors import UsageError
from vault.ledger.entry import Entry, Kind
from vault.timebase import MAX_US, US, Interval, format_local

SHOWN_CHARS: Final = 200
_MAX_LISTED = 6
_FIRST = ("id", "name")
_LEAST_MOMENT_US = 10**14
"""In 1973."""
_TERMS: Final = ("valid", "window")
_TERM_ENDS: Final = ("until_us", "valid_from_us", "valid_to_us")


def about(entry: Entry) -> str:
    """Whom or what it is about."""
    subject = dict(entry.subject)
    document = subject.pop("document", None)
    if isinstance(document, str):
        kind, _, name = document.partition("/")
        called = f"{kind.removesuffix('s')} {'#' + name.lstrip('0') if kind in NUMBERED else name}"
        rest = {key: value for key, value in subject.items() if key != kind.removesuffix("s")}
    else:
        called, rest = "", subject
    words = [called] if called else []
    for key, value in rest.items():
        if key in ("camera", "cameras"):
            numbers = value if isinstance(value, list) else [value]
            if not numbers:
                continue
            words.append(f"camera{'s' if len(numbers) != 1 else ''} {_listed([f'#{number}' for number in numbers])}")
        else:
            words.append(f"{key} {_shown(value)}")
    return _cut(", ".join(words))


def what(entry: Entry) -> str:
    """What was done."""
    made = _KINDS.get(entry.kind)
    try:
        return _cut(made(entry.body) if made is not None else _fields(entry.body))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, UsageError):
        return _cut(_fields(entry.body))


def _document(body: Mapping[str, Any]) -> str:
    """A registry document's next version: each field from what to what."""
    changed = body.get("changed")
    if changed is not None:
        changed = dict(sorted(changed.items(), key=lambda item: (item[0] not in _FIRST, item[0])))
    if changed is None:
        return f"version {body['version']}: {_listed(body['changed_fields'])} changed"
    if body["version"] == 1:
        news = [_field(name, after) for name, (_, after) in changed.items() if after not in (None, "", [], {})]
        return f"new: {'; '.join(news)}"
    changes = [f"{_field(name, before)} → {_value(name, after)}" for name, (before, after) in changed.items()]
    return f"version {body['version']}: {'; '.join(changes)}"


def _deletion(body: Mapping[str, Any]) -> str:
    span = f" of {_moment(body['from_us'])} – {_moment(body['to_us'])}" if "from_us" in body else ""
    why = f": {_listed(body['reasons'])}" if body.get("reasons") else ""
    return f"{body['segments']:,} segments, {size_text(body['bytes'])}{span} are about to be deleted{why}"


def _deleted(body: Mapping[str, Any]) -> str:
    return f"{body['segments']:,} segments, {size_text(body['bytes'])}, are gone"


def _retention(body: Mapping[str, Any]) -> str:
    if "confirmed" in body:
        return f"plan {body['confirmed']} of {body['segments']:,} segments was confirmed"
    if "halted" in body:
        return f"halted: {body['due']:,} segments are due and {body['foretold']:,} were foretold (plan {body['halted']})"
    if "foretold" in body:
        total = sum(count for _, count in body["foretold"])
        return f"foretells {total:,} segments; {body['doomed_since_last']:,} were doomed since the last time"
    return _fields(body)


def _clock(body: Mapping[str, Any]) -> str:
    state = ""
    if "unconfirmed_since_us" in body:
        state = f"unconfirmed since {_moment(body['unconfirmed_since_us'])}"
    elif body.get("confirmed_us") is not None:
        state = f"confirmed {_moment(body['confirmed_us'])}"
    rest = {name: value for name, value in body.items() if name not in ("unconfirmed_since_us", "confirmed_us", "why")}
    return "; ".join(filter(None, (state, str(body.get("why", "")), _fields(rest))))


def _footage(body: Mapping[str, Any]) -> str:
    """A step of a look or an export, or what else was read."""
    if "outcome" not in body:
        return _fields(body)
    words = [f"{body['action']} {body['outcome']}"]
    if "start_us" in body:
        words.append(f"{_moment(body['start_us'])} – {_moment(body['end_us'])}")
    if body.get("purpose"):
        words.append(f"{body['purpose']}: {body.get('why', '')}, case {body.get('case', '')}")
        words.append(f"to {body.get('destination', '')}, by {body.get('person', '')} {body.get('staff_number', '')}")
    if isinstance(body.get("bytes"), int):
        words.append(size_text(body["bytes"]))
    words += [str(body[name]) for name in ("article", "reason", "why_ended") if body.get(name)]
    return "; ".join(words)


def _repair(body: Mapping[str, Any]) -> str:
    return f"{body['action']}: {_listed(body['objects'])}"


def _key(body: Mapping[str, Any]) -> str:
    return f"{body['change']}: {body['from']} → {body['to']}; {body['why']}"


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    Kind.REGISTRY: _document, Kind.HOLD: _document, Kind.POLICY: _document, Kind.DELETION: _deletion, Kind.DELETED: _deleted,
    Kind.RETENTION: _retention, Kind.CLOCK: _clock, Kind.READ: _footage, Kind.EXPORT: _footage, Kind.REPAIR: _repair,
    Kind.KEY: _key,
}  # fmt: skip


def _fields(body: Mapping[str, Any]) -> str:
    """Any body: `name value; …`, instants as times."""
    return "; ".join(_field(name, value) for name, value in body.items() if value not in (None, ""))


def _field(name: str, value: object) -> str:
    return f"{name.removesuffix('_us')} {_value(name, value)}"


def _value(name: str, value: object) -> str:
    """A number of microseconds is an instant, or a duration where it is small; the ends of a term are days where they were typed so."""
    if name.endswith("_us") and isinstance(value, int):
        if name == "from_us" and value == 0:
            return "the beginning"
        if name in _TERM_ENDS and _LEAST_MOMENT_US < value < MAX_US:
            return begin_shown(value) if name == "valid_from_us" else end_shown(value)
        return _moment(value) if value > _LEAST_MOMENT_US else f"{value / US:g} s"
    if isinstance(value, dict):
        return _inner(name, value)
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return _listed([_inner(name, part) for part in value])
    return _shown(value)


def _inner(name: str, value: dict[str, Any]) -> str:
    """An interval, or what somebody did, or fields in braces."""
    if value.keys() == {"start_us", "end_us"}:
        start_us, end_us = value["start_us"], value["end_us"]
        if isinstance(start_us, int) and isinstance(end_us, int) and 0 <= start_us < end_us <= MAX_US:
            whole = Interval(start_us, end_us)
            return span_shown(whole) if name in _TERMS else f"{_moment(start_us)} – {_moment(end_us)}"
    if value.keys() == {"at_us", "by"}:
        return f"by {_shown(value['by'])} {_value('at_us', value['at_us'])}"
    fields = (f"{key} {_shown(part)}" if isinstance(part, dict) else _field(key, part) for key, part in sorted(value.items()))
    return f"{{{', '.join(fields)[:80]}}}"


def _shown(value: object) -> str:
    """A value for people: texts as they are, nothing for nothing, the rest as JSON without its quotes."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value if len(value) <= 60 else f"{value[:60]}…"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return _listed(value) or "–"
    return json.dumps(value, ensure_ascii=False).replace('"', "")[:80]


def _listed(values: Any) -> str:
    shown = [str(value)[:80] for value in values[:_MAX_LISTED]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _moment(at_us: int) -> str:
    """A number that is no instant is shown as it is."""
    return "ever" if at_us == MAX_US else format_local(at_us) if 0 <= at_us < MAX_US else str(at_us)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
