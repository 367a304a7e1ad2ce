"""A real PKCS#11 token for tests: SoftHSM2, its objects in a folder of the test, its PIN in a file of mode 0600."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from tests.support.tools import need
from vault.config import Signing

PIN, SO_PIN = "90219921", "90319931"
_LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")


@dataclass(frozen=True)
class Token:
    """`environ`: what a process needs to see it. SoftHSM reads its variable once a process, so a process has one folder of tokens."""

    folder: Path
    label: str
    library: str
    environ: dict[str, str]

    @property
    def pin_file(self) -> Path:
        return self.folder / f"{self.label}.pin"

    def settings(self, **more: str) -> Signing:
        values = {"kind": "pkcs11", "library": self.library, "token": self.label, "pin_file": str(self.pin_file), **more}
        return Signing(**values)

    @property
    def toml(self) -> str:
        return (
            f"[signing]\nkind = 'pkcs11'\nlibrary = '{self.library}'\ntoken = '{self.label}'\npin_file = '{self.pin_file}'\n"
        )  # fmt: skip


def library() -> str:
    """SoftHSM2's, or the test is skipped as `need` says."""
    need("softhsm2-util")
    found = next((path for path in _LIBRARIES if Path(path).exists()), None)
    if found is None:
        pytest.fail(f"softhsm2-util is installed, and its library is at none of {', '.join(_LIBRARIES)}")
    return found


def new_token(folder: Path, label: str) -> Token:
    """A token in the folder, initialised by SoftHSM2's own program; several may lie in one folder."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    token = Token(folder, label, library(), {"SOFTHSM2_CONF": str(conf)})
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
    subprocess.run(command, env={**os.environ, **token.environ}, check=True, capture_output=True)
    token.pin_file.touch(mode=0o600)
    token.pin_file.write_text(PIN + "\n")
    return token


def visible(token: Token) -> mock._patch_dict:
    """Let this process see it."""
    return mock.patch.dict(os.environ, token.environ)
