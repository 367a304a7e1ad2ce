"""Running the verifier that is handed out, where nothing of ours is; and the command beside it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from access.package.bundle import verifier


@functools.cache
def interpreters() -> list[str]:
    """The Python that runs the tests, without its environment's packages, and older ones where they are."""
    own = getattr(sys, "_base_executable", sys.executable)
    others = [shutil.which(f"python3.{minor}") for minor in (8, 9, 10)]
    return [
        own,
        *(
            path
            for path in others
            if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
        ),
    ]


def bare(
    folder: Path, package: Path, *options: str, python: str | None = None, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`verify.py` as a receiver runs it: alone in a folder, no environment, no site packages."""
    folder.mkdir(exist_ok=True)
    (folder / "verify.py").write_bytes(verifier())
    call = [python or interpreters()[0], "-I", "-S", "-E", "verify.py", str(package), *options]
    env = {"PATH": os.defpath, **(environ or {})}
    return subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120, encoding="utf-8")


def bare_json(folder: Path, package: Path, *options: str) -> dict[str, Any]:
    """What it says to programs."""
    run = bare(folder, package, "--json", *options)
    assert run.returncode in (0, 4, 7, 8), run
    assert not run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    assert document["exit_code"] == run.returncode
    return document


def kinds(findings: Sequence[dict[str, str]]) -> set[str]:
    return {finding["kind"] for finding in findings}
