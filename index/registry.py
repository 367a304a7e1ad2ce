"""Documents of the registry: JSON rows in the index, and each version of each as a small object that waits for the store.

Order of a change: the object is durable in the spool, then the index commits, then the caller is told. A crash between the
two leaves an object of a version that the index does not know: it was never acknowledged, is never uploaded, and the next
change of that document replaces it. What the fields mean is in `index.cameras`, `index.sites`, `index.holds`, `index.minima` and,
for people and permissions, in `access/people`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from index.deeds import change
from index.environment import Environment, ReadTxn, Table, WriteTxn
from index.kinds import KINDS
from index.outbox import actor_here, record
from index.stays import stays_before
from vault.errors import Damaged, StoreError, TooNew, UsageError
from vault.store.interface import ObjectStore

FORMAT: Final = 3
_READABLE: Final = (1, 2, 3)
"""Formats 2 and 3 have fields of sites and cameras that an older program would drop at the next change."""
_STAYS_FORMAT: Final = 3
PREFIX: Final = "registry/"
Fields = dict[str, Any]

_CHANGES = b"registry-changes"
MAX_OBJECT_BYTES: Final = 64 * 1024

_OBJECT = re.compile(rf"registry/({'|'.join(KINDS)})/([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})/([0-9]{{10}})\.json")


@dataclass(frozen=True, slots=True)
class DocumentName:
    """What a document is called: `kind` is one of `index.kinds.KINDS`; `name` a ten-digit number, or an id."""

    kind: str
    name: str

    @property
    def row_key(self) -> bytes:
        return f"{self.kind}/{self.name}".encode()

    def object_key(self, version: int) -> str:
        return f"{PREFIX}{self.kind}/{self.name}/{version:010d}.json"


def parse_object_key(key: str) -> tuple[DocumentName, int]:
    """The inverse of `DocumentName.object_key`. Raises UsageError."""
    match = _OBJECT.fullmatch(key)
    if match is None:
        raise UsageError(f"{key[:120]!r} is not the key of a registry object")
    return DocumentName(match[1], match[2]), int(match[3])


def encode(name: DocumentName, version: int, changed_us: int, fields: Fields) -> bytes:
    """Canonical JSON: the same document is the same bytes."""
    whole = {
        "format": FORMAT,
        "kind": name.kind,
        "name": name.name,
        "version": version,
        "changed_us": changed_us,
        "fields": fields,
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def decode(raw: bytes, where: str) -> tuple[DocumentName, int, Fields]:
    """Name, version and fields. Raises TooNew, Damaged; the bytes may have come from anywhere."""
    try:
        if len(raw) > MAX_OBJECT_BYTES:
            raise ValueError("too long")
        whole = json.loads(raw, parse_float=_no_number, parse_constant=_no_number)
        if type(whole["format"]) is int and whole["format"] > FORMAT:
            raise TooNew(
                f"{where[:160]}: was written by a newer version of streamvault: it has format {whole['format']}, and this version "
                f"reads up to {FORMAT}. Run that version; nothing was changed"
            )
        version, fields = whole["version"], whole["fields"]
        if whole["format"] not in _READABLE or type(version) is not int or version < 1 or not isinstance(fields, dict):
            raise ValueError("not a format we know")
        name = DocumentName(str(whole["kind"]), str(whole["name"]))
        parse_object_key(name.object_key(version))
        if name.kind == "cameras" and whole["format"] < _STAYS_FORMAT:
            fields["stays"] = stays_before(fields, int(whole["changed_us"]))
    except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
        raise Damaged(f"{where[:160]}: is not a registry document that this program can read") from error
    return name, version, fields


class Registry:
    """Documents over one environment. `waiting` is the store in the spool where objects wait for the real one.

    `actor`: who the ledger says makes the changes; the operator at this host when None.
    """

    def __init__(self, environment: Environment, waiting: ObjectStore, actor: str | None = None) -> None:
        self.environment = environment
        self._waiting = waiting
        self._actor = actor or actor_here()

    def changes(self) -> int:
        """Rises with every change of any document: compare it to see cheaply whether something changed."""
        with self.environment.read() as txn:
            return counter(txn, _CHANGES)

    def fields(self, txn: ReadTxn, name: DocumentName) -> Fields | None:
        raw = txn.get(Table.REGISTRY, name.row_key)
        return None if raw is None else decode(raw, name.row_key.decode())[2]

    def all_fields(self, txn: ReadTxn, kind: str) -> Iterator[Fields]:
        """Every document of a kind, by name."""
        for raw_key, raw in txn.scan(Table.REGISTRY, f"{kind}/".encode(), f"{kind}0".encode()):
            yield decode(raw, raw_key.decode(errors="replace"))[2]

    def version(self, txn: ReadTxn, name: DocumentName) -> int:
        """0 when there is no such document."""
        raw = txn.get(Table.REGISTRY, name.row_key)
        return 0 if raw is None else decode(raw, name.row_key.decode())[1]

    def write(self, txn: WriteTxn, name: DocumentName, fields: Fields, changed_us: int, by: str = "") -> None:
        """The next version of a document: durable in the spool when this returns, in the index when `txn` commits. `by`: who
        changes it, where that is not the registry's own actor."""
        self.put_row(txn, name, self.prepare(name, self.version(txn, name) + 1, fields, changed_us), by)

    def put_row(self, txn: WriteTxn, name: DocumentName, raw: bytes, by: str = "") -> None:
        """The row alone, for an object that is durable already; the ledger hears of it."""
        _, version, new = decode(raw, name.row_key.decode())
        old = self.fields(txn, name)
        record(txn, change(name.kind, name.name, version, raw, old, new, by or self._actor), _changed_us(raw))
        self.restore_row(txn, name, raw)

    def restore_row(self, txn: WriteTxn, name: DocumentName, raw: bytes) -> None:
        """As `put_row` for a document that nobody changes: the ledger has heard of it long ago."""
        txn.put(Table.REGISTRY, name.row_key, raw)
        set_counter(txn, _CHANGES, counter(txn, _CHANGES) + 1)

    def prepare(self, name: DocumentName, version: int, fields: Fields, changed_us: int) -> bytes:
        """A version of a document that nobody else writes meanwhile, durable in the spool; for `put_row`. An object of this
        version that was never acknowledged is replaced. Raises UsageError for one that is too long to be read again."""
        key = name.object_key(version)
        raw = encode(name, version, changed_us, fields)
        if len(raw) > MAX_OBJECT_BYTES:
            raise UsageError(f"{name.kind}/{name.name}: {len(raw):,} bytes of text are too many for one document; say less")
        if self._waiting.stat(key) is not None:
            self.drop([key])
        self._waiting.put_bytes(key, raw)
        return raw

    def pending(self) -> list[str]:
        """Keys of the objects to upload, oldest version of a document first. Read each with `read`, put it under the same
        key, then `drop` it."""
        keys = [
            (entry.key, *parse_object_key(entry.key)) for entry in self._waiting.list(PREFIX) if _OBJECT.fullmatch(entry.key)
        ]
        if not keys:
            return []
        with self.environment.read() as txn:
            known = {name: self.version(txn, name) for _, name, _ in keys}
        return [key for key, name, version in keys if version <= known[name]]

    def read(self, key: str) -> bytes:
        """The bytes of a waiting object. Raises NotFound, StoreError."""
        with self._waiting.open(key) as source:
            return source.read(0, source.size)

    def drop(self, keys: Iterable[str]) -> None:
        """These objects are in the store, or were never acknowledged. Raises StoreError."""
        for failure in self._waiting.delete(keys):
            raise StoreError(f"dropping the registry object {failure.key} from the spool: {failure.error}")


def _no_number(text: str) -> NoReturn:
    """Documents have whole numbers only, and an endless one is none that `int` takes."""
    raise ValueError("a fraction, or no number")


def _changed_us(raw: bytes) -> int:
    """When a document that `encode` wrote was changed."""
    return int(json.loads(raw)["changed_us"])


def counter(txn: ReadTxn, name: bytes) -> int:
    """A number in the index's own table, 0 before it was first set."""
    raw = txn.get(Table.META, name)
    return 0 if raw is None else int.from_bytes(raw, "big")


def lift_number(txn: WriteTxn, kind: str, last: int) -> None:
    """Numbers of documents of this kind were given up to `last`, whatever the index remembers."""
    name = f"last-{kind.removesuffix('s')}-number".encode()
    set_counter(txn, name, max(counter(txn, name), last))


def set_counter(txn: WriteTxn, name: bytes, value: int) -> None:
    txn.put(Table.META, name, value.to_bytes(8, "big"))
