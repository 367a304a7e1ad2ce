"""The one way to a stored segment's bytes: with a Grant. Other objects (manifests, registry, figures) are opened by the store itself.

`tests/access/test_grants.py` walks the code for anyone who goes another way.
"""

from __future__ import annotations

from vault.grant import Grant
from vault.ids import SegmentKey
from vault.source import OpenSource
from vault.store.interface import ObjectStore


def open_segment(store: ObjectStore, key: SegmentKey, grant: Grant) -> OpenSource:
    """As `ObjectStore.open`. Raises Refusal where the grant is for another camera.

    A segment is a minute and a window may end inside it: which of its samples are handed out is held to the window by whoever
    hands them out (`access.footage`).
    """
    grant.check_camera(key.camera)
    return store.open(key.object_key)
