"""Packages handed out: the same bytes each time, opened by the programs that receivers have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from access.package.container import Form, deliver, package_files
from access.package.verifier.forms import tar_header
from tests.support.packages import Installation
from vault.errors import NotFound, UsageError


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Installation(tmp_path_factory.mktemp("installation")).export()


def same(one: Path, other: Path) -> bool:
    names = package_files(one)
    return names == package_files(other) and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_tar_is_the_same_each_time_and_tar_unpacks_it(package: Path, tmp_path: Path) -> None:
    first = deliver(package, tmp_path / "a.tar", Form.TAR).path.read_bytes()
    assert deliver(package, tmp_path / "b.tar", Form.TAR).path.read_bytes() == first
    subprocess.run(["tar", "-xf", "a.tar"], cwd=tmp_path, check=True, capture_output=True)
    assert same(package, tmp_path / "x9901")


def test_a_folder_is_handed_out_whole(package: Path, tmp_path: Path) -> None:
    assert same(package, deliver(package, tmp_path / "out", Form.FOLDER).path)


def test_openssl_opens_an_encrypted_package_with_the_password_that_was_made(package: Path, tmp_path: Path) -> None:
    made = deliver(package, tmp_path / "a.tar.enc", Form.ENCRYPTED)
    assert made.password is not None
    assert re.fullmatch(r"([2-9a-z]{5}-){4}[2-9a-z]{5}", made.password)
    assert made.password not in repr(made)
    subprocess.run(
        ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-in", "a.tar.enc", "-out", "a.tar", "-pass", "stdin"],
        cwd=tmp_path, check=True, input=made.password.encode(),
    )  # fmt: skip
    assert (tmp_path / "a.tar").read_bytes() == deliver(package, tmp_path / "b.tar", Form.TAR).path.read_bytes()


def test_a_taken_target_stays_and_a_repeated_attempt_replaces_it(package: Path, tmp_path: Path) -> None:
    for form in (Form.FOLDER, Form.TAR):
        target = tmp_path / form.file_name("x9901")
        deliver(package, target, form)
        # What a kill leaves.
        (tmp_path / "x9901.part").write_bytes(b"half")
        with pytest.raises(UsageError):
            deliver(package, target, form)
        deliver(package, target, form, replace=True)
        assert not list(tmp_path.glob("*.part"))
    assert same(package, tmp_path / "x9901")


def test_what_is_not_sealed_is_not_handed_out(package: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        deliver(tmp_path, tmp_path / "x", Form.TAR)


@pytest.mark.parametrize("password", ["short", "with\na line of its own", "x" * 600])
def test_a_password_that_would_not_hold_is_refused(package: Path, tmp_path: Path, password: str) -> None:
    with pytest.raises(UsageError):
        deliver(package, tmp_path / "x", Form.ENCRYPTED, password)


@pytest.mark.parametrize("size", [0, 1, 2**33 - 1, 2**33, 2**40])
@pytest.mark.parametrize("name", ["x/a", "x/" + "b" * 98, "x" * 40 + "/data/media/" + "c" * 80 + "/" + "d" * 80])
def test_a_tar_header_is_read_by_others_as_it_was_meant(name: str, size: int) -> None:
    import tarfile

    found = tarfile.TarInfo.frombuf(tar_header(name, size, 1_780_000_000), "utf-8", "strict")
    assert (found.name, found.size, found.mtime, found.mode) == (name, size, 1_780_000_000, 0o644)
