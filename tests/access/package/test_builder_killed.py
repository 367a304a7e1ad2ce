"""A package whose making dies at any of its steps: what stands at the target is whole or absent, and a repetition makes it whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest

from access.occasion import Outcome
from access.package.builder import PackageBuilder
from access.package.container import Form, deliver
from access.package.seal import prove_together
from access.package.verifier.command import examine
from tests.support.packages import Installation, custody_of, ledger_entry, with_media
from vault.errors import StoreFull

STEPS = ("fsync", "rename", "link", "unlink", "mkdir", "pwritev", "rmdir")
"""Whatever changes a disk; a step dies before it is taken."""


class Killed(BaseException):
    """Nothing of ours catches it, as nothing catches a kill."""


@dataclass
class Steps:
    """Counts them; the one with number `last` is not taken, nor any behind it."""

    last: int = -1
    taken: int = 0
    error: BaseException = field(default_factory=Killed)

    @contextmanager
    def counted(self) -> Iterator[None]:
        def wrap(name: str) -> mock._patch[object]:
            real = getattr(os, name)

            def step(*args: object, **kwargs: object) -> object:
                if self.taken == self.last:
                    raise self.error
                self.taken += 1
                return real(*args, **kwargs)

            return mock.patch.object(os, name, step)

        patches = [wrap(name) for name in STEPS]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def make(installation: Installation, target: Path, form: Form, steps: Steps) -> None:
    """As an export does it, from wherever it stands; the ledger's own steps are others' to try."""
    custody = custody_of()
    folder = installation.folder / "work"
    with steps.counted():
        custody = with_media(PackageBuilder(folder, custody.export), custody, {7: b"a" * 200_000, 8: b"b"})
        payload = PackageBuilder(folder, custody.export).close_payload(custody)
    entries = [ledger_entry(custody, Outcome.ASKED), ledger_entry(custody, Outcome.DONE, payload)]
    proofs = prove_together(installation.ledger, installation.ledger.append(entries, unless_since=0).sequences)
    signer = installation.ledger.signer()
    with steps.counted():
        package = PackageBuilder(folder, custody.export).seal(proofs, signer)
        deliver(package, target, form, replace=True)


@pytest.mark.parametrize("form", [Form.FOLDER, Form.TAR])
def test_each_step_may_be_the_last(form: Form, tmp_path: Path) -> None:
    counting = Steps()
    make(Installation(tmp_path / "counted"), tmp_path / "counted-out", form, counting)
    assert counting.taken > 60
    installation = Installation(tmp_path / "office")
    # Every eleventh, and more of the last ones: handing out is where a torn package would be seen.
    for last in sorted({*range(0, counting.taken, 11), *range(counting.taken - 20, counting.taken, 3)}):
        shutil.rmtree(installation.folder / "work", ignore_errors=True)
        target = tmp_path / f"out-{last}"
        with pytest.raises(Killed):
            make(installation, target, form, Steps(last))
        if target.exists():
            assert not examine(str(target)).findings
        make(installation, target, form, Steps())
        assert not examine(str(target)).findings
        assert not list(tmp_path.glob("*.part"))
        assert not [path for path in (installation.folder / "work").rglob("*") if path.suffix in (".part", ".new")]


def test_a_disk_that_is_full_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    installation = Installation(tmp_path / "office")
    for last in range(0, 60, 15):
        shutil.rmtree(installation.folder / "work", ignore_errors=True)
        target = tmp_path / f"out-{last}"
        with pytest.raises(StoreFull):
            make(installation, target, Form.TAR, Steps(last, error=full))
        make(installation, target, Form.TAR, Steps())
        assert not examine(str(target)).findings


def test_a_process_that_is_killed_while_it_hands_out_leaves_nothing_torn(tmp_path: Path) -> None:
    package = Installation(tmp_path / "office").export(media={7: b"a" * 30_000_000, 8: b"b" * 30_000_000})
    code = (
        "import sys, pathlib; from access.package.container import deliver, Form\n"
        "deliver(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), Form.TAR, progress=lambda size: print(size, flush=True))"
    )
    target = tmp_path / "x9901.tar"
    call = [sys.executable, "-c", code, str(package), str(target)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    deliver(package, target, Form.TAR)
    assert not examine(str(target)).findings
