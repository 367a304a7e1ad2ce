"""The cameras of the registry. A number is given once and never again; the secret is an opaque sealed text, never shown.

Removing a camera ends its recording only: its document, number and footage stay. An id is unique among the cameras that are
there; after a removal it may be given again, to another number. Nothing here connects to a camera or opens a secret.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from index.camera_checks import check_days, checked_site
from index.environment import ReadTxn, Table, WriteTxn
from index.minima import NOTICE_US, put_raise
from index.registry import DocumentName, Fields, Registry, counter, set_counter
from index.rows import CAMERA
from index.sites import DEFAULT_SITE, kept, site_of
from index.stays import Stays, always, moved, stays_from
from index.writes import note_first
from vault.clock import Clock, SystemClock
from vault.config import Retention
from vault.errors import Damaged, NotFound, Refused, UsageError
from vault.ids import CameraId, CameraNumber, camera_id
from vault.timebase import MAX_US

LAST_NUMBER = b"last-camera-number"
_BY_NUMBER = re.compile(r"#([0-9]{1,10})")


class Keep(enum.Enum):
    """`KEEP`: leave the field as it is, where None means something else."""

    KEEP = 0


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class NewCamera:
    """What the caller says of a camera. `url` without user and password; `secret` as `CredentialBox.seal` gave it."""

    id: str
    url: str
    secret: str | None = field(default=None, repr=False)
    site: str = DEFAULT_SITE
    name: str = ""
    transport: str = "auto"
    enabled: bool = True
    gb_code: str = ""
    interconnect: str = ""
    approval_ref: str = ""
    days: int = 0


@dataclass(frozen=True, slots=True)
class CameraLowering:
    """Fewer days, by another site or by its own, announced: in force from `from_us` on."""

    site: str
    days: int
    from_us: int
    by: str


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of the registry. `first_record_us`: when it was first to record, None when not yet.

    `gb_code`: its 20 digits, or empty. `interconnect` and `approval_ref`: empty as its site's. `days` 0: as its site's.
    `site`: by which its footage is kept. `stays`: where it stood, and stands, at once also where `site` is only announced.
    """

    number: CameraNumber
    id: CameraId
    url: str
    secret: str | None = field(repr=False)
    site: str
    name: str
    transport: str
    enabled: bool
    added_us: int
    removed_us: int | None = None
    first_record_us: int | None = None
    gb_code: str = ""
    interconnect: str = ""
    approval_ref: str = ""
    days: int = 0
    lowering: CameraLowering | None = None
    stays: Stays = ()

    def at(self, now_us: int) -> Camera:
        """The camera as it is in force now."""
        low = self.lowering
        if low is None or now_us < low.from_us:
            return self
        return replace(self, site=low.site, days=low.days, lowering=None)

    @property
    def is_removed(self) -> bool:
        return self.removed_us is not None

    @property
    def records(self) -> bool:
        """Whether it should be recording."""
        return self.enabled and not self.is_removed


@dataclass(frozen=True, slots=True)
class AskedRaise:
    """Footage that is kept for `had` days now is to be kept for `has`; `lowered`: for fewer, once what is announced takes effect."""

    had: int
    has: int
    lowered: bool

    def put(self, txn: WriteTxn, of: Cameras, numbers: Sequence[CameraNumber], whose: str, now_us: int, by: str) -> None:
        """In the transaction that changes these cameras."""
        put_raise(
            txn, of.registry, numbers, max(self.had, self.has), of.retention.time_zone, by=by, at_us=now_us,
            why=f"{whose}: {self.had} to {self.has} days", lowered=self.lowered,
        )  # fmt: skip


class Cameras:
    """The cameras over one registry. Every change is durable when the method returns."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock | None = None,
        recorded: Callable[[], CameraNumber | None] = lambda: None,
        retention: Retention | None = None,
    ) -> None:
        """`recorded`: the highest number that ever recorded here, whatever the index remembers."""
        self.registry = registry
        self._recorded = recorded
        self.environment = registry.environment
        self.clock = clock or SystemClock()
        self.retention = retention or Retention()

    def changes(self) -> int:
        """Rises with every change of the registry."""
        return self.registry.changes()

    def add(self, new: NewCamera, by: str = "") -> Camera:
        """Raises UsageError for a bad field, an unknown site or an id that is taken."""
        now_us = self.clock.now_us()
        with self.environment.write("add camera") as txn:
            self._check_free(txn, new)
            self._check_code(txn, new)
            camera = made(new, self.next_number(txn), now_us)
            set_counter(txn, LAST_NUMBER, camera.number)
            self.registry.write(txn, _name(camera.number), asdict(camera), now_us, by)
            txn.put(Table.NAMES, camera.id.encode(), CAMERA.pack(camera.number))
        return camera

    def set(
        self,
        id_: str,
        *,
        url: str | None = None,
        secret: str | Literal[Keep.KEEP] | None = KEEP,
        site: str | None = None,
        name: str | None = None,
        transport: str | None = None,
        enabled: bool | None = None,
        gb_code: str | None = None,
        interconnect: str | None = None,
        approval_ref: str | None = None,
        days: int | None = None,
        since_us: int | None = None,
        by: str = "",
    ) -> Camera:
        """Change fields; None (for `secret`: KEEP) leaves one as it is. A secret belongs to its address: another `url` without
        a secret of its own has none. What would keep its footage for less is announced, what keeps it for longer reaches the
        footage that exists (`index.minima`). `since_us`: since when it stands at `site`; from now on when None. Raises NotFound,
        UsageError."""
        if since_us is not None and (site is None or not 0 <= since_us <= self.clock.now_us()):
            raise UsageError(
                f"camera {id_[:80]}: since when it stands at a site is said with the site, and not of what is to come"
            )

        def change(txn: WriteTxn, stored: Camera) -> Camera:
            now_us = self.clock.now_us()
            old = stored.at(now_us)
            is_other = url is not None and url != old.url
            said = {
                "url": url, "name": name, "transport": transport, "enabled": enabled, "gb_code": gb_code,
                "interconnect": interconnect, "approval_ref": approval_ref,
            }  # fmt: skip
            camera = changed(
                old, now_us, site, days, since_us,
                secret=secret if secret is not KEEP else None if is_other else old.secret,
                **{field: value for field, value in said.items() if value is not None},
            )  # fmt: skip
            at_site = checked_site(txn, self.registry, camera, now_us)
            if days is not None:
                check_days(camera, at_site, self.retention)
            if camera.gb_code != old.gb_code:
                self._check_code(txn, camera)
            camera, asked = self.announced(txn, old, camera, now_us, by)
            if asked is not None:
                asked.put(txn, self, [camera.number], f"camera {camera.id}", now_us, by)
            return camera

        return self._change(id_, change, by)

    def keep(self, id_: str, by: str = "") -> Camera:
        """Take back what was announced: from now on it stands where it is kept as. Raises NotFound, Refused."""

        def change(_: WriteTxn, old: Camera) -> Camera:
            now_us = self.clock.now_us()
            low = old.at(now_us).lowering
            if low is None:
                raise Refused(f"camera {id_}: nothing is announced, or it took effect already")
            stays = old.stays if low.site == old.site else moved(old.stays, old.site, now_us)
            return replace(old, lowering=None, stays=stays)

        return self._change(id_, change, by)

    def remove(self, id_: str, by: str = "") -> Camera:
        """Recording ends; footage, document and number stay. Raises NotFound."""
        return self._change(id_, lambda _, old: replace(old, removed_us=self.clock.now_us(), enabled=False), by)

    def begin_recording(self, number: CameraNumber, at_us: int) -> Camera:
        """From `at_us` on it is to record; what is missing from then on is a gap. Later calls change nothing."""
        camera = self.by_number(number)
        if camera.first_record_us is not None:
            return camera

        def change(txn: WriteTxn, old: Camera) -> Camera:
            note_first(txn, number, at_us)
            return old if old.first_record_us is not None else replace(old, first_record_us=at_us)

        return self._change(f"#{number}", change, removed=True)

    def get(self, id_: str) -> Camera:
        """The camera of this id, or the last removed one that had it; `#7` is number 7, removed or not. Raises NotFound."""
        with self.environment.read() as txn:
            return self._get(txn, id_)

    def by_number(self, number: CameraNumber) -> Camera:
        """Removed or not. Raises NotFound."""
        with self.environment.read() as txn:
            fields = self.registry.fields(txn, _name(number))
        if fields is None:
            raise NotFound(f"there is no camera number {number}")
        return camera_from(fields)

    def list(self, *, removed: bool = False) -> list[Camera]:
        """Cameras by number, those removed only on request."""
        with self.environment.read() as txn:
            cameras = [camera_from(fields) for fields in self.registry.all_fields(txn, "cameras")]
        return [camera for camera in cameras if removed or not camera.is_removed]

    def next_number(self, txn: ReadTxn) -> CameraNumber:
        return CameraNumber(max(counter(txn, LAST_NUMBER), self._recorded() or 0) + 1)

    def _get(self, txn: ReadTxn, id_: str) -> Camera:
        if by_number := _BY_NUMBER.fullmatch(id_):
            number = int(by_number[1])
        else:
            raw = txn.get(Table.NAMES, camera_id(id_).encode())
            number = 0 if raw is None else CAMERA.unpack(raw)[0]
        fields = self.registry.fields(txn, _name(CameraNumber(number)))
        if fields is None:
            raise NotFound(f"there is no camera {id_!r}; `camera list --all` shows those there are and were")
        return camera_from(fields)

    def _change(self, id_: str, change: Callable[[WriteTxn, Camera], Camera], by: str = "", *, removed: bool = False) -> Camera:
        with self.environment.write("change camera") as txn:
            old = self._get(txn, id_)
            if old.is_removed and not removed:
                raise NotFound(f"camera {id_!r} was removed; add it again to record it")
            camera = change(txn, old)
            if camera != old:
                self.registry.write(txn, _name(camera.number), asdict(camera), self.clock.now_us(), by)
            return camera

    def announced(self, txn: ReadTxn, old: Camera, new: Camera, now_us: int, by: str) -> tuple[Camera, AskedRaise | None]:
        """`new`, or where it would keep less: `new` with the site and days of `old`, and its own announced; and the raise, where
        that is needed, that the caller has to put in the same transaction."""
        said, low = (new.site, new.days), old.lowering
        if said == (old.site, old.days):
            # A move that was announced is off when it is said to stand elsewhere.
            is_off = low is not None and new.stays[-1:] != () and new.stays[-1].site != low.site
            return (replace(new, lowering=None) if is_off else new), None
        if low is not None and said == (low.site, low.days):
            # What is announced already takes effect when it was to.
            return replace(new, site=old.site, days=old.days), None
        (_, had), (_, has) = (
            kept(camera.days, site_of(txn, self.registry, camera.site), self.retention, now_us) for camera in (old, new)
        )
        # Of a camera that never was to record there is nothing that anybody could rely on.
        lowered = has < had and old.first_record_us is not None
        asked = AskedRaise(had, has, lowered) if lowered or has > had else None
        if not lowered:
            return replace(new, lowering=None), asked
        later = CameraLowering(new.site, new.days, now_us + NOTICE_US, by)
        return replace(new, site=old.site, days=old.days, lowering=later), asked

    def _check_free(self, txn: ReadTxn, new: NewCamera) -> None:
        now_us = self.clock.now_us()
        check_days(new, checked_site(txn, self.registry, new, now_us), self.retention)
        raw = txn.get(Table.NAMES, new.id.encode())
        fields = None if raw is None else self.registry.fields(txn, _name(CameraNumber(CAMERA.unpack(raw)[0])))
        if fields is not None and not camera_from(fields).is_removed:
            raise UsageError(f"there is a camera {new.id!r} already")

    def _check_code(self, txn: ReadTxn, camera: NewCamera | Camera) -> None:
        if camera.gb_code and (other := self.codes(txn).get(camera.gb_code)):
            raise UsageError(f"camera {camera.id}: camera {other} has the GB code {camera.gb_code}")

    def codes(self, txn: ReadTxn) -> dict[str, str]:
        """By GB code, the cameras that are there."""
        cameras = map(camera_from, self.registry.all_fields(txn, "cameras"))
        return {camera.gb_code: camera.id for camera in cameras if camera.gb_code and not camera.is_removed}


def changed(
    old: Camera, now_us: int, site: str | None = None, days: int | None = None, since_us: int | None = None, **said: Any
) -> Camera:
    """The camera as in force with what is said of it; `site` and `days` None where nothing is. Of days alone, where it was said to
    stand last counts, should that be only announced."""
    stands = old.at(MAX_US).site if site is None else site
    return replace(
        old, **said,
        site=old.site if (site, days) == (None, None) else stands,
        days=old.days if days is None else days,
        stays=old.stays if site is None else moved(old.stays, site, now_us, since_us),
    )  # fmt: skip


def camera_from(fields: Fields) -> Camera:
    """The camera of a document's fields. Raises Damaged; never quotes them."""
    try:
        removed, first, secret = fields["removed_us"], fields["first_record_us"], fields["secret"]
        # What format 1 did not know is empty.
        low = fields.get("lowering")
        if first is not None and not 0 <= int(first) <= MAX_US:
            raise ValueError("first")
        return Camera(
            CameraNumber(int(fields["number"])),
            camera_id(str(fields["id"])),
            str(fields["url"]),
            None if secret is None else str(secret),
            str(fields["site"]),
            str(fields["name"]),
            str(fields["transport"]),
            bool(fields["enabled"]),
            int(fields["added_us"]),
            None if removed is None else int(removed),
            None if first is None else int(first),
            str(fields.get("gb_code", "")),
            str(fields.get("interconnect", "")),
            str(fields.get("approval_ref", "")),
            int(fields.get("days", 0)),
            None if low is None else CameraLowering(**low),
            stays_from(fields.get("stays", ())),
        )
    except (KeyError, TypeError, ValueError, UsageError):
        raise Damaged("a camera in the registry lacks a field; run `index rebuild`") from None


def camera_document(number: CameraNumber) -> DocumentName:
    """What the camera's document is called."""
    return DocumentName("cameras", f"{number:010d}")


_name = camera_document


def made(new: NewCamera, number: CameraNumber, now_us: int) -> Camera:
    """The document of a camera that is new."""
    return Camera(
        number, camera_id(new.id), new.url, new.secret, new.site, new.name, new.transport, new.enabled, now_us,
        gb_code=new.gb_code, interconnect=new.interconnect, approval_ref=new.approval_ref, days=new.days, stays=always(new.site),
    )  # fmt: skip
