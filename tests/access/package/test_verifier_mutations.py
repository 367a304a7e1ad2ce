"""Any byte, file or member of a package that is flipped, removed, added or moved is found, and the verifier says where."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.package.container import Form, deliver, package_files
from access.package.verifier.command import KINDS, Verdict, examine
from access.package.verifier.forms import MANIFEST, TAG_MANIFEST, read_header
from tests.support.packages import Installation, custody_of

PASSWORD = "a password of some length"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def sealed(installation: Installation) -> Path:
    return installation.export(media={7: b"m" * 3_000, 8: b""})


@pytest.fixture(scope="module")
def another(installation: Installation) -> Path:
    return installation.export(custody_of("x9902"))


@pytest.fixture(scope="module")
def tarred(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return deliver(sealed, tmp_path_factory.mktemp("out") / "x9901.tar", Form.TAR).path.read_bytes()


def bad(verdict: Verdict) -> str:
    """Everything that was said of a package in which something must be found."""
    assert verdict.findings
    assert verdict.exit_code == 8
    assert {finding.kind for finding in verdict.findings} <= KINDS.keys()
    return "\n".join(" ".join(finding) for finding in verdict.findings)


@contextmanager
def copied(package: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(package, Path(folder) / "x9901"))


def flipped(data: bytes, at: int, by: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


CHANGES: dict[str, Callable[[bytes, int, int], bytes]] = {
    "flip": flipped,
    "cut off": lambda data, at, by: data[: at % len(data)],
    "take out": lambda data, at, by: data[: at % len(data)] + data[at % len(data) + by :],
    "put in": lambda data, at, by: data[: at % len(data)] + bytes([by]) + data[at % len(data) :],
}


@settings(max_examples=40)
@given(st.data(), st.sampled_from(sorted(CHANGES)), st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_change_in_any_file_names_that_file(sealed: Path, data: st.DataObject, change: str, at: int, by: int) -> None:
    path = data.draw(st.sampled_from([name for name in package_files(sealed) if (sealed / name).stat().st_size]))
    with copied(sealed) as package:
        (package / path).write_bytes(CHANGES[change]((package / path).read_bytes(), at, by))
        assert path in bad(examine(str(package)))


@settings(max_examples=15)
@given(st.data())
def test_files_taken_away_or_in_each_others_place_are_named(sealed: Path, data: st.DataObject) -> None:
    # Of two files with the same bytes nobody can tell that they changed places; there are none here.
    one, other = data.draw(st.lists(st.sampled_from(package_files(sealed)), min_size=2, max_size=2, unique=True))
    with copied(sealed) as package:
        lists = set()
        if data.draw(st.booleans()):
            (package / one).unlink()
        else:
            # Where a list of the files, or the key, is none, it is named, and nothing is known of what it is to prove.
            lists = {other} & {MANIFEST, TAG_MANIFEST, "proof/public.pem"}
            os.rename(package / one, package / "swap")
            os.rename(package / other, package / one)
            os.rename(package / "swap", package / other)
        named = bad(examine(str(package)))
        assert one in named or any(name in named for name in lists)


@settings(max_examples=15)
@given(st.data())
def test_a_file_of_another_package_of_the_same_office_is_named(sealed: Path, another: Path, data: st.DataObject) -> None:
    both = [
        path
        for path in package_files(sealed)
        if (another / path).exists() and (another / path).read_bytes() != (sealed / path).read_bytes()
    ]
    path = data.draw(st.sampled_from(both))
    with copied(sealed) as package:
        shutil.copyfile(another / path, package / path)
        assert path in bad(examine(str(package)))


@settings(max_examples=60)
@given(st.sampled_from(sorted(CHANGES)), st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_change_anywhere_in_a_tar_is_found_and_placed(sealed: Path, tarred: bytes, change: str, at: int, by: int) -> None:
    changed = CHANGES[change](tarred, at, by)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(changed)
        file.flush()
        if changed == tarred:
            assert not examine(file.name).findings
            return
        said = bad(examine(file.name))
    # The place is a byte, a file, or the very beginning.
    assert "byte" in said or "first bytes" in said or any(name in said for name in package_files(sealed))


def members(tar: bytes) -> list[bytes]:
    found, at = [], 0
    while tar[at]:
        _, size, _ = read_header(tar[at : at + 512])
        end = at + 512 + size + -size % 512
        found.append(tar[at:end])
        at = end
    return found


@settings(max_examples=20)
@given(st.data(), st.sampled_from(["move", "take out", "twice"]))
def test_members_of_a_tar_moved_or_taken_out_or_doubled_are_named(tarred: bytes, data: st.DataObject, how: str) -> None:
    parts = members(tarred)
    at = data.draw(st.integers(0, len(parts) - 1))
    one = parts.pop(at)
    if how == "move":
        parts.insert(data.draw(st.integers(0, len(parts)).filter(lambda to: to != at)), one)
    elif how == "twice":
        parts[at:at] = [one, one]
    name = read_header(one[:512])[0].removeprefix("x9901/")
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(b"".join(parts) + bytes(1024))
        file.flush()
        said = bad(examine(file.name))
    # Of two that changed places either may be called the one that was moved.
    assert name in said or how == "move"


@settings(max_examples=6)
@given(st.sampled_from(sorted(CHANGES)), st.integers(8, 1 << 20), st.integers(1, 255))
def test_a_change_in_an_encrypted_package_is_found(encrypted: bytes, change: str, at: int, by: int) -> None:
    changed = CHANGES[change](encrypted, at, by)
    with tempfile.NamedTemporaryFile(suffix=".enc") as file:
        file.write(changed)
        file.flush()
        verdict = examine(file.name, password=lambda: PASSWORD)
    assert verdict.findings or changed == encrypted
    # In the salt or the first block it is as if the password were another.
    assert verdict.exit_code in (4, 8)


@pytest.fixture(scope="module")
def encrypted(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return deliver(sealed, tmp_path_factory.mktemp("out") / "x.tar.enc", Form.ENCRYPTED, PASSWORD).path.read_bytes()


@settings(max_examples=60)
@given(st.binary(max_size=3_000), st.sampled_from([b"", b"x9901/".ljust(100, b"\0"), b"\x80" * 600]))
def test_any_bytes_at_all_are_no_package_and_no_trouble(data: bytes, head: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(head + data)
        file.flush()
        verdict = examine(file.name)
    # What begins as something encrypted is opened by no password.
    assert {finding.kind for finding in verdict.findings} in ({"container"}, {"password"})
