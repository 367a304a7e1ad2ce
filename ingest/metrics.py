"""Figures for Prometheus, at `/metrics` while the recorder runs. Read when they are asked for; nothing here is counted twice.

What retention and the ledger have to tell stands in the index, so that one place tells all of it. Names and units follow
Prometheus' own rules: base units, `_total` for what only rises.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from index.alarms import Alarms
from index.duties import Duties
from index.forwarder import forwarded
from index.ledger_anchor import anchor
from index.node import Node
from ingest.messages import CameraStatus
from ingest.rtp.engine import inner_kind
from vault.errors import StoreError, StreamvaultError
from vault.ids import CameraNumber
from vault.logs import Log
from vault.syslog import SyslogAddress
from vault.timebase import US

log = Log("ingest.metrics")

STATES = ("recording", "waiting", "starting")


@dataclass(frozen=True, slots=True)
class Running:
    """What the supervisor sees at the moment; a new value each second.

    `cameras`: None where a worker has not spoken of the camera yet. `workers`: by slot, CPU in µs and bytes not yet written.
    """

    ids: dict[CameraNumber, str]
    cameras: dict[CameraNumber, CameraStatus | None]
    workers: dict[int, tuple[int, int]]


class Figures(Collector):
    """Everything that is told of one node."""

    def __init__(self, node: Node, running: Callable[[], Running], untold: Callable[[], dict[str, int]]) -> None:
        self._node = node
        self._running = running
        self._untold = untold
        self._alarms = Alarms(node.environment, node.clock)

    def collect(self) -> Iterator[Metric]:
        """Raises nothing: a part that cannot be read is left out, and `streamvault_up` is 0."""
        whole = True
        for part in (self._recording, self._spool, self._stored, self._index, self._ledger, self._retention, self._troubles):
            try:
                yield from list(part())
            except StreamvaultError as error:
                whole = False
                log.warning("figures left out", error=str(error))
        yield _gauge("up", "1 when all figures could be read", whole)

    def _recording(self) -> Iterator[Metric]:
        running, now_us = self._running(), self._node.clock.now_us()
        yield _labelled("build", "the form of the inner loop that runs", "inner", {str(inner_kind()): 1})
        states = dict.fromkeys(STATES, 0)
        up, lag, received, lost = _family("camera_recording"), _family("camera_lag_seconds"), _total("received"), _total("lost")
        for number, status in running.cameras.items():
            labels = [running.ids.get(number, str(number))]
            states["starting" if status is None else "recording" if status.recording else "waiting"] += 1
            up.add_metric(labels, float(status is not None and status.recording))
            if status is not None:
                received.add_metric(labels, status.received_bytes)
                lost.add_metric(labels, status.lost_packets)
                if status.recorded_to_us:
                    lag.add_metric(labels, max(0, now_us - status.recorded_to_us) / US)
        yield _labelled("cameras", "cameras that are to record, by what they do", "state", states)
        yield from (up, lag, received, lost)
        cpu = CounterMetricFamily("streamvault_worker_cpu_seconds", "processor time of a worker", labels=["slot"])
        backlog = {str(slot): waiting for slot, (_, waiting) in running.workers.items()}
        for slot, (used_us, _) in running.workers.items():
            cpu.add_metric([str(slot)], used_us / US)
        yield cpu
        yield _labelled("worker_backlog_bytes", "received and not yet in a file", "slot", backlog)

    def _spool(self) -> Iterator[Metric]:
        oldest = self._node.catalog.pending(1)
        age_us = self._node.clock.now_us() - oldest[0].end_us if oldest else 0
        yield _gauge("spool_oldest_seconds", "age of the oldest segment that the store has not", max(0, age_us) / US)
        yield _gauge("spool_free_bytes", "room on the spool's file system", self._node.spool.free_bytes())

    def _stored(self) -> Iterator[Metric]:
        """By site class as the registry has it now."""
        classes = {site.id: site.site_class for site in self._node.sites.list()}
        sums: dict[str, dict[str, float]] = {name: defaultdict(float) for name in ("segments", "bytes", "seconds", "doomed")}
        waiting_segments = waiting_bytes = 0
        for camera in self._node.cameras.list(removed=True):
            usage, its = self._node.catalog.usage(camera.number), classes.get(camera.site, "key")
            sums["segments"][its] += usage.segments
            sums["bytes"][its] += usage.size_bytes
            sums["seconds"][its] += usage.duration_us / US
            sums["doomed"][its] += usage.doomed_segments
            waiting_segments += usage.spool_segments
            waiting_bytes += usage.spool_bytes
        yield _labelled("stored_segments", "segments that are kept", "site_class", sums["segments"])
        yield _labelled("stored_bytes", "their bytes", "site_class", sums["bytes"])
        yield _labelled("stored_seconds", "their duration", "site_class", sums["seconds"])
        yield _labelled("doomed_segments", "segments on their way out", "site_class", sums["doomed"])
        yield _gauge("spool_segments", "segments that the store has not", waiting_segments)
        yield _gauge("spool_bytes", "their bytes", waiting_bytes)

    def _index(self) -> Iterator[Metric]:
        space = self._node.environment.space()
        yield _gauge("index_live_bytes", "in use by the index's trees", space.live_bytes)
        yield _gauge("index_map_bytes", "largest size of the index", space.map_bytes)
        yield _gauge("index_headroom_bytes", "what may be written before only removal is let in", space.headroom_bytes)

    def _ledger(self) -> Iterator[Metric]:
        with self._node.environment.read() as txn:
            newest = anchor(txn)
        yield _gauge("ledger_entries", "entries of the ledger, as the index remembers it", newest.size if newest else 0)
        yield _gauge("ledger_waiting", "entries that are not in the ledger yet", self._node.outbox.waiting())
        yield from self._forwarded(newest.size if newest else 0)

    def _forwarded(self, size: int) -> Iterator[Metric]:
        """No sample where the ledger is forwarded to nobody."""
        behind: dict[str, float] = {}
        ages: dict[str, float] = {}
        if self._node.config.forward.address:
            receiver = str(SyslogAddress.parse(self._node.config.forward.address))
            found = forwarded(self._node.environment, receiver)
            behind[receiver] = max(0, size - found.read)
            ages[receiver] = found.age_us(self._node.clock.now_us()) / US
        yield _labelled("forward_waiting", "entries of the ledger that the receiver has not read", "receiver", behind)
        yield _labelled("forward_age_seconds", "how long some of them have waited", "receiver", ages)

    def _retention(self) -> Iterator[Metric]:
        """What the last run remembers; nothing before the first."""
        duty, now_us = Duties(self._node.environment).get("retention"), self._node.clock.now_us()
        if not duty.get("run_us"):
            return
        oldest_us = int(duty.get("oldest_us", 0))
        yield _gauge("retention_run_timestamp_seconds", "when a run last came to its end", int(duty["run_us"]) / US)
        overdue_us = max(0, now_us - oldest_us) if oldest_us else 0
        yield _gauge(
            "retention_overdue_seconds", "how long the oldest that should be gone is past its minimum", overdue_us / US
        )
        yield _gauge("retention_waiting_segments", "segments that are doomed and still there", int(duty.get("waiting", 0)))
        yield _gauge("retention_set_aside_segments", "segments whose objects cannot be deleted", int(duty.get("set_aside", 0)))
        for name, key in (("segments", "deleted_total"), ("bytes", "deleted_bytes_total")):
            yield CounterMetricFamily(
                f"streamvault_retention_deleted_{name}", "deleted by retention", value=int(duty.get(key, 0))
            )

    def _troubles(self) -> Iterator[Metric]:
        lasting: dict[str, int] = defaultdict(int)
        for alarm in self._alarms.lasting():
            lasting[alarm.kind] += 1
        yield _labelled("alarms", "alarms that last", "kind", lasting)
        yield _labelled("alarms_untold", "events that a receiver has not been told of", "receiver", self._untold())


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"streamvault_{name}", meaning, value=float(value))


def _labelled(name: str, meaning: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"streamvault_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


_CAMERA_FIGURES = {
    "camera_recording": "1 while footage of the camera is being written",
    "camera_lag_seconds": "how far its footage lies behind now",
    "received": "bytes received of the camera since its worker took it",
    "lost": "packets of the camera that never came, since its worker took it",
}


def _family(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"streamvault_{name}", _CAMERA_FIGURES[name], labels=["camera"])


def _total(name: str) -> CounterMetricFamily:
    unit = "bytes" if name == "received" else "packets"
    return CounterMetricFamily(f"streamvault_camera_{name}_{unit}", _CAMERA_FIGURES[name], labels=["camera"])


@contextmanager
def serving(address: tuple[str, int] | None, figures: Figures) -> Iterator[int | None]:
    """Answer at `address` inside the `with`; yields the port. None serves nowhere.

    Raises StoreError when the address cannot be listened at: a node that was to be watched and is not should not look well.
    """
    if address is None:
        yield None
        return
    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(address[1], address[0], registry)
    except OSError as error:
        raise StoreError(f"listening at {address[0]}:{address[1]} (metrics.listen): {error.strerror or error}") from error
    try:
        registry.register(figures)
        yield int(server.server_port)
    finally:
        with suppress(OSError):
            server.shutdown()
            server.server_close()
        if isinstance(thread, threading.Thread):
            thread.join(5)
