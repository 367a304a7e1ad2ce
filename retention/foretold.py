"""The forecast of an earlier run, read back from the ledger: for an index that was made anew and remembers none.

An entry is believed only when the ledger's tree proves it: who writes a forecast of their own beside the signed entries could else
have any number of segments doomed without being asked. Where nothing can be believed nothing was foretold, and the run asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from retention.halt import NOTHING, Forecast, confirmed
from vault.errors import Damaged
from vault.ledger.entry import Entry, Kind
from vault.ledger.ledger import Ledger
from vault.logs import Log

log = Log("retention.foretold")

_FIRST_LOOK: Final = 1_000
"""So many of the newest entries are read first, then ten times as many: a forecast is a day old at most, mostly."""

_FORECAST: Final = "doomed_since_last"
"""Stands in a forecast's entry only; a halt's says how many were foretold, too."""


def foretold_in(ledger: Ledger) -> Forecast:
    """The newest forecast, with what a person confirmed and what was deleted since; nothing where there is none.

    What was doomed since and is not deleted yet is not counted: an index that was made anew finds it due again. Raises Busy,
    StoreError.
    """
    try:
        entries = _newest(ledger)
        for entry in entries:
            if entry.kind == Kind.RETENTION:
                ledger.prove(entry.sequence)
        return _read(entries)
    except (Damaged, ValueError, TypeError, KeyError) as error:
        log.warning("forecast in the ledger not believed, so a run may ask", error=str(error))
        return NOTHING


def _newest(ledger: Ledger) -> list[Entry]:
    """The newest forecast, and what of the entries behind it bears on it."""
    signed = ledger.newest()
    size = signed.checkpoint.size if signed is not None else 0
    look = _FIRST_LOOK
    while size:
        found: list[Entry] = []
        for entry in ledger.entries(max(0, size - look)):
            if entry.kind == Kind.RETENTION and _FORECAST in entry.body:
                found = [entry]
            elif found and (entry.kind == Kind.DELETED or (entry.kind == Kind.RETENTION and "confirmed" in entry.body)):
                found.append(entry)
        if found or look >= size:
            return found
        look *= 10
    return []


def _read(entries: Iterable[Entry]) -> Forecast:
    """As the run, the confirmations and the deletions left it."""
    forecast, doomed, since_us = NOTHING, 0, 0
    for entry in entries:
        body = entry.body
        if _FORECAST in body:
            since_us = _count(body.get("run_us", entry.time_us))
            forecast = Forecast(since_us, tuple(_pairs(body["foretold"])))
        elif "confirmed" in body:
            at_us = _count(body["at_us"])
            forecast = confirmed(forecast, [(at_us, _count(body["segments"]))], at_us)
            # What was doomed at that very moment was doomed by the run that it let go on.
            doomed, since_us = 0, at_us - 1
        else:
            doomed += sum(count for at_us, count in _pairs(body.get("doomed", [])) if at_us > since_us)
    return Forecast(forecast.at_us, forecast.sums, doomed)


def _pairs(value: object) -> list[tuple[int, int]]:
    if not isinstance(value, list):
        raise TypeError("a list of pairs is something else")
    return [(_count(at), _count(count)) for at, count in value]


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number is something else")
    return value
