"""A package on a machine that has nothing of ours: Python's standard library, `openssl`, and no file else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from access.package.bundle import verifier
from access.package.container import Form, deliver
from access.package.verifier.command import VARIABLE
from tests.support.bareroot import bare_root, run_in
from tests.support.packages import Installation

PASSWORD = "a password of some length"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder that is its root, and its Python."""
    root = tmp_path_factory.mktemp("bare") / "root"
    root.mkdir()
    python = bare_root(root)
    (root / "here" / "verify.py").write_bytes(verifier())
    return root, python


@pytest.mark.parametrize("form", list(Form))
def test_a_package_is_found_whole_there_and_found_changed_after_one_byte(
    machine: tuple[Path, Path], tmp_path: Path, form: Form
) -> None:
    root, python = machine
    installation = Installation(tmp_path / "installation")
    secret = PASSWORD if form is Form.ENCRYPTED else None
    name = form.file_name("x9901")
    package = deliver(installation.export(), root / "here" / name, form, secret).path
    call = ("/here/verify.py", f"/here/{name}", "--key", installation.fingerprint)
    try:
        whole = run_in(root, python, *call, environ={VARIABLE: PASSWORD})
        assert whole.returncode == 0, whole
        assert "VERDICT: whole, unchanged" in whole.stdout
        file = next(package.glob("data/media/**/*.mp4")) if package.is_dir() else package
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
        changed = run_in(root, python, *call, environ={VARIABLE: PASSWORD})
        assert changed.returncode == 8, changed
        assert "Traceback" not in changed.stderr
    finally:
        shutil.rmtree(package) if package.is_dir() else package.unlink()


def test_nothing_of_ours_can_be_imported_there(machine: tuple[Path, Path]) -> None:
    for name in ("vault", "access", "cryptography", "blake3", "av"):
        assert run_in(*machine, "-c", f"import {name}").returncode == 1
