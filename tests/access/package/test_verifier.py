"""What the verifier says of packages that somebody changed on purpose: each thing by its name, in every form, without a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from access.occasion import Outcome, Purpose
from access.package.builder import PackageBuilder
from access.package.container import Form, deliver
from access.package.custody import Custody
from access.package.seal import prove_together
from access.package.verifier.command import KINDS, Verdict, examine
from tests.support.packages import Installation, custody_of, ledger_entry, with_media
from tests.support.verifying import bare
from vault.ids import CameraNumber
from vault.ledger.ledger import Proof
from vault.timebase import Interval

MEDIA = "data/media/c7-gate-7/20260528T202640.000000Z-20260528T202740.000000Z.mp4"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def sealed(installation: Installation) -> Path:
    return installation.export()


@pytest.fixture
def package(sealed: Path, tmp_path: Path) -> Path:
    """One of its own for each test."""
    return shutil.copytree(sealed, tmp_path / "x9901")


def found(verdict: Verdict) -> set[tuple[str, str]]:
    return {(finding.kind, finding.where) for finding in verdict.findings}


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


HARMS: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "a byte more": (lambda p: write(p / MEDIA, (p / MEDIA).read_bytes() + b"x"), ("changed", MEDIA)),
    "a page changed": (lambda p: write(p / "data/report.html", b"<html>"), ("changed", "data/report.html")),
    "the verifier changed": (lambda p: write(p / "verify.py", b"print('whole')"), ("changed", "verify.py")),
    "media gone": (lambda p: (p / MEDIA).unlink(), ("missing", MEDIA)),
    "signature gone": (lambda p: (p / "tagmanifest-sha256.txt.sig").unlink(), ("missing", "tagmanifest-sha256.txt.sig")),
    "tag manifest gone": (lambda p: (p / "tagmanifest-sha256.txt").unlink(), ("missing", "tagmanifest-sha256.txt")),
    "manifest gone": (lambda p: (p / "manifest-sha256.txt").unlink(), ("missing", "manifest-sha256.txt")),
    "checkpoint gone": (lambda p: (p / "proof/checkpoint").unlink(), ("missing", "proof/checkpoint")),
    "renamed": (lambda p: (p / MEDIA).rename(p / "data/media/other.mp4"), ("renamed", MEDIA)),
    "in other letters": (lambda p: (p / MEDIA).rename(p / MEDIA.replace("Z.mp4", "z.MP4")), ("renamed", MEDIA)),
    "one more": (lambda p: write(p / "data/media/c7-gate-7/more.mp4", b"x"), ("extra", "data/media/c7-gate-7/more.mp4")),
    "one more tag": (lambda p: write(p / "proof/more", b"x"), ("extra", "proof/more")),
    "an empty folder": (lambda p: (p / "data/empty").mkdir(), ("extra", "data/empty/")),
    "a link": (lambda p: (p / "data/link").symlink_to("/etc/passwd"), ("special", "data/link")),
    "a folder by a link": (lambda p: (p / "data/link").symlink_to("/etc"), ("special", "data/link")),
    "a pipe": (lambda p: os.mkfifo(p / "data/pipe"), ("special", "data/pipe")),
    "hidden": (lambda p: write(p / "data/.hidden", b"x"), ("name", "data/.hidden")),
    "another script's letters": (lambda p: write(p / "data/mеdia", b"x"), ("name", "data/mеdia")),
    "written backwards": (lambda p: write(p / "data/\u202e4pm.exe", b"x"), ("name", "data/\ufffd4pm.exe")),
    "no text at all": (lambda p: write(p / os.fsdecode(b"data/\xff\n"), b"x"), ("name", "data/\ufffd\ufffd")),
    "deep": (lambda p: write(p / "data/a/b/c/d/e", b"x"), ("name", "data/a/b/c/d")),
}


@pytest.mark.parametrize("harm", HARMS)
def test_harm_done_to_a_folder_is_named(harm: str, package: Path) -> None:
    do, expected = HARMS[harm]
    do(package)
    verdict = examine(str(package))
    assert expected in found(verdict), verdict.findings
    assert verdict.exit_code == 8


def lines_changed(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


HASH = "ab" * 32
LISTS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "turned round": (lambda lines: lines[::-1], "order"),
    "a line twice": (lambda lines: [lines[0], *lines], "duplicate"),
    "in other letters": (lambda lines: [*lines, lines[-1].replace("report", "Report")], "duplicate"),
    "up and away": (lambda lines: [*lines, f"{HASH}  data/../../etc/passwd\n"], "form"),
    "from the root": (lambda lines: [*lines, f"{HASH}  /etc/passwd\n"], "form"),
    "a tag file": (lambda lines: [*lines, f"{HASH}  verify.py\n"], "form"),
    "one space": (lambda lines: [lines[0].replace("  ", " "), *lines[1:]], "form"),
    "no end": (lambda lines: [*lines[:-1], lines[-1].rstrip("\n")], "form"),
    "windows": (lambda lines: [lines[0].replace("\n", "\r\n"), *lines[1:]], "form"),
    "no text": (lambda lines: ["\0\n", *lines], "form"),
}


@pytest.mark.parametrize("harm", LISTS)
def test_a_manifest_that_is_not_as_it_was_written_is_named(harm: str, package: Path) -> None:
    change, kind = LISTS[harm]
    lines_changed(package / "manifest-sha256.txt", change)
    verdict = examine(str(package))
    assert {(kind, "manifest-sha256.txt"), ("changed", "manifest-sha256.txt")} <= found(verdict), verdict.findings


def test_a_file_that_is_too_long_to_be_a_text_is_not_held_in_memory(package: Path) -> None:
    os.truncate(package / "proof/intent.json", 70 * 1024 * 1024)
    verdict = examine(str(package))
    assert {("form", "proof/intent.json"), ("changed", "proof/intent.json")} <= found(verdict)


JUNK = [
    b"", b"\0", b"[" * 100_000, b"9" * 100_000, b"{}", b"[]", b"null", b'{"entry":1,"index":-1,"path":[],"size":0}', b"\xff\xfe",
    b'{"a":1,"a":1}', b"1e999", b"NaN", b'"\\ud800"',
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "junk"),
    [
        *((path, one) for path in ("data/custody.json", "proof/intent.json") for one in JUNK),
        *((path, one) for path in ("proof/checkpoint", "proof/public.pem", "proof/keys", "bag-info.txt") for one in JUNK[::4]),
        *(
            (path, one)
            for path in ("manifest-sha256.txt", "tagmanifest-sha256.txt", "tagmanifest-sha256.txt.sig")
            for one in JUNK[::6]
        ),
    ],
)
def test_bytes_that_nobody_would_write_make_no_trouble(path: str, junk: bytes, package: Path) -> None:
    (package / path).write_bytes(junk)
    verdict = examine(str(package))
    assert verdict.exit_code == 8
    assert path in {finding.where for finding in verdict.findings}
    assert {finding.kind for finding in verdict.findings} <= KINDS.keys()


def test_a_size_that_no_disk_has_keeps_nobody_waiting(package: Path) -> None:
    os.truncate(package / MEDIA, 1 << 42)
    (package / "data/media/more.mp4").touch()
    os.truncate(package / "data/media/more.mp4", 1 << 42)
    verdict = examine(str(package))
    assert {("changed", MEDIA), ("extra", "data/media/more.mp4")} <= found(verdict)


@pytest.mark.parametrize("junk", [b"[" + b"[]," * 2_000_000 + b"[]]", b"\n" * 30_000_000], ids=["lists", "lines"])
@pytest.mark.parametrize("path", ["data/custody.json", "manifest-sha256.txt"])
def test_bytes_made_to_use_up_memory_do_not(path: str, junk: bytes, package: Path) -> None:
    (package / path).write_bytes(junk)
    tracemalloc.start()
    try:
        verdict = examine(str(package))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ("form", path) in found(verdict)
    assert peak < 300_000_000


def test_one_that_cannot_be_read_is_not_called_changed(package: Path, tmp_path: Path) -> None:
    assert examine(str(tmp_path / "nowhere")).exit_code == 7


# Whose it is.


def test_a_package_of_another_installation_is_refused_by_name(package: Path, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    verdict = examine(str(package), [other.fingerprint])
    assert verdict.exit_code == 4
    assert [(finding.kind, finding.where) for finding in verdict.findings] == [("key", "proof/public.pem")]
    assert verdict.facts["ledger"] in verdict.findings[0].message
    assert "another installation's" in verdict.findings[0].message


def signed_anew(package: Path, installation: Installation) -> None:
    """What a forger does who has a key of his own: every hash right again, his signature and his key in the place of ours."""
    signer = installation.ledger.signer()
    (package / "proof/public.pem").write_bytes(signer.public_pem)
    tags = package / "tagmanifest-sha256.txt"
    payload = package / "manifest-sha256.txt"
    for path in (payload, tags):
        names = [line.split("  ", 1)[1].strip() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{hashlib.sha256((package / name).read_bytes()).hexdigest()}  {name}\n" for name in names))
    (package / "tagmanifest-sha256.txt.sig").write_bytes(signer.sign(tags.read_bytes()))


def test_a_forger_with_a_key_of_his_own_is_found_even_without_a_key_to_trust(package: Path, tmp_path: Path) -> None:
    (package / MEDIA).write_bytes(b"another film")
    signed_anew(package, Installation(tmp_path / "forger"))
    verdict = examine(str(package))
    assert verdict.exit_code == 8
    assert {("key", "proof/public.pem"), ("custody", MEDIA), ("custody", "manifest-sha256.txt")} <= found(verdict)


def test_a_package_stays_good_after_its_key_was_followed_by_another(tmp_path: Path) -> None:
    office = Installation(tmp_path / "office")
    before, old = office.export(), office.fingerprint
    office.ledger.rotate("someone", "yearly")
    after, new = office.export(custody_of("x9902")), office.fingerprint
    succession = office.ledger.succession().note.encode()
    assert old != new
    assert not examine(str(before), [old]).findings
    assert not examine(str(after), [old]).findings
    assert not examine(str(after), [new]).findings
    # Who knows the new key only is told by the office how it came to be.
    assert examine(str(before), [new]).exit_code == 4
    assert not examine(str(before), [new], succession=succession).findings


def test_trust_does_not_go_on_over_a_key_that_was_lost(tmp_path: Path) -> None:
    office = Installation(tmp_path / "office")
    old = office.fingerprint
    for path in (tmp_path / "office" / "keys").iterdir():
        path.unlink()
    office.ledger.replace_lost_key("someone", "the disk died")
    package = office.export()
    assert not examine(str(package), [office.fingerprint]).findings
    verdict = examine(str(package), [old])
    assert verdict.exit_code == 4
    assert "no key that is trusted vouches for it" in verdict.findings[0].message


def test_a_succession_with_a_statement_changed_is_named(tmp_path: Path) -> None:
    office = Installation(tmp_path / "office")
    office.ledger.rotate("someone", "yearly")
    package = office.export()
    keys = package / "proof/keys"
    keys.write_text(keys.read_text().replace("yearly", "nearly"))
    assert ("key", "proof/keys") in found(examine(str(package)))


# What the ledger says.

SAID = custody_of().said
TOLD: dict[str, Callable[[Custody], Custody]] = {
    "export": lambda c: replace(c, export="x9909"),
    "actor": lambda c: replace(c, actor="user:other"),
    "unit": lambda c: replace(c, unit="unit-2"),
    "user": lambda c: replace(c, user="other"),
    "purpose": lambda c: replace(c, said=replace(SAID, purpose=Purpose.TRAFFIC)),
    "why": lambda c: replace(c, said=replace(SAID, why="something else")),
    "case": lambda c: replace(c, said=replace(SAID, case="case 9909")),
    "destination": lambda c: replace(c, said=replace(SAID, destination="a newspaper")),
    "person": lambda c: replace(c, said=replace(SAID, taker="first officer")),
    "staff_number": lambda c: replace(c, said=replace(SAID, staff_number="s-9909")),
    "approval_ref": lambda c: replace(c, said=replace(SAID, approval_ref="no. 9")),
    "end_us": lambda c: replace(c, wanted=Interval(c.wanted.start_us, c.wanted.end_us + 1)),
    "authority": lambda c: replace(c, authority=("role investigator",)),
    "cameras": lambda c: replace(c, cameras=c.cameras[:1]),
    "id": lambda c: replace(c, deed="deed-other"),
}


@pytest.mark.parametrize("field", TOLD)
def test_a_custody_that_says_otherwise_than_the_ledger_is_named_by_its_field(field: str, tmp_path: Path) -> None:
    custody = custody_of()
    package = Installation(tmp_path).export(custody, said=TOLD[field](custody))
    verdict = examine(str(package))
    assert {finding.kind for finding in verdict.findings} == {"custody"}
    assert any(finding.message.startswith(f"{field} is ") for finding in verdict.findings)


def sealed_with(office: Installation, tmp_path: Path, outcomes: Callable[[list[Proof]], list[Proof]]) -> Path:
    """A package with other proofs than its own, under the office's own signature."""
    custody = custody_of("x9903")
    builder = PackageBuilder(tmp_path / "work", custody.export)
    custody = with_media(builder, custody, {7: b"a", 8: b"b"})
    payload = builder.close_payload(custody)
    entries = [ledger_entry(custody, Outcome.ASKED), ledger_entry(custody, Outcome.DONE, payload)]
    proofs = prove_together(office.ledger, office.ledger.append(entries).sequences)
    return builder.seal(outcomes(proofs), office.ledger.signer())


def test_proofs_of_another_package_are_named_though_they_are_proofs(tmp_path: Path) -> None:
    office = Installation(tmp_path / "office")
    other = custody_of("x9904")
    size = len(list(office.ledger.entries()))
    office.export(other)

    def swapped(own: list[Proof]) -> list[Proof]:
        theirs = [entry.sequence for entry in office.ledger.entries(size) if entry.subject.get("export") == "x9904"]
        return prove_together(office.ledger, theirs)

    verdict = examine(str(sealed_with(office, tmp_path, swapped)))
    assert {finding.kind for finding in verdict.findings} == {"custody"}
    assert "sha256" in " ".join(finding.message for finding in verdict.findings)


def test_an_entry_edited_in_its_proof_is_named(tmp_path: Path) -> None:
    def edited(own: list[Proof]) -> list[Proof]:
        line = own[0].entry.line.replace(b"stolen bicycle", b"stolen tricycle")
        return [replace(own[0], entry=own[0].entry._replace(line=line)), own[1]]

    office = Installation(tmp_path / "office")
    verdict = examine(str(sealed_with(office, tmp_path, edited)))
    assert found(verdict) == {("proof", "proof/intent.json")}


def test_proofs_with_their_index_or_path_changed_are_named(package: Path) -> None:
    path = package / "proof/completion.json"
    proof = json.loads(path.read_bytes())
    for change in ({"index": proof["index"] + 1}, {"path": proof["path"][1:]}, {"path": proof["path"][::-1]}, {"size": 7}):
        path.write_text(json.dumps({**proof, **change}, sort_keys=True, separators=(",", ":")))
        assert ("proof", "proof/completion.json") in found(examine(str(package)))


def test_who_approved_is_proven_too(tmp_path: Path) -> None:
    office = Installation(tmp_path / "office")
    package = office.export(custody_of(approver="user:chief", approved_us=1))
    assert not examine(str(package)).findings
    (package / "proof/approval.json").unlink()
    assert ("missing", "proof/approval.json") in found(examine(str(package)))


def test_a_camera_number_and_its_name_cannot_be_mixed_up(tmp_path: Path) -> None:
    custody = custody_of()
    builder = PackageBuilder(tmp_path / "work", custody.export)
    mixed = with_media(builder, custody, {7: b"a", 8: b"b"}).cameras
    swapped = (replace(mixed[0], files=mixed[1].files), replace(mixed[1], files=mixed[0].files))
    office = Installation(tmp_path / "office")
    custody = replace(custody, cameras=swapped)
    payload = builder.close_payload(custody)
    entries = [ledger_entry(custody, Outcome.ASKED), ledger_entry(custody, Outcome.DONE, payload)]
    package = builder.seal(prove_together(office.ledger, office.ledger.append(entries).sequences), office.ledger.signer())
    assert found(examine(str(package))) == {("custody", "data/custody.json")}
    assert CameraNumber(7) == custody.cameras[0].number


# Containers.


def test_a_tar_that_somebody_packed_anew_is_not_taken_for_the_one_that_was_handed_out(package: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "again"), "tar", tmp_path, "x9901")
    verdict = examine(str(tmp_path / "again.tar"))
    assert {finding.kind for finding in verdict.findings} == {"container"}


def test_the_wrong_password_is_said_to_be_wrong(package: Path, tmp_path: Path) -> None:
    made = deliver(package, tmp_path / "x.tar.enc", Form.ENCRYPTED, "a password of ours").path
    assert not examine(str(made), password=lambda: "a password of ours").findings
    verdict = examine(str(made), password=lambda: "another one of ours")
    assert found(verdict) == {("password", "")}
    assert verdict.exit_code == 4


def test_hostile_words_are_shown_inert(tmp_path: Path) -> None:
    words = "\u202e<script>\x1b[31m\n'\"=1+1"
    custody = custody_of(said=replace(SAID, why=words), unit_name=words)
    told = bare(tmp_path / "bare", Installation(tmp_path / "office").export(custody))
    assert told.returncode == 0
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout
