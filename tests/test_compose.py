"""`deploy/compose.yaml`, as far as it can be tried without Docker: what it names is there, and its store is started and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

import streamvault
from tests.support.s3servers import free_port, need_server
from tests.test_documents import parse
from tests.test_house import ROOT
from vault.clock import SystemClock
from vault.config import load
from vault.store.accesskey import KeySource
from vault.store.s3 import S3Store

DEPLOY = ROOT / "deploy"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:(:[?-])([^}]*))?\}")


@pytest.fixture
def compose() -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return whole["services"]


def test_every_variable_is_asked_for_and_no_secret_is_written_down() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = dict(line.split("=", 1) for line in (DEPLOY / "compose.env.example").read_text().splitlines() if line[:1] != "#")
    used = {name: kind for name, kind, _ in _VARIABLE.findall(text)}
    assert used.keys() == example.keys()
    assert {name for name, kind in used.items() if kind == ":?"} == {name for name, value in example.items() if not value}
    assert re.findall(r"(?:ACCESS_KEY|SECRET_KEY|KEY_ID)\w*: (.)", text) == ["$"] * 4
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_file_that_it_names_is_there(compose: dict[str, Any]) -> None:
    build = compose["recorder"]["build"]
    dockerfile = DEPLOY / build["context"] / build["dockerfile"]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", dockerfile.read_text(), re.MULTILINE)
    sources = [each["source"] for service in compose.values() for each in service["volumes"] if each["source"].startswith("./")]
    assert sources
    for path in [dockerfile, *(DEPLOY / build["context"] / name for name in copied), *(DEPLOY / name for name in sources)]:
        assert path.exists(), path
    assert os.access(DEPLOY / "recorder" / "start", os.X_OK)
    # Nothing of a work tree, and no keys, go into the image's build.
    assert {".env", "deploy/.env", ".venv*", ".git"} <= set((ROOT / ".dockerignore").read_text().splitlines())


def test_its_recorder_makes_its_data_folder_once_and_runs_what_there_is(compose: dict[str, Any], tmp_path: Path) -> None:
    recorder = compose["recorder"]
    parse(list(recorder["command"]))
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    config = (DEPLOY / "recorder" / "streamvault.toml").read_text()
    (data / "streamvault.toml").write_text(config)
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "STREAMVAULT_DATA": str(data)}
    assert recorder["environment"]["STREAMVAULT_DATA"] == "/data"
    for _ in range(2):
        done = subprocess.run(
            [DEPLOY / "recorder" / "start", "camera", "list", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "[]" in done.stdout
    assert (data / "streamvault.toml").read_text() == config
    assert streamvault.run(["--data", str(data), "config", "check"]) == 0


def test_its_store_takes_what_its_recorder_puts_and_is_well(compose: dict[str, Any], tmp_path: Path) -> None:
    store, settings = compose["store"], load(DEPLOY / "recorder" / "streamvault.toml").store
    port = str(free_port())
    (tmp_path / settings.bucket).mkdir()
    moved = {"/data": str(tmp_path), "127.0.0.1:7070": f"127.0.0.1:{port}"}
    assert settings.endpoint == "http://127.0.0.1:7070"
    command = [need_server("versitygw"), *(moved.get(word, word) for word in store["command"])]
    keys = {"ROOT_ACCESS_KEY": "tester", "ROOT_SECRET_KEY": "testersecret"}
    assert keys.keys() == store["environment"].keys()
    process = subprocess.Popen(command, env=keys, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        health = store["healthcheck"]["test"][-1].replace("7070", port)
        until = time.monotonic() + 30
        with urllib3.PoolManager(retries=False, timeout=2) as pool:
            while True:
                try:
                    assert pool.request("GET", health).status == 200
                    break
                except urllib3.exceptions.HTTPError:
                    assert time.monotonic() < until, "its store does not start"
                    time.sleep(0.05)
        at = replace(settings, endpoint=f"http://127.0.0.1:{port}")
        source = KeySource(None, {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "testersecret"})
        with closing(S3Store(at, source, SystemClock())) as bucket:
            bucket.put_bytes("segments/a", b"footage")
            assert [item.key for item in bucket.list("")] == ["segments/a"]
        assert (tmp_path / settings.bucket / "segments" / "a").read_bytes() == b"footage"
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_its_images_are_fixed_and_it_grants_nothing(compose: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w/]+:v\d+\.\d+\.\d+", compose["store"]["image"])
    for service in compose.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "privileged" not in service
        assert service["healthcheck"]["test"]
        assert all(each["bind"] == {"create_host_path": False} for each in service["volumes"] if each["source"].startswith("$"))
