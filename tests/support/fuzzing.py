"""Runs a fuzzer under atheris, which is imported only then: the fuzzers themselves can be imported without it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def run(fuzz: Callable[[bytes], None], seeds: Iterable[bytes] = ()) -> None:
    """Until libFuzzer's own options, which stand in `sys.argv`, say that it is enough."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        # libFuzzer writes what it finds into the first folder it is given, and only reads the others.
        atheris.Setup([*sys.argv, folder], fuzz)
        atheris.Fuzz()
