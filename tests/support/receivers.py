"""Whom alarms are told to: an HTTP server that keeps what was posted, and rsyslog, which nobody here wrote."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.node import wait_until
from tests.support.stopping import stop
from tests.support.tools import need


@dataclass
class Posted:
    """What came; `answers`: statuses of the next answers, then 204."""

    url: str = ""
    documents: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Posted]:
    """An HTTP server on loopback. What it refuses is not in `documents`."""
    posted = Posted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = posted.answers.pop(0) if posted.answers else 204
            if status < 300:
                posted.documents.append(json.loads(body))
                posted.authorizations.append(self.headers["authorization"])
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        posted.url = f"http://127.0.0.1:{server.server_port}/alarms"
        try:
            yield posted
        finally:
            server.shutdown()
            thread.join(10)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Rsyslog:
    """A running rsyslogd that writes each message as a line of JSON."""

    address: str
    folder: Path
    config: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [need("rsyslogd"), "-n", "-f", str(self.config), "-i", str(self.folder / "pid")]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not self.address.startswith("udp"):
            wait_until(self._listens, 20, "rsyslogd listens")
        else:
            wait_until(lambda: (self.folder / "pid").exists(), 20, "rsyslogd runs")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        """As a power cut ends it: what it has in memory is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stand_still(self) -> None:
        assert self.process is not None
        stop(self.process.pid)

    def messages(self) -> list[dict[str, Any]]:
        """Whole ones; the last may be half written, and so may one that it was killed over."""
        out, found = self.folder / "received", []
        for line in out.read_text().splitlines() if out.exists() else ():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def rsyslog(
    folder: Path, transport: str, certificate: Path | None = None, *, auth: str = "anon", queue: str = ""
) -> Iterator[Rsyslog]:
    """rsyslogd on loopback as `udp`, `tcp` or `tls`; `certificate`: PEM with its key. `auth`: what it asks of us in TLS; `queue`:
    parameters of its queue in memory."""
    folder.mkdir(parents=True)
    port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    lines = [f'global(workDirectory="{folder}" maxMessageSize="16k")']
    if transport == "udp":
        lines += ['module(load="imudp")', f'input(type="imudp" address="127.0.0.1" port="{port}")']
    elif transport == "tcp":
        lines += ['module(load="imtcp")', f'input(type="imtcp" address="127.0.0.1" port="{port}")']
    else:
        assert certificate is not None
        parts = re.findall(r"-----BEGIN (.+?)-----.+?-----END \1-----\n", certificate.read_text(), re.DOTALL)
        assert parts
        for kind, name in (("CERTIFICATE", "cert.pem"), ("PRIVATE KEY", "key.pem")):
            found = re.search(f"-----BEGIN {kind}-----.+?-----END {kind}-----\n", certificate.read_text(), re.DOTALL)
            assert found is not None
            (folder / name).write_text(found[0])
        lines += [
            f'global(defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{folder}/cert.pem" '
            f'defaultNetstreamDriverCertFile="{folder}/cert.pem" defaultNetstreamDriverKeyFile="{folder}/key.pem")',
            f'module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="{auth}")',
            f'input(type="imtcp" address="127.0.0.1" port="{port}")',
        ]
    if queue:
        lines.append(f"main_queue({queue})")
    lines += [
        'template(name="json" type="list" option.jsonf="on") {',
        '  property(outname="pri" name="pri" format="jsonf")',
        '  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")',
        '  property(outname="host" name="hostname" format="jsonf")',
        '  property(outname="app" name="app-name" format="jsonf")',
        '  property(outname="msgid" name="msgid" format="jsonf")',
        '  property(outname="data" name="structured-data" format="jsonf")',
        '  property(outname="text" name="msg" format="jsonf")',
        "}",
        f'action(type="omfile" file="{folder}/received" template="json")',
    ]
    config = folder / "rsyslog.conf"
    config.write_text("\n".join(lines) + "\n")
    running = Rsyslog(f"{transport}://127.0.0.1:{port}", folder, config, port)
    running.start()
    try:
        yield running
    finally:
        running.stop()
