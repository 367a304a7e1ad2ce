"""The data folder: private, of a known version, with one supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.disks import as_nobody
from vault.config import Config, load, parse
from vault.datafolder import DataFolder
from vault.errors import Busy, Damaged, NotFound, Refused, StoreError, UsageError


def test_a_new_folder_is_private_complete_and_opens(data_path: Path) -> None:
    DataFolder.init(data_path)
    folder = DataFolder.open(data_path)
    for path in (folder.path, folder.index, folder.spool, folder.run, folder.key_file.parent, folder.store(Config())):
        assert path.is_dir()
        assert path.stat().st_mode & 0o777 == 0o700, path
    assert folder.key_file.stat().st_mode & 0o777 == 0o600
    assert folder.credentials().open(folder.credentials().seal("x")) == "x"
    assert load(folder.config_file).given == frozenset()


def test_the_umask_does_not_matter(data_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = DataFolder.init(data_path)
    finally:
        os.umask(old)
    assert not [path for path in (data_path, *data_path.rglob("*")) if path.stat().st_mode & 0o077]
    DataFolder.open(folder.path)


def test_a_store_elsewhere_is_where_the_configuration_says(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    assert folder.store(parse(b"[store]\npath = '/mnt/footage'\n", Path("a.toml"))) == Path("/mnt/footage")
    assert folder.store(Config()) == data_path / "store"


def test_a_second_init_changes_nothing(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    key = folder.key_file.read_bytes()
    with pytest.raises(UsageError, match="already"):
        DataFolder.init(data_path)
    assert folder.key_file.read_bytes() == key


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        DataFolder.init(tmp_path)
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def test_an_init_cut_short_anywhere_may_be_repeated_and_keeps_the_key(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    key = folder.key_file.read_bytes()
    for part in (data_path / "VERSION", folder.config_file, folder.run, folder.spool):
        (data_path / "VERSION").unlink(missing_ok=True)
        part.rmdir() if part.is_dir() else part.unlink(missing_ok=True)
        with pytest.raises(NotFound):
            DataFolder.open(data_path)
        DataFolder.init(data_path)
        DataFolder.open(data_path)
    assert folder.key_file.read_bytes() == key


def test_a_leftover_of_a_killed_write_does_not_stop_init(data_path: Path) -> None:
    data_path.mkdir()
    (data_path / "VERSION.new").write_bytes(b"stream")
    (data_path / "keys").mkdir(mode=0o700)
    (data_path / "keys/credentials.key.new").write_bytes(b"half a k")
    DataFolder.init(data_path)
    DataFolder.open(data_path).credentials()
    assert not list(data_path.rglob("*.new"))


def test_a_file_in_the_way_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match="in the way"):
        DataFolder.init(tmp_path / "a")
    with pytest.raises(NotFound):
        DataFolder.open(tmp_path / "a")


def test_a_missing_folder_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="init"):
        DataFolder.open(tmp_path / "nothing")


@pytest.mark.parametrize("version", ["2", "999", "0"])
def test_a_folder_of_another_version_is_refused_with_both_versions(data_path: Path, version: str) -> None:
    DataFolder.init(data_path)
    (data_path / "VERSION").write_text(f"streamvault data folder\n{version}\n")
    with pytest.raises(Refused, match=f"version {version}, and this program works on version 1"):
        DataFolder.open(data_path)


@pytest.mark.parametrize(
    "text", ["", "1\n", "streamvault data folder\n", "streamvault data folder\n-1\n", "streamvault data folder\n²\n", "\0" * 50]
)
def test_a_version_file_that_is_none_is_damaged(data_path: Path, text: str) -> None:
    DataFolder.init(data_path)
    (data_path / "VERSION").write_text(text)
    with pytest.raises(Damaged, match="VERSION"):
        DataFolder.open(data_path)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o777])
def test_a_folder_that_others_may_enter_is_refused_with_the_remedy(data_path: Path, mode: int) -> None:
    DataFolder.init(data_path)
    data_path.chmod(mode)
    with pytest.raises(Refused, match="chmod 700"):
        DataFolder.open(data_path)
    data_path.chmod(0o700)
    DataFolder.open(data_path)


def test_a_key_that_others_may_read_is_refused(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    folder.key_file.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        folder.credentials()


def test_a_place_where_we_may_not_write_is_a_store_error(tmp_path: Path) -> None:
    with as_nobody(tmp_path) as folder:
        folder.chmod(0o500)
        with pytest.raises(StoreError, match="Permission denied"):
            DataFolder.init(folder / "data")
        folder.chmod(0o700)
        DataFolder.init(folder / "data")
        (folder / "data").chmod(0o000)
        with pytest.raises(StoreError, match="Permission denied"):
            DataFolder.open(folder / "data")


_HOLD = """
import sys, time
from pathlib import Path
from vault.datafolder import DataFolder
with DataFolder.open(Path(sys.argv[1])).supervisor_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_supervisor_is_told_which_process_is_the_first(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(data_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {child.pid} is recording"), folder.supervisor_lock():
            pass
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    # Killed, it leaves its number and no lock.
    with folder.supervisor_lock():
        with pytest.raises(Busy, match=f"process {os.getpid()} "), folder.supervisor_lock():
            pass
        # A child that outlives us must not keep others out.
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    with folder.supervisor_lock():
        pass


def test_the_lock_is_let_go_when_the_work_fails(data_path: Path) -> None:
    folder = DataFolder.init(data_path)
    with pytest.raises(ZeroDivisionError), folder.supervisor_lock():
        _ = 1 / 0
    with folder.supervisor_lock():
        pass
