"""Building a package: what is whole stays, what is torn is made again, and others' programs read the result."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import bagit
import pytest

from access.package.builder import PackageBuilder
from access.package.custody import media_name
from tests.support.packages import WANTED, Installation, custody_of, with_media
from vault.errors import Damaged, UsageError
from vault.ids import CameraId, CameraNumber

NAME = media_name(CameraNumber(7), CameraId("gate-7"), WANTED)


def test_a_package_is_a_bag_to_the_library_of_those_who_made_the_format(tmp_path: Path) -> None:
    package = Installation(tmp_path).export()
    bag = bagit.Bag(str(package))
    bag.validate()
    assert bag.info["External-Identifier"] == "x9901"
    assert len(list(bag.payload_files())) == 4


def test_its_signature_is_one_to_openssl(tmp_path: Path) -> None:
    package = Installation(tmp_path).export()
    run = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "proof/public.pem", "-in", "tagmanifest-sha256.txt",
         "-sigfile", "tagmanifest-sha256.txt.sig"],
        cwd=package, capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run


def test_media_are_hashed_as_they_are_written(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    pieces = [bytes([number]) * size for number, size in enumerate((10, 500_000, 1, 200_000))]
    with builder.media(NAME) as sink:
        for piece in pieces:
            sink.write(memoryview(piece))
        made = sink.close()
    data = (builder.package / made.path).read_bytes()
    assert data == b"".join(pieces)
    assert (made.size_bytes, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_what_was_not_closed_is_gone_and_what_was_is_known_to_the_next_process(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    with builder.media(NAME) as sink:
        sink.write(b"whole")
        made = sink.close()
    with builder.media("c8-gate/other.mp4") as sink:
        sink.write(b"half")
    assert PackageBuilder(tmp_path / "work", "x9901").finished_media() == {NAME: made}
    assert not list(builder.folder.rglob("*.part"))


def test_a_finished_file_of_other_bytes_or_of_none_is_not_whole(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    with builder.media(NAME) as sink:
        sink.write(b"whole")
        made = sink.close()
    read: list[int] = []
    assert builder.is_whole(made, read.append)
    assert read == [5]
    path = builder.package / made.path
    path.write_bytes(b"whale")
    assert not builder.is_whole(made)
    path.unlink()
    assert not builder.is_whole(made)
    path.mkdir()
    assert not builder.is_whole(made)


def test_a_note_torn_by_a_kill_makes_its_file_be_made_again(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    with builder.media(NAME) as sink:
        sink.write(b"whole")
        made = sink.close()
    notes = builder.folder / "media.jsonl"
    notes.write_bytes(notes.read_bytes()[:-20])
    assert builder.finished_media() == {}
    with builder.media(NAME) as sink:
        sink.write(b"whole")
        sink.close()
    assert builder.finished_media() == {NAME: made}


def test_the_payload_closed_again_has_the_same_manifest_and_no_strays(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    custody = with_media(builder, custody_of(), {7: b"a", 8: b"b"})
    first = builder.close_payload(custody)
    (builder.package / "data/media/stray.mp4").write_bytes(b"left by nobody")
    assert builder.close_payload(custody) == first
    assert not (builder.package / "data/media/stray.mp4").exists()


def test_media_that_the_custody_tells_otherwise_are_refused(tmp_path: Path) -> None:
    builder = PackageBuilder(tmp_path / "work", "x9901")
    custody = with_media(builder, custody_of(), {7: b"a", 8: b"b"})
    with builder.media(NAME) as sink:
        sink.write(b"other bytes")
        sink.close()
    with pytest.raises(Damaged, match=NAME):
        builder.close_payload(custody)


@pytest.mark.parametrize(
    "name", ["x.mp4", "../x/a.mp4", "a/../b", "/a/b", "a/b/c", "a/.b", "a\nb/c", "摄/b.mp4", "a/" + "b" * 99]
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        PackageBuilder(tmp_path / "work", "x9901").media(name)
