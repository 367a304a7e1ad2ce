"""A camera that falls silent, told to people; and what `/metrics` says meanwhile. The recorder is a real one."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from index.alarms import Alarms
from index.cameras import NewCamera
from index.duties import Duties
from ingest.messages import CameraStatus
from ingest.metrics import serving
from ingest.watch import Watch
from tests.support.indexing import DAY_US, T0
from tests.support.node import wait_until
from tests.support.receivers import free_port, rsyslog, webhook
from tests.support.retaining import open_kept
from tests.support.station import SMALL, Station
from tests.support.tools import need
from vault.errors import StoreError
from vault.timebase import US

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def figures(port: int) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def recorder(made: Station, config: str) -> Iterator[None]:
    """`streamvault serve` as a person starts it."""
    made.folder.config_file.write_text(config)
    words = [sys.executable, "-m", "streamvault", "--data", str(made.folder.path), "serve", "--only", "ingest"]
    with made.log_path.open("ab") as log, subprocess.Popen(words, cwd=ROOT, stderr=log, stdout=log) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(40)


def test_a_gap_that_a_wrong_clock_put_into_the_future_hides_no_silence(tmp_path: Path) -> None:
    with open_kept(tmp_path / "data") as kept:
        kept.node.sites.ensure_default()
        camera = kept.node.cameras.add(NewCamera("gate", "rtsp://192.0.2.1/stream"))
        kept.node.catalog.open_gap(camera.number, T0 + 1_000 * DAY_US, "recorder stopped")
        keeper = cast("Any", SimpleNamespace(wanted={camera.number: SimpleNamespace(camera=camera)}))
        recording = CameraStatus(1, True, T0, 1, 0, "")
        running = {camera.number: recording._replace(recording=False)}
        watch = Watch(kept.node, keeper, lambda: running)

        def silent(seconds: float) -> bool:
            kept.clock.advance(round(seconds * US))
            watch.run_once()
            return [alarm.kind for alarm in Alarms(kept.node.environment).lasting()] == ["camera silent"]

        assert not silent(0)
        assert not silent(29)
        assert silent(1)
        running[camera.number] = recording
        assert not silent(1)
        del running[camera.number]
        assert not silent(1)
        assert not silent(29)
        assert silent(1)


def test_a_camera_that_is_begun_anew_is_not_silent_while_its_last_segment_is_on_its_way(tmp_path: Path) -> None:
    with open_kept(tmp_path / "data") as kept:
        kept.node.sites.ensure_default()
        camera = kept.node.cameras.add(NewCamera("gate", "rtsp://192.0.2.1/stream"))
        keeper = cast("Any", SimpleNamespace(wanted={camera.number: SimpleNamespace(camera=camera)}))
        running: dict[Any, CameraStatus | None] = {camera.number: CameraStatus(1, True, T0, 1, 0, "")}
        watch = Watch(kept.node, keeper, lambda: running)
        watch.run_once()
        # What is committed ends 50 seconds ago; the open segment, which is closed just now, holds what came since.
        kept.clock.advance(50 * US)
        watch.run_once()
        kept.node.catalog.open_gap(camera.number, kept.clock.now_us() - 50 * US, "connecting")
        running[camera.number] = None
        watch.run_once()
        assert not Alarms(kept.node.environment).lasting()
        kept.clock.advance(30 * US)
        watch.run_once()
        assert [alarm.kind for alarm in Alarms(kept.node.environment).lasting()] == ["camera silent"]


def test_a_silent_camera_is_an_alarm_that_is_told_with_its_end_and_the_figures_show_both(tmp_path: Path) -> None:
    made = Station.make(tmp_path)
    port = free_port()
    try:
        simulator = made.simulate(["good", "later"], spec=SMALL, listed=False)
        made.add("good", simulator.url(1), "tcp")
        made.add("gate", f"rtsp://127.0.0.1:{free_port()}/nobody", "tcp")
        with (
            webhook() as posted,
            rsyslog(tmp_path / "log", "tcp") as receiver,
            rsyslog(tmp_path / "forwarded", "tcp") as forwarded,
        ):
            config = (
                f'[alarms]\nsilent_seconds = 10\nwebhook = "{posted.url}"\nsyslog = "{receiver.address}"\n'
                f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
                f'[forward]\naddress = "{forwarded.address}"\n'
            )
            with recorder(made, config):
                [begun] = wait_until(lambda: posted.documents, 60, "the alarm")
                assert (begun["kind"], begun["subject"], begun["state"]) == ("camera silent", "2", "begun")
                assert begun["message"] == "nothing is recorded of gate: unreachable"
                made.wait_recording("good")
                with made.open() as node:
                    # What a run of retention leaves behind; when it comes to one depends on the host's clock.
                    Duties(node.environment).put("retention", {"run_us": 1, "oldest_us": 1, "deleted_total": 7})
                seen = figures(port)
                assert seen["streamvault_up",] == 1
                assert seen["streamvault_retention_deleted_segments_total",] == 7
                assert seen["streamvault_cameras", "recording"] == 1
                assert seen["streamvault_camera_recording", "good"] == 1
                assert seen["streamvault_camera_recording", "gate"] == 0
                assert seen["streamvault_camera_received_bytes_total", "good"] > 0
                assert seen["streamvault_alarms", "camera silent"] == 1
                assert seen["streamvault_forward_age_seconds", forwarded.address] < 60
                wait_until(lambda: not figures(port)["streamvault_forward_waiting", forwarded.address], 30, "all is read")
                with made.open() as node:
                    size = sum(1 for _ in node.ledger.entries())
                # What it has read it writes a little later.
                wait_until(lambda: len({m["data"] for m in forwarded.messages() if m["msgid"] == "LEDGER"}) >= size, 20, "all")
                named = metric_names((DEPLOY / "prometheus" / "alerts.yml").read_text())
                named |= metric_names((DEPLOY / "grafana" / "streamvault.json").read_text())
                known = {name for name, *_ in seen} | families(port)
                assert named <= known, "the rules and the dashboard name figures that are not there"
                assert len(named) > 10
                with made.open() as node:
                    node.cameras.set("gate", url=simulator.url(2))
                _, over = wait_until(lambda: len(posted.documents) == 2 and posted.documents, 60, "the end of the alarm")
                assert (over["kind"], over["subject"], over["state"]) == ("camera silent", "2", "ended")
                wait_until(
                    lambda: "streamvault_alarms" not in {name for name, *_ in figures(port)}, 20, "no alarm in the figures"
                )
                # A recorder that stops before it has told somebody tells them after its next start.
                wait_until(lambda: len(receiver.messages()) == 2, 20, "both in syslog")
    finally:
        made.close()


def metric_names(text: str) -> set[str]:
    return set(re.findall(r"\bstreamvault_[a-z_]+", text))


def families(port: int) -> set[str]:
    """Names that are there although nothing has such a sample at the moment."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return {line.split()[2] for line in answer.read().decode().splitlines() if line.startswith("# TYPE ")}


def test_promtool_takes_the_alert_rules() -> None:
    done = subprocess.run(
        [need("promtool"), "check", "rules", str(DEPLOY / "prometheus" / "alerts.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules = [
        rule
        for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert rules
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert {"summary", "action"} <= rule["annotations"].keys(), rule["alert"]


def test_an_address_that_is_taken_stops_the_start_with_its_reason() -> None:
    with serving(None, None) as nowhere:  # type: ignore[arg-type]
        assert nowhere is None
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StoreError, match=r"metrics\.listen"),
        serving(taken.getsockname(), None),  # type: ignore[arg-type]
    ):
        pass
