"""A machine with nothing but Python's standard library and `openssl` on it, as a folder to `chroot` into."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "idlelib", "tkinter", "ensurepip", "config-*", "__pycache__"
)
_LIBRARY = re.compile(r"(/\S+) \(0x")


def bare_root(root: Path) -> Path:
    """Fill `root`; returns the interpreter's path inside it. Needs root, for the one device."""
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    openssl = Path(shutil.which("openssl") or "/usr/bin/openssl").resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    shutil.copytree(library, root / library.relative_to("/"), ignore=_LEFT_OUT)
    _put(root, [python, openssl])
    extensions = (root / library.relative_to("/") / "lib-dynload").glob("*.so")
    _put(root, _libraries([python, openssl, *extensions]))
    (root / "bin").mkdir(exist_ok=True)
    os.symlink(openssl, root / "bin" / "openssl")
    for name in ("dev", "tmp", "here"):
        (root / name).mkdir()
    os.mknod(root / "dev" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return python


def run_in(
    root: Path, python: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Python there, in the folder `/here`."""
    call = ["chroot", str(root), str(python), "-I", "-S", *arguments]
    env = {"PATH": "/bin:/usr/bin:/usr/sbin", **(environ or {})}
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False, timeout=120, encoding="utf-8")


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Everything the dynamic linker loads for them (ldd(1))."""
    listing = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return {Path(name) for name in _LIBRARY.findall(listing)}


def _put(root: Path, files: Iterable[Path]) -> None:
    for file in files:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(file, target)
