"""The one way to a stored segment's bytes: with a Grant. Other objects (manifests, registry, figures) are opened by the store itself.

`tests/access/test_grants.py` walks the code for anyone who goes another way.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from vault.errors import Damaged, NotFound, Unreadable
from vault.grant import Grant
from vault.ids import SegmentKey
from vault.source import FileSource, OpenSource
from vault.store.interface import ObjectStore

_OTHERS: Final = 8
_LOOK_BYTES: Final = 4096


def open_segment(store: ObjectStore, key: SegmentKey, grant: Grant) -> OpenSource:
    """As `ObjectStore.open`. Raises Refusal where the grant is for another camera.

    A segment is a minute and a window may end inside it: which of its samples are handed out is held to the window by whoever
    hands them out (`access.footage`).
    """
    grant.check_camera(key.camera)
    return store.open(key.object_key)


def damage(store: ObjectStore, key: SegmentKey, error: Unreadable) -> Damaged:
    """What it is when the medium does not give a stored segment's bytes: that segment is damaged, as if they had been others.

    Raises `error` itself where no other object of the store can be read either: then the store is away, and nothing is known of
    any segment. What is in memory proves nothing of the medium, so it is asked.
    """
    for other in islice(store.list(""), _OTHERS):
        if other.key == key.object_key or not other.size_bytes:
            continue
        try:
            with store.open(other.key) as source:
                if isinstance(source, FileSource):
                    source.forget()
                source.read(0, min(source.size, _LOOK_BYTES))
        except (NotFound, Unreadable):
            continue
        return Damaged(f"segment {key.object_key}: its bytes cannot be read from the medium: {error}")
    raise error
