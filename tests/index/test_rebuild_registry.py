"""Documents whose bytes come from anywhere: a rebuild says which is damaged, and never ends by an error of ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from index.cameras import NewCamera, camera_from
from index.environment import WriteTxn
from index.holds import Holds
from index.rebuild_registry import RESTORE
from index.sites import Site
from tests.support.index_vault import Vault, open_vault
from tests.support.indexing import T0
from vault.errors import Damaged
from vault.timebase import Interval

Path_ = tuple[str | int, ...]


class _Undo(Exception):
    pass


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with open_vault(tmp_path, T0) as opened:
        opened.sites.ensure_default()
        opened.sites.add(Site("gate", "key", 120, "public-area"))
        camera = opened.cameras.add(NewCamera("a", "rtsp://192.0.2.1/s"))
        opened.cameras.begin_recording(camera.number, T0)
        opened.cameras.set("a", site="gate")
        Holds(opened.registry, opened.clock).place(
            by="Li", case="9901", why="test", cameras=[camera.number], interval=Interval(T0, T0 + 1)
        )
        yield opened


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    if isinstance(value, dict):
        for name in value:
            yield from leaves(value[name], (*path, name))
    elif isinstance(value, list):
        yield path
        for at, item in enumerate(value):
            yield from leaves(item, (*path, at))
    elif path:
        yield path


def restored(vault: Vault, kind: str, fields: dict[str, Any]) -> None:
    """As a rebuild does it, and back."""

    def put(txn: WriteTxn) -> None:
        if kind == "cameras" and camera_from(fields).number != 1:
            # The document is called after its number.
            return
        RESTORE[kind](txn, [fields])

    with suppress(_Undo, Damaged), vault.environment.write("test") as txn:
        put(txn)
        raise _Undo


@pytest.mark.parametrize("kind", ["cameras", "sites", "holds", "raises"])
def test_no_value_of_any_field_is_an_error_of_ours(vault: Vault, kind: str) -> None:
    with vault.environment.read() as txn:
        good = list(vault.registry.all_fields(txn, kind))[-1]
    for path in leaves(good):
        for value in (-1, 10**10, 2**64, 10**30, None, "x", "\ud800", [], {}, True):
            fields = copy.deepcopy(good)
            inner: Any = fields
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = value
            restored(vault, kind, fields)
