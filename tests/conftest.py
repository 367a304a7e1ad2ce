"""What every test shares: a skip is a failure in CI, Hypothesis profiles, data folders that vanish.

Helpers for one area live in `tests/support/`, not here.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from argon2.profiles import CHEAPEST
from hypothesis import HealthCheck, settings

from tests.support.commands import Run
from vault.logs import LogfmtFormatter
from vault.timebase import local_zone, use_zone

CI = os.environ.get("CI", "").lower() == "true"

# `deadline` is off because a shared machine stalls; the seed is random on purpose, and what failed is printed as a blob.
settings.register_profile("dev", deadline=None, print_blob=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), max_examples=100, derandomize=False)
settings.register_profile("long", parent=settings.get_profile("dev"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "dev"))

_PACKAGES = re.compile(r"apt-get install ([a-z0-9.+ -]+)")
_lacking = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_lacking] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _note_skip(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _note_skip(collector.config, report)
    return report


def _note_skip(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember the packages that a skip names; in CI turn it into a failure, so that nothing goes untested unseen."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if found := _PACKAGES.search(reason):
        config.stash[_lacking].update(found[1].split())
    if CI:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} would be skipped, and nothing may be in CI: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lacking := config.stash[_lacking]:
        terminalreporter.write_line(f"for the tests that were skipped: apt-get install {' '.join(sorted(lacking))}")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own set-up reaches a test."""
    for name in [name for name in os.environ if name.startswith("STREAMVAULT_") and name != "STREAMVAULT_INNER"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command called in this process sends the log to the standard error of its test, which later tests do not have."""
    yield
    root = logging.getLogger()
    for handler in [known for known in root.handlers if isinstance(known.formatter, LogfmtFormatter)]:
        root.removeHandler(handler)
        logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _own_zone() -> Iterator[None]:
    """A command called in this process shows times in its configuration's zone from then on."""
    before = local_zone()
    yield
    use_zone(before)


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `init` hashes a first password: a tenth of a second each. What the parameters are is tested where they are."""
    monkeypatch.setattr("access.people.passwords.PARAMETERS", CHEAPEST)


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    """Where a data folder may be made; it does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def run(data_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls a command on a fresh data folder."""
    call = Run(data_path, capsys)
    assert call("init") == 0
    capsys.readouterr()
    return call
