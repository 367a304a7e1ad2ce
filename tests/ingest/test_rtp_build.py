"""The wheel builds with a C compiler and without one, and says by its tag and by `inner_kind` which it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build_inner

pytest.importorskip("hatchling", reason="building a wheel needs hatchling and Cython: pip install hatchling Cython setuptools")


def source_tree(target: Path) -> Path:
    """What a build needs of the project, without what was built in place before."""
    for name in ("pyproject.toml", "build_inner.py", ".gitignore"):
        shutil.copy(build_inner.ROOT / name, target / name)
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("vault", "index", "ingest", "access"):
        shutil.copytree(build_inner.ROOT / name, target / name, ignore=ignore)
    for name in ("streamvault.py", "README.md", "LICENSE"):
        (target / name).write_text("")
    return target


def build(tree: Path, *, target: str = "wheel", **environment: str) -> Path:
    env = {name: value for name, value in os.environ.items() if name not in ("STREAMVAULT_PURE", "CC")} | environment
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tree / "dist")]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = (tree / "dist").glob("*.whl")
    return wheel


def extensions(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def kind_in(folder: Path) -> str:
    code = "import sys; sys.path.insert(0, sys.argv[1]); from ingest.rtp.engine import inner_kind; print(inner_kind())"
    env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMVAULT_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_pure_wheel_holds_no_extension_even_when_one_was_built_in_place(tmp_path: Path) -> None:
    tree = source_tree(tmp_path)
    (tree / "ingest/rtp/inner.cpython-311-x86_64-linux-gnu.so").write_bytes(b"stale")
    wheel = build(tree, STREAMVAULT_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert extensions(wheel) == []


def test_without_a_compiler_the_wheel_is_pure_and_runs_interpreted(tmp_path: Path) -> None:
    wheel = build(source_tree(tmp_path), CC="/nonexistent/cc")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert extensions(wheel) == []
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert kind_in(tmp_path / "site") == "interpreted"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: gcc, libc6-dev")
def test_with_a_compiler_the_wheel_is_for_this_platform_and_runs_compiled(tmp_path: Path) -> None:
    wheel = build(source_tree(tmp_path), STREAMVAULT_PURE="0")
    assert not wheel.name.endswith("-any.whl")
    assert len(extensions(wheel)) == len(build_inner.MODULES)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert kind_in(tmp_path / "site") == "compiled"
    assert not list((tmp_path / "ingest").rglob("*.so"))
