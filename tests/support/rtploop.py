"""Both forms of the inner loop side by side, and a receiver that drives one the way a worker does."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from ingest.rtp import engine
from ingest.rtp.engine import COMPILED_MODULES, SourceOnly

FORMS = ("compiled", "interpreted")


def load(form: str) -> ModuleType:
    """`ingest.rtp.engine` of that form, beside whichever one this process runs. Skips where it is not built."""
    if form == engine.inner_kind():
        return engine
    kept_as = f"{form} {engine.__name__}"
    if kept_as not in sys.modules:
        sys.modules[kept_as] = _import_again(form)
    other = sys.modules[kept_as]
    if other.inner_kind() != form:
        pytest.skip("the inner loop is not compiled here: python build_inner.py")
    return other


def _import_again(form: str) -> ModuleType:
    names = (*COMPILED_MODULES, engine.__name__)
    package = sys.modules["ingest.rtp"]
    finders, environment = list(sys.meta_path), dict(os.environ)
    modules = {name: sys.modules.pop(name) for name in names}
    # `from package import module` would find the attribute and not look any further.
    attributes = {name: package.__dict__.pop(name) for name in (one.rpartition(".")[2] for one in names)}
    sys.meta_path[:] = [one for one in finders if not isinstance(one, SourceOnly)]
    os.environ.pop("STREAMVAULT_INNER", None)
    if form == "interpreted":
        os.environ["STREAMVAULT_INNER"] = form
    try:
        return importlib.import_module(engine.__name__)
    finally:
        sys.modules.update(modules)
        vars(package).update(attributes)
        sys.meta_path[:] = finders
        os.environ.clear()
        os.environ.update(environment)


@dataclass(frozen=True, slots=True)
class Unit:
    """A complete access unit with its bytes."""

    track: int
    timestamp: int
    data: bytes
    flags: int

    @property
    def nals(self) -> list[bytes]:
        """NAL units of a video sample; fails where a length does not fit."""
        out, at = [], 0
        while at < len(self.data):
            size = int.from_bytes(self.data[at : at + 4])
            assert size
            assert at + 4 + size <= len(self.data)
            out.append(self.data[at + 4 : at + 4 + size])
            at += 4 + size
        return out


@dataclass
class Receiver:
    """Sweeps: `begin`, the bytes, `carry`. Checks what holds for any input: units in the arena, in order, without a hole."""

    inner: ModuleType
    tracks: Sequence[Any]
    arena_bytes: int = 1 << 20
    units: list[Unit] = field(default_factory=list)
    control: list[tuple[int, bytes]] = field(default_factory=list)
    rest: bytes = b""

    def stream(self, data: bytes) -> int:
        """One sweep over what a TCP read brought, track i on channel 2i; the bytes used, those kept from before included."""
        channels: list[Any] = [None] * 256
        for at, track in enumerate(self.tracks):
            channels[2 * at], channels[2 * at + 1] = track, self.inner.RTCP
        frames: list[tuple[int, int, int, int, int]] = []
        arenas = self._begin()
        buf = bytearray(self.rest + data)
        used: int = self.inner.walk(buf, 0, len(buf), channels, frames, self.control)
        self.rest = bytes(buf[used:])
        self._end(arenas, frames)
        return used

    def datagrams(self, packets: Iterable[bytes], track: int = 0) -> None:
        """One sweep over datagrams."""
        frames: list[tuple[int, int, int, int, int]] = []
        arenas = self._begin()
        for packet in packets:
            self.inner.feed_datagram(self.tracks[track], bytearray(packet), 0, len(packet), frames)
        self._end(arenas, frames)

    def _begin(self) -> list[bytearray]:
        arenas = [bytearray(self.arena_bytes) for _ in self.tracks]
        for track, arena in zip(self.tracks, arenas, strict=True):
            track.begin(arena)
        return arenas

    def _end(self, arenas: list[bytearray], frames: list[tuple[int, int, int, int, int]]) -> None:
        filled = [0] * len(self.tracks)
        for index, timestamp, offset, size, flags in frames:
            assert offset == filled[index]
            assert size > 0
            assert 0 <= timestamp < 1 << 32
            filled[index] += size
            assert filled[index] <= len(arenas[index])
            self.units.append(Unit(index, timestamp, bytes(arenas[index][offset : offset + size]), flags))
        for track, arena in zip(self.tracks, arenas, strict=True):
            track.carry()
            assert track.carried_bytes <= len(arena)
            # What was carried is a copy: whatever becomes of the arena now.
            arena[:] = b"\xaa" * len(arena)
