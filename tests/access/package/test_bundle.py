"""The verifier that is handed out: one file, Python 3.8, nothing but the standard library; and what it says of a good package."""

from __future__ import annotations

import ast
import collections
import sys
from pathlib import Path

import pytest

from access.package.bundle import verifier
from access.package.container import Form, deliver
from access.package.verifier.command import VARIABLE
from access.package.verifier.forms import grouped
from tests.support.packages import Installation
from tests.support.verifying import bare, interpreters

PASSWORD = "a password of some length"


def test_it_is_python_3_8_and_imports_the_standard_library_only() -> None:
    tree = ast.parse(verifier(), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_it_uses_nothing_that_came_later() -> None:
    later = {"cache", "removeprefix", "removesuffix", "bit_count", "pairwise", "is_relative_to", "UTC", "batched", "to_thread"}
    tree = ast.parse(verifier())
    assert not later & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # Annotations are never evaluated; of what is, `list[str]` is from 3.9.
    assigned = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert not [node for value in assigned for node in ast.walk(value) if isinstance(node, ast.Subscript)]


def test_no_two_of_its_parts_give_one_name_to_two_things() -> None:
    names = collections.Counter(
        name
        for node in ast.parse(verifier()).body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    )
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("python", interpreters())
@pytest.mark.parametrize("form", list(Form))
def test_a_bare_python_finds_a_good_package_good(tmp_path: Path, form: Form, python: str) -> None:
    installation = Installation(tmp_path / "installation")
    password = PASSWORD if form is Form.ENCRYPTED else None
    package = deliver(installation.export(), tmp_path / form.file_name("x9901"), form, password).path
    told = bare(tmp_path / "bare", package, "--key", installation.fingerprint, python=python, environ={VARIABLE: PASSWORD})
    assert told.returncode == 0, told
    assert not told.stderr
    for words in ("VERDICT: whole, unchanged", "结论：完整", "second officer", "case 9901", grouped(installation.fingerprint)):
        assert words in told.stdout


def test_without_a_key_it_says_which_fingerprint_to_compare(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "installation")
    told = bare(tmp_path / "bare", installation.export())
    assert told.returncode == 0
    assert "Compare the fingerprint" in told.stdout
    assert grouped(installation.fingerprint) in told.stdout


def test_a_key_that_is_neither_a_fingerprint_nor_a_file_is_named(tmp_path: Path) -> None:
    told = bare(tmp_path / "bare", Installation(tmp_path / "installation").export(), "--key", "1234")
    assert told.returncode == 2
    assert "--key 1234: neither a fingerprint" in told.stderr


def test_the_file_in_a_package_is_that_verifier(tmp_path: Path) -> None:
    assert (Installation(tmp_path).export() / "verify.py").read_bytes() == verifier()


def test_without_openssl_it_says_that_it_cannot_verify(tmp_path: Path) -> None:
    package = Installation(tmp_path / "installation").export()
    told = bare(tmp_path / "bare", package, environ={"PATH": str(tmp_path)})
    assert told.returncode == 7
    assert "openssl" in told.stdout
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("answer", ["true", "false"])
def test_an_openssl_that_always_says_the_same_verifies_nothing(tmp_path: Path, answer: str) -> None:
    package = Installation(tmp_path / "installation").export()
    (tmp_path / "openssl").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "openssl").chmod(0o755)
    told = bare(tmp_path / "bare", package, environ={"PATH": str(tmp_path)})
    assert told.returncode == 7
    assert "this openssl cannot verify" in told.stdout


def test_a_call_that_is_wrong_is_said_to_be(tmp_path: Path) -> None:
    package = Installation(tmp_path / "installation").export()
    assert bare(tmp_path / "bare", package, "--key", "nonsense").returncode == 2
    enc = deliver(package, tmp_path / "x.tar.enc", Form.ENCRYPTED, PASSWORD).path
    told = bare(tmp_path / "bare", enc)
    assert told.returncode == 2
    assert VARIABLE in told.stderr
