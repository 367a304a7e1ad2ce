"""People and permissions as documents of the registry: their names, their fields, and back. What may stand in them is `checked`'s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as fields_of_class
from dataclasses import is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from access.people.model import Application, Token, Unit, UnitGrant, User
from index.registry import MAX_OBJECT_BYTES, DocumentName, Fields, encode
from vault.errors import Damaged, StreamvaultError, UsageError
from vault.timebase import MAX_US

UNITS: Final = "units"
USERS: Final = "users"
APPLICATIONS: Final = "applications"
GRANTS: Final = "grants"
TOKENS: Final = "tokens"

_T = TypeVar("_T")


def named(kind: str, id_: str | int) -> DocumentName:
    """The document of this unit, user or token by its id, or of this application or grant by its number."""
    return DocumentName(kind, f"{id_:010d}" if isinstance(id_, int) else id_)


def to_fields(value: Unit | User | Application | UnitGrant | Token) -> Fields:
    """A document's fields: JSON values only, sets in order."""
    found = _plain(value)
    assert isinstance(found, dict)
    return found


def fitting(name: DocumentName, fields: Fields) -> None:
    """Raises UsageError for a document that is too long to be read again; asked before the first of several is written."""
    if len(encode(name, 1, MAX_US, fields)) > MAX_OBJECT_BYTES - 10:
        raise UsageError(f"{name.kind}/{name.name}: its texts together are too long for one document; say less")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields_of_class(value)}
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Enum) else value


def _reader(kind: Any) -> Callable[[Any], Any]:
    """What reads a field of this type, strictly: whatever `_plain` does not write of such a value raises."""
    of = [part for part in get_args(kind) if part not in (NoneType, Ellipsis)]
    if get_origin(kind) in (Union, UnionType):
        inner = _reader(*of)
        return lambda value: None if value is None else inner(value)
    if get_origin(kind) in (tuple, frozenset):
        collection, item = get_origin(kind), _reader(*of)
        return lambda values: collection(map(item, _list(values)))
    if is_dataclass(kind):
        hints, made = get_type_hints(kind), cast("Callable[..., Any]", kind)
        readers = [(field.name, _reader(hints[field.name])) for field in fields_of_class(kind)]
        return lambda said: made(*[read(said[name]) for name, read in readers])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return {str: _text, int: _number, bool: _flag}[getattr(kind, "__supertype__", kind)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _from(what: str, kind: type[_T]) -> Callable[[Fields], _T]:
    """Of one kind of document; what it returns raises Damaged."""
    made: Callable[[Fields], _T] = _reader(kind)

    def read(fields: Fields) -> _T:
        try:
            return made(fields)
        except (KeyError, TypeError, ValueError, AttributeError, StreamvaultError):
            # Without its cause: what stands in the document is not for a message.
            raise Damaged(
                f"{what} in the registry lacks a field or has one that cannot be; `streamvault check` tells which"
            ) from None

    return read


unit_from: Final = _from("a unit", Unit)
user_from: Final = _from("a user", User)
application_from: Final = _from("an application", Application)
grant_from: Final = _from("a grant", UnitGrant)
token_from: Final = _from("a token", Token)
