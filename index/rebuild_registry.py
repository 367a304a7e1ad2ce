"""The first step of a rebuild: the newest version of every registry document, from the store and from what waits for it.

Each kind of document has one place here where what the index makes of it is put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from index.cameras import Camera, camera_document, camera_from
from index.classdays import restore_class_days
from index.environment import Environment, Table, WriteTxn
from index.holds import restore_holds
from index.minima import restore_raises
from index.registry import PREFIX, DocumentName, Fields, Registry, decode, lift_number, parse_object_key
from index.restoring import Progress, put_progress
from index.rows import CAMERA
from index.sites import site_from
from index.writes import note_first
from vault.errors import Damaged, NotFound, TooNew, UsageError
from vault.store.interface import ObjectStore

_MAX_DOCUMENT_BYTES = 64 * 1024
_DOCUMENT = re.compile(r"registry/([^/]+)/[^/]+/[^/]+\.json")


def adopt_camera(txn: WriteTxn, camera: Camera) -> None:
    """Find the camera by its id and never give its number again; for a document that is in the registry already.

    Of several cameras of one id the last one adopted is found, but one that was removed takes the id from none.
    """
    if not camera.is_removed or txn.get(Table.NAMES, camera.id.encode()) is None:
        txn.put(Table.NAMES, camera.id.encode(), CAMERA.pack(camera.number))
    lift_number(txn, "cameras", camera.number)


def _cameras(txn: WriteTxn, documents: Sequence[Fields]) -> None:
    # The lowest number last: of several cameras of one id that one is found.
    for camera in sorted(map(camera_from, documents), key=lambda camera: camera.number, reverse=True):
        adopt_camera(txn, camera)
        if camera.first_record_us is not None:
            note_first(txn, camera.number, camera.first_record_us)


def _sites(_: WriteTxn, documents: Sequence[Fields]) -> None:
    """The documents are all there is."""
    for fields in documents:
        site_from(fields)


def _raises(txn: WriteTxn, documents: Sequence[Fields]) -> None:
    restore_raises(txn, documents)
    restore_class_days(txn, documents)


def _as_they_are(_: WriteTxn, documents: Sequence[Fields]) -> None:
    """Nothing is made of them. What a faulty one says is not for a rebuild to stumble over: `check` tells it."""


def _numbered(kind: str) -> Callable[[WriteTxn, Sequence[Fields]], None]:
    """Of the fields their number alone is looked at: it is never given again."""

    def restore(txn: WriteTxn, documents: Sequence[Fields]) -> None:
        numbers = [fields.get("number") for fields in documents]
        lift_number(txn, kind, max((number for number in numbers if type(number) is int and 0 < number < 10**10), default=0))

    return restore


RESTORE: Final[dict[str, Callable[[WriteTxn, Sequence[Fields]], None]]] = {
    "cameras": _cameras,
    "sites": _sites,
    "holds": restore_holds,
    "raises": _raises,
    "units": _as_they_are,
    "users": _as_they_are,
    "applications": _numbered("applications"),
    "grants": _numbered("grants"),
    "tokens": _as_they_are,
}
"""By kind. Each is called once, with the fields of all its documents, after their rows are written."""

NEVER_FORBIDS: Final = frozenset({"cameras", "sites", "units", "users", "applications", "grants", "tokens"})
"""Kinds whose documents keep no footage from being deleted. Of any other one that cannot be read is taken to do so."""


class RegistryStep:
    """Repeatable as a whole: it is one transaction."""

    def __init__(self, environment: Environment, registry: Registry, places: Sequence[ObjectStore], progress: Progress) -> None:
        self._env = environment
        self._registry = registry
        self._places = places
        self._progress = progress

    def run(self, next_step: str) -> int:
        """How many documents there are. Raises TooNew where a newer program wrote one: with an older version of that in its place,
        what the newer one said would be lost at the next change."""
        newest = self._newest()
        with self._env.write("rebuild registry") as txn:
            for kind, restore in RESTORE.items():
                names = sorted((name for name in newest if name.kind == kind), key=lambda name: name.name)
                for name in names:
                    self._registry.restore_row(txn, name, newest[name][1])
                restore(txn, [newest[name][2] for name in names])
            self._progress.step = next_step
            put_progress(txn, self._progress)
        return len(newest)

    def _newest(self) -> dict[DocumentName, tuple[int, bytes, Fields]]:
        """Wherever it is, the highest version that can be read."""
        newest: dict[DocumentName, tuple[int, bytes, Fields]] = {}
        for where in self._places:
            for key in [entry.key for entry in where.list(PREFIX)]:
                try:
                    name, version = parse_object_key(key)
                    if version > newest.get(name, (0,))[0]:
                        raw, fields = _document(where, key, name, version)
                        newest[name] = version, raw, fields
                except TooNew:
                    raise
                except (Damaged, NotFound, UsageError) as error:
                    self._progress.refused.append((key, str(error)))
        return newest


def may_forbid(key: str) -> bool:
    """Whether the document under this key, which could not be read, may keep footage from being deleted."""
    match = _DOCUMENT.fullmatch(key)
    return match is not None and match[1] not in NEVER_FORBIDS


def _document(store: ObjectStore, key: str, name: DocumentName, version: int) -> tuple[bytes, Fields]:
    with store.open(key) as source:
        if source.size > _MAX_DOCUMENT_BYTES:
            raise Damaged(f"{key}: {source.size} bytes are too many for a registry document")
        raw = source.read(0, source.size)
    found, said, fields = decode(raw, key)
    if (found, said) != (name, version):
        raise Damaged(f"{key}: it says of itself that it is {found.object_key(said)}")
    if name.kind not in RESTORE:
        raise Damaged(f"{key}: is a document of a kind that this program does not put back")
    if name.kind == "cameras" and camera_document(camera_from(fields).number) != name:
        raise Damaged(f"{key}: it is the document of another camera")
    return raw, fields
