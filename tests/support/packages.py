"""Sealed packages for tests: a ledger of their own, few bytes of media, every field filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from access.occasion import Occasion, Outcome, Purpose, entry
from access.package.builder import PackageBuilder, Payload
from access.package.custody import Custody, Missing, Source, Taken, TakenCamera, media_name
from access.package.seal import prove_together
from vault.ids import CameraId, CameraNumber, SegmentKey
from vault.ledger.entry import Kind, NewEntry
from vault.ledger.ledger import Ledger
from vault.timebase import US, Interval

BEGIN_US = 1_780_000_000 * US
WANTED = Interval(BEGIN_US, BEGIN_US + 60 * US)
SAID = Occasion(Purpose.INVESTIGATION, "a stolen bicycle", "case 9901", "first station", "second officer", "s-9902")


@dataclass
class Installation:
    """A ledger with its key, and some entries before and behind each export."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "keys").mkdir(exist_ok=True)
        self.ledger = Ledger(self.folder / "ledger", self.folder / "keys" / "ledger.key")
        self.ledger.append([NewEntry(Kind.POLICY, "someone", {}, {"n": n}) for n in range(5)])

    @property
    def fingerprint(self) -> str:
        return self.ledger.signer().fingerprint

    def export(
        self, custody: Custody | None = None, media: Mapping[int, bytes] | None = None, *, said: Custody | None = None
    ) -> Path:
        """A sealed package in the working folder. `said`: what the ledger is told, where it differs from the custody."""
        custody = custody or custody_of()
        builder = PackageBuilder(self.folder / f"work-{custody.export}", custody.export)
        custody = with_media(builder, custody, media or {7: b"m" * 300_000, 8: b"n" * 1_000})
        told = said or custody
        asked = self.ledger.append([ledger_entry(told, Outcome.ASKED)]).sequences[0]
        sequences = [asked]
        if custody.approver:
            approved = replace(told, actor=told.approver)
            sequences += self.ledger.append([ledger_entry(approved, Outcome.APPROVED)]).sequences
        payload = builder.close_payload(custody)
        sequences += self.ledger.append([ledger_entry(told, Outcome.DONE, payload)]).sequences
        self.ledger.append([NewEntry(Kind.POLICY, "someone", {}, {"n": n}) for n in range(3)])
        return builder.seal(
            prove_together(self.ledger, sequences), self.ledger.signer(), self.ledger.succession().note.encode()
        )


def ledger_entry(custody: Custody, outcome: Outcome, payload: Payload | None = None) -> NewEntry:
    numbers = [camera.number for camera in custody.cameras]
    more = dict(payload.facts) if payload else {"authority": list(custody.authority)}
    return entry(
        Kind.EXPORT, custody.actor, "export", outcome, numbers, custody.wanted, id=custody.deed, unit=custody.unit,
        user=custody.user, said=custody.said, export=custody.export, more=more,
    )  # fmt: skip


def custody_of(export: str = "x9901", **changes: object) -> Custody:
    """Two cameras, the media yet to come."""
    cameras = tuple(
        TakenCamera(
            CameraNumber(number), CameraId(f"gate-{number}"), "东门", "site-1", "市场", "", 120_000, WANTED, WANTED,
            Interval(WANTED.start_us - US, WANTED.end_us),
            (Missing(Interval(WANTED.start_us + 5 * US, WANTED.start_us + 9 * US), "connection lost"),), (),
            (Source(SegmentKey(CameraNumber(number), BEGIN_US, 1, 1).object_key, 1_000, "ab" * 32, "cd" * 32),),
        )
        for number in (7, 8)
    )  # fmt: skip
    custody = Custody(
        export, f"deed-{export}", BEGIN_US + 100 * US, BEGIN_US + 120 * US, "user:li", "li", "unit-1", "一号单位", SAID,
        ("grant 3",), WANTED, cameras, "streamvault 0.1.0",
    )  # fmt: skip
    return replace(custody, **changes)  # type: ignore[arg-type]


def with_media(builder: PackageBuilder, custody: Custody, media: Mapping[int, bytes]) -> Custody:
    """The custody with a file of these bytes for each camera, written."""
    cameras = []
    for camera in custody.cameras:
        with builder.media(media_name(camera.number, camera.id, WANTED)) as sink:
            sink.write(media[camera.number])
            made = sink.close()
        cameras.append(replace(camera, files=(Taken(made, WANTED, Interval(WANTED.start_us - US, WANTED.end_us)),)))
    return replace(custody, cameras=tuple(cameras))
