"""Many cameras said at once: those that are new are added, those that are there are changed, and one that is as it is said is left.

All or none: everything is checked as it will be, each id, site, code and number of days, before the first is written. How a file
says them is `index.camera_table`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Final

from index.batch import MAX_PROBLEMS, Outcome, Rejected, outcome
from index.camera_checks import check_days, check_fields
from index.cameras import LAST_NUMBER, AskedRaise, Camera, Cameras, NewCamera, camera_document, camera_from, changed, made
from index.environment import ReadTxn, Table, WriteTxn
from index.registry import set_counter
from index.rows import CAMERA
from index.sites import Site, site_of
from vault.errors import UsageError
from vault.ids import CameraNumber

MAX_IMPORT: Final = 20_000
TOGETHER: Final = 500
"""Cameras that are changed in one transaction: each document is synced while recording waits for the lock."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Of each row, in order: the camera, and what became of it. By `dry_run` a new one has number 0."""

    cameras: list[Camera]
    outcomes: list[Outcome]


def import_cameras(cameras: Cameras, rows: Sequence[NewCamera], by: str = "", *, dry_run: bool = False) -> Imported:
    """Add or change them. Raises Rejected with every bad row, UsageError for too many rows, and then nothing was changed.

    New cameras' objects are made durable before the write lock is taken, under numbers reserved for them, so that recording does not
    wait for thousands of syncs; their rows are one transaction, and the first 500 changes are in it. An import of more that is cut
    short may be repeated, and comes out the same.
    """
    if len(rows) > MAX_IMPORT:
        raise UsageError(f"{len(rows)} cameras in one import; at most {MAX_IMPORT}, so split it")
    now_us = cameras.clock.now_us()
    with cameras.environment.read() as txn:
        told = _Plan(cameras, txn, rows, now_us, by).cameras
    outcomes = [outcome(old, new) for old, new in told]
    found = [new for _, new in told]
    if dry_run or all(item is Outcome.LEFT for item in outcomes):
        return Imported(found, outcomes)
    fresh = [at for at, item in enumerate(outcomes) if item is Outcome.ADDED]
    other = [at for at, item in enumerate(outcomes) if item is Outcome.CHANGED]
    if fresh:
        with cameras.environment.write("reserve camera numbers") as txn:
            first = cameras.next_number(txn)
            set_counter(txn, LAST_NUMBER, first + len(fresh) - 1)
        for number, at in enumerate(fresh, first):
            found[at] = replace(found[at], number=CameraNumber(number))
    is_in = False
    try:
        prepared = [cameras.registry.prepare(camera_document(found[at].number), 1, asdict(found[at]), now_us) for at in fresh]
        with cameras.environment.write("import cameras") as txn:
            again = _Plan(cameras, txn, rows, now_us, by).cameras
            if [old is None for old, _ in again] != [item is Outcome.ADDED for item in outcomes]:
                raise UsageError("another process added or removed one of these cameras meanwhile; import the file again")
            for at, raw in zip(fresh, prepared, strict=True):
                cameras.registry.put_row(txn, camera_document(found[at].number), raw, by)
                txn.put(Table.NAMES, found[at].id.encode(), CAMERA.pack(found[at].number))
            _change(cameras, txn, [(rows[at], found[at].number) for at in other[:TOGETHER]], now_us, by)
        is_in = True
        for begin in range(TOGETHER, len(other), TOGETHER):
            with cameras.environment.write("import cameras") as txn:
                some = [(rows[at], found[at].number) for at in other[begin : begin + TOGETHER]]
                _change(cameras, txn, some, now_us, by)
    except BaseException:
        if not is_in:
            cameras.registry.drop(camera_document(found[at].number).object_key(1) for at in fresh)
        raise
    return Imported(found, outcomes)


class _Plan:
    """What the rows come to in one state of the registry. Raises Rejected."""

    def __init__(self, of: Cameras, txn: ReadTxn, rows: Sequence[NewCamera], now_us: int, by: str) -> None:
        known = {str(camera.id): camera for camera in _there(of, txn)}
        site_at = cache(lambda id_: _site_at(of, txn, id_, now_us))
        # A code may go from one camera of the file to another: what counts is how it will be.
        said = {new.id for new in rows}
        codes = {camera.gb_code: f"camera {camera.id}" for camera in known.values() if camera.gb_code and camera.id not in said}
        seen: set[str] = set()
        problems: list[tuple[int, str]] = []
        self.cameras: list[tuple[Camera | None, Camera]] = []
        """As it is in force, None where it is new; and as it will be."""
        for at, new in enumerate(rows):
            try:
                if new.id in seen:
                    raise UsageError("its id stands in another row too")
                seen.add(new.id)
                self.cameras.append(_one(of, txn, known.get(new.id), new, site_at, now_us, by))
                if new.gb_code in codes:
                    raise UsageError(f"{codes[new.gb_code]} has this GB code")
                if new.gb_code:
                    codes[new.gb_code] = "another row"
            except UsageError as error:
                # In a row that has slipped by a column the id may be a password.
                problems.append((at, str(error).removeprefix(f"camera {new.id}: ")))
                if len(problems) >= MAX_PROBLEMS:
                    break
        if problems:
            raise Rejected(problems)


def _there(of: Cameras, txn: ReadTxn) -> Iterable[Camera]:
    found = map(camera_from, of.registry.all_fields(txn, "cameras"))
    return (camera for camera in found if not camera.is_removed)


def _site_at(of: Cameras, txn: ReadTxn, site_id: str, now_us: int) -> Site | None:
    site = site_of(txn, of.registry, site_id)
    return None if site is None else site.at(now_us)


def _one(
    of: Cameras,
    txn: ReadTxn,
    stored: Camera | None,
    new: NewCamera,
    site_at: Callable[[str], Site | None],
    now_us: int,
    by: str,
) -> tuple[Camera | None, Camera]:
    if stored is not None:
        old = stored.at(now_us)
        camera, _ = _as_said(of, txn, old, new, now_us, by)
        if camera == old:
            return old, old
        is_new_site, is_new_days = new.site != old.site, new.days != old.days
    else:
        old, camera, is_new_site, is_new_days = None, made(new, CameraNumber(0), now_us), True, True
    check_fields(camera)
    if is_new_site or is_new_days:
        site = site_at(new.site)
        if site is None:
            raise UsageError("there is no such site; `site list` shows those there are")
        if is_new_days:
            check_days(new, site, of.retention)
    return old, camera


def _as_said(of: Cameras, txn: ReadTxn, old: Camera, new: NewCamera, now_us: int, by: str) -> tuple[Camera, AskedRaise | None]:
    """A site that it has says nothing of a move that is announced; neither do its days."""
    wanted = changed(
        old, now_us, None if new.site == old.site else new.site, None if new.days == old.days else new.days,
        url=new.url, secret=new.secret, name=new.name, transport=new.transport, enabled=new.enabled, gb_code=new.gb_code,
        interconnect=new.interconnect, approval_ref=new.approval_ref,
    )  # fmt: skip
    return of.announced(txn, old, wanted, now_us, by)


def _change(of: Cameras, txn: WriteTxn, some: Sequence[tuple[NewCamera, CameraNumber]], now_us: int, by: str) -> None:
    raises: dict[AskedRaise, list[CameraNumber]] = {}
    for new, number in some:
        fields = of.registry.fields(txn, camera_document(number))
        stored = None if fields is None else camera_from(fields)
        if stored is None or stored.is_removed:
            raise UsageError("another process removed one of these cameras meanwhile; import the file again")
        old = stored.at(now_us)
        camera, asked = _as_said(of, txn, old, new, now_us, by)
        if camera != old:
            of.registry.write(txn, camera_document(number), asdict(camera), now_us, by)
        if asked is not None:
            raises.setdefault(asked, []).append(number)
    for asked, numbers in raises.items():
        asked.put(txn, of, numbers, "cameras of an import", now_us, by)
