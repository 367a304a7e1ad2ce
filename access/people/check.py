"""I8: every document of people can be read, is what its name says, and what it names is there. Only reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from access.people.admins import has_one, token_holders
from access.people.documents import (
    APPLICATIONS,
    GRANTS,
    TOKENS,
    UNITS,
    USERS,
    application_from,
    grant_from,
    named,
    token_from,
    unit_from,
    user_from,
)
from access.people.model import Application, UnitGrant
from index.cameras import camera_document
from index.check import Finding, Progress, Severity, no_progress
from index.environment import ReadTxn, Table
from index.registry import Registry, decode
from index.sites import site_of
from vault.errors import Damaged

_KINDS: Final[tuple[tuple[str, Callable[..., Any]], ...]] = (
    (UNITS, unit_from), (USERS, user_from), (APPLICATIONS, application_from), (GRANTS, grant_from), (TOKENS, token_from),
)  # fmt: skip


def check_people(registry: Registry, now_us: int, progress: Progress = no_progress) -> Iterator[Finding]:
    """One snapshot: the documents are as few as there are people."""
    with registry.environment.read() as txn:
        findings = list(_findings(txn, registry, now_us, progress))
    yield from findings


def _findings(txn: ReadTxn, registry: Registry, now_us: int, progress: Progress) -> Iterator[Finding]:
    found: dict[str, dict[str | int, Any]] = {}
    for kind, made in _KINDS:
        found[kind] = {}
        for raw_key, raw in txn.scan(Table.REGISTRY, f"{kind}/".encode(), f"{kind}0".encode()):
            called = raw_key.decode(errors="replace")
            try:
                item = made(decode(raw, called)[2])
            except Damaged as error:
                yield _finding(Severity.ERROR, called, str(error))
                continue
            id_ = item.id if hasattr(item, "id") else item.number
            if named(kind, id_).row_key != raw_key:
                yield _finding(Severity.ERROR, called, "says of itself that it is another")
            found[kind][id_] = item
        progress(kind, len(found[kind]))
    units, users = found[UNITS], found[USERS]
    for unit in units.values():
        number = unit.viewing_camera
        if number is not None and registry.fields(txn, camera_document(number)) is None:
            yield _finding(
                Severity.ERROR, f"{UNITS}/{unit.id}", f"its viewing room is shown by camera #{number}, which is not there"
            )
    for user in users.values():
        if user.unit and user.unit not in units:
            yield _finding(Severity.ERROR, f"{USERS}/{user.id}", f"is of the unit {user.unit!r}, which is not there")
    for token in found[TOKENS].values():
        if token.user not in users:
            yield _finding(Severity.ERROR, f"{TOKENS}/{token.id}", f"is of the user {token.user!r}, who is not there")
    for kind in (APPLICATIONS, GRANTS):
        for item in found[kind].values():
            yield from _scope(txn, registry, named(kind, item.number).row_key.decode(), item, units)
    for item in found[APPLICATIONS].values():
        if item.granted and (item.grant not in found[GRANTS] or found[GRANTS][item.grant].application != item.number):
            called = named(APPLICATIONS, item.number).row_key.decode()
            yield _finding(Severity.ERROR, called, f"was granted by grant {item.grant}, which is not there or says otherwise")
    if users and not has_one(users.values(), units.values(), token_holders(found[TOKENS].values(), now_us)):
        why = "no administrator can sign in; `user password` gives one a password, `user add --role admin` makes another"
        yield _finding(Severity.WARNING, USERS, why)


def _scope(
    txn: ReadTxn, registry: Registry, called: str, item: Application | UnitGrant, units: dict[str | int, Any]
) -> Iterator[Finding]:
    if item.unit not in units:
        yield _finding(Severity.ERROR, called, f"is for the unit {item.unit!r}, which is not there")
    lost = [f"#{number}" for number in item.cameras if registry.fields(txn, camera_document(number)) is None]
    if lost:
        yield _finding(Severity.ERROR, called, f"names cameras that are not there: {', '.join(lost[:10])}")
    # It still lets out what cameras recorded while they stood there, but whoever reads the grant finds no such site.
    gone = [site for site in item.sites if site_of(txn, registry, site) is None]
    if gone and not isinstance(item, Application) and item.revoked is None:
        yield _finding(Severity.WARNING, called, f"names sites that were removed: {', '.join(gone[:10])}")


def _finding(severity: Severity, called: str, message: str) -> Finding:
    return Finding(severity, "I8", None, (called,), message)
