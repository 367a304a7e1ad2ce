"""People and permissions as documents of the registry: their names, their fields, and back. What may stand in them is `checked`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields as fields_of_class
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from access.people.model import Act, Application, Role, Terminal, Token, Unit, UnitGrant, User
from index.registry import MAX_OBJECT_BYTES, DocumentName, Fields, encode
from vault.errors import Damaged, StreamvaultError, UsageError
from vault.grant import Action
from vault.ids import CameraNumber
from vault.timebase import MAX_US, Interval

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


def unit_from(fields: Fields) -> Unit:
    """Raises Damaged."""
    return _read("a unit", _unit, fields)


def user_from(fields: Fields) -> User:
    """Raises Damaged."""
    return _read("a user", _user, fields)


def application_from(fields: Fields) -> Application:
    """Raises Damaged."""
    return _read("an application", _application, fields)


def grant_from(fields: Fields) -> UnitGrant:
    """Raises Damaged."""
    return _read("a grant", _grant, fields)


def token_from(fields: Fields) -> Token:
    """Raises Damaged."""
    return _read("a token", _token, fields)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields_of_class(value)}
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Enum) else value


def _read(what: str, made: Callable[[Mapping[str, Any]], _T], fields: Fields) -> _T:
    try:
        return made(fields)
    except (KeyError, TypeError, ValueError, AttributeError, StreamvaultError):
        # Without its cause: what stands in the document is not for a message.
        raise Damaged(
            f"{what} in the registry lacks a field or has one that cannot be; `streamvault check` tells which"
        ) from None


def _unit(said: Mapping[str, Any]) -> Unit:
    return Unit(
        id=_text(said["id"]),
        name=_text(said["name"]),
        agreement=_text(said["agreement"]),
        valid_from_us=_number(said["valid_from_us"]),
        valid_to_us=_or_none(_number, said["valid_to_us"]),
        scope=_text(said["scope"]),
        rules_ref=_text(said["rules_ref"]),
        leader=_text(said["leader"]),
        terminals=tuple(Terminal(_text(t["address"]), _text(t["place"]), _text(t["person"])) for t in said["terminals"]),
        viewing_camera=_or_none(_camera, said["viewing_camera"]),
        approval=_flag(said["approval"]),
        disabled=_flag(said["disabled"]),
        removed_us=_or_none(_number, said["removed_us"]),
    )


def _user(said: Mapping[str, Any]) -> User:
    return User(
        id=_text(said["id"]),
        role=Role(said["role"]),
        unit=_text(said["unit"]),
        real_name=_text(said["real_name"]),
        staff_number=_text(said["staff_number"]),
        trained_on=_text(said["trained_on"]),
        password_hash=_text(said["password_hash"]),
        password_set_us=_number(said["password_set_us"]),
        must_change=_flag(said["must_change"]),
        disabled=_flag(said["disabled"]),
        removed_us=_or_none(_number, said["removed_us"]),
    )


def _application(said: Mapping[str, Any]) -> Application:
    return Application(
        number=_number(said["number"]),
        unit=_text(said["unit"]),
        sites=tuple(map(_text, said["sites"])),
        cameras=_cameras(said["cameras"]),
        actions=_actions(said["actions"]),
        window=_interval(said["window"]),
        work=_text(said["work"]),
        asked=_act(said["asked"]),
        decided=_or_none(_act, said["decided"]),
        granted=_or_none(_flag, said["granted"]),
        reason=_text(said["reason"]),
        grant=_or_none(_number, said["grant"]),
    )


def _grant(said: Mapping[str, Any]) -> UnitGrant:
    return UnitGrant(
        number=_number(said["number"]),
        unit=_text(said["unit"]),
        sites=tuple(map(_text, said["sites"])),
        cameras=_cameras(said["cameras"]),
        actions=_actions(said["actions"]),
        window=_interval(said["window"]),
        valid=_interval(said["valid"]),
        given=_act(said["given"]),
        application=_or_none(_number, said["application"]),
        why=_text(said["why"]),
        revoked=_or_none(_act, said["revoked"]),
    )


def _token(said: Mapping[str, Any]) -> Token:
    return Token(
        id=_text(said["id"]),
        user=_text(said["user"]),
        secret_hash=_text(said["secret_hash"]),
        actions=_actions(said["actions"]),
        made=_act(said["made"]),
        expires_us=_number(said["expires_us"]),
        revoked=_or_none(_act, said["revoked"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
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


def _or_none(read: Callable[[Any], _T], value: Any) -> _T | None:
    return None if value is None else read(value)


def _camera(value: Any) -> CameraNumber:
    return CameraNumber(_number(value))


def _cameras(values: Iterable[Any]) -> tuple[CameraNumber, ...]:
    return tuple(map(_camera, values))


def _actions(values: Iterable[Any]) -> frozenset[Action]:
    return frozenset(map(Action, values))


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(_number(value["start_us"]), _number(value["end_us"]))


def _act(value: Mapping[str, Any]) -> Act:
    return Act(_text(value["by"]), _number(value["at_us"]))
