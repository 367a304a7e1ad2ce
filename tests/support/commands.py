"""Commands as a person calls them, in this process, on one data folder. A process of its own is `tests.support.commands_main`'s."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import streamvault


class Run:
    """The exit code of a call; what was printed stays for the test to read."""

    def __init__(self, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data_path = data_path
        self._capsys = capsys

    def __call__(self, *arguments: str) -> int:
        return streamvault.run(["--data", str(self._data_path), *arguments])

    def shown(self, *arguments: str) -> Any:
        """What it says with `--json`."""
        self._capsys.readouterr()
        assert self(*arguments, "--json") == 0
        return json.loads(self._capsys.readouterr().out)
