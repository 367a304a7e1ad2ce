"""The daily canary: an object of no camera that is put into the store today and must be gone tomorrow.

It goes the way of footage through the store's own deletion, and is looked for afterwards; so a store that only says that it
deletes is found on the first day, and one from which nothing is deleted any more, on the next. Its key says when it is due, so
that nothing has to be remembered.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from typing import Final

from vault.errors import StoreFull
from vault.store.interface import ObjectStore
from vault.timebase import US

PREFIX: Final = "canary/"
DAY_US: Final = 86_400 * US
_KEY = re.compile(r"canary/(\d{17})-[0-9a-f]{8}\.json")


def fly(store: ObjectStore, now_us: int) -> str | None:
    """Delete the canaries that are due, put tomorrow's where there is none. What is wrong, None when nothing is.

    Raises StoreError when the store is away.
    """
    due: list[str] = []
    waiting = False
    for item in store.list(PREFIX):
        match = _KEY.fullmatch(item.key)
        if match is None or int(match[1]) <= now_us:
            due.append(item.key)
        else:
            waiting = True
    refused = {failure.key: str(failure.error) for failure in store.delete(due)} if due else {}
    if not waiting:
        due_us = now_us + DAY_US
        body = {"format": 1, "kind": "canary", "due_us": due_us, "note": "synthetic, of no camera: proves that deletion runs"}
        key = f"{PREFIX}{due_us:017d}-{secrets.token_hex(4)}.json"
        # A store without room for a few bytes is what deletion is for.
        with suppress(StoreFull):
            store.put_bytes(key, json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
    for key in due:
        if key in refused:
            return refused[key]
        if store.stat(key) is not None:
            return f"{key}: the store says that it is deleted, and it is still there"
    return None
