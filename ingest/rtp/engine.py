"""The door to the inner loop, compiled or interpreted: import its names from here and nowhere else.

An extension module beside its source is what Python imports by itself. STREAMVAULT_INNER=interpreted in the environment,
which a spawned process inherits, takes the source even so.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

COMPILED_MODULES: Final = (
    "ingest.rtp.track",
    "ingest.rtp.video",
    "ingest.rtp.audio",
    "ingest.rtp.inner",
    "ingest.rtp.stretch",
)
"""What `build_inner.py` compiles, in the order of their imports."""


class SourceOnly(MetaPathFinder):
    """Finds the source of the modules of the inner loop, whatever stands beside it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /) -> ModuleSpec | None:
        if fullname not in COMPILED_MODULES:
            return None
        source = str(Path(__file__).with_name(fullname.rpartition(".")[2] + ".py"))
        return importlib.util.spec_from_file_location(fullname, source, loader=SourceFileLoader(fullname, source))


if os.environ.get("STREAMVAULT_INNER") == "interpreted":
    # Only before the finder that would take the extension: whoever instruments imports stands further in front.
    sys.meta_path.insert(sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0, SourceOnly())

from ingest.rtp import inner as _inner  # noqa: E402
from ingest.rtp.audio import AacTrack, G711Track, OpaqueTrack  # noqa: E402
from ingest.rtp.inner import RTCP, Channel, feed_datagram, feed_joined, walk  # noqa: E402
from ingest.rtp.stretch import stretch  # noqa: E402
from ingest.rtp.track import Track  # noqa: E402
from ingest.rtp.video import VideoTrack  # noqa: E402

__all__ = [
    "COMPILED_MODULES",
    "RTCP",
    "AacTrack",
    "Channel",
    "G711Track",
    "OpaqueTrack",
    "SourceOnly",
    "Track",
    "VideoTrack",
    "feed_datagram",
    "feed_joined",
    "inner_kind",
    "stretch",
    "walk",
]


def inner_kind() -> Literal["compiled", "interpreted"]:
    """Which form of the loop this process runs."""
    return "interpreted" if str(_inner.__file__).endswith(".py") else "compiled"
