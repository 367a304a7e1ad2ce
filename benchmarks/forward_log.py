"""The ledger forwarded to a real rsyslog by TCP and TLS, beside others that bring as many messages to the same receiver in the same run.

`rsyslog` is another rsyslogd that reads the ledger's lines from a file and forwards them (imfile, omfwd); `logger` is util-linux's,
by TCP only. The floor is the very bytes that we send, made beforehand, on one connection: a plain socket for TCP, `openssl s_client`
for TLS. Time runs until the receiver has written the last message; CPU is the sender's own. Only ours knows how far the receiver
has read, and sends again what it cannot know to be there.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ledger_million import entries
from benchmarks.processes import cost
from index.environment import Environment
from index.forwarder import forwarder
from tests.support.certificate import certificate
from tests.support.receivers import Rsyslog, need, rsyslog
from vault.clock import SystemClock
from vault.config import Config, Forward
from vault.ledger.ledger import Ledger
from vault.ledger.message import entry_messages
from vault.signing.keys import Keys
from vault.syslog import encode

BATCH = 1_000
WAIT_SECONDS = 300


class Bench:
    """One ledger and one receiver at a time; each way sends all of it."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.ledger = Ledger(folder / "ledger", Keys(folder / "key"), SystemClock())
        for first in range(0, count, BATCH):
            self.ledger.append(entries(first, min(BATCH, count - first)))
        lines = [entry.line for entry in self.ledger.entries()]
        (folder / "lines").write_bytes(b"".join(line + b"\n" for line in lines))
        raws = [encode(message, "bench", 1) for entry in self.ledger.entries() for message in entry_messages(entry, 8192)]
        (folder / "bytes").write_bytes(b"".join(b"%d %s" % (len(raw), raw) for raw in raws))
        self.pem = certificate(folder)

    def timed(self, name: str, to: Rsyslog, send: Callable[[Rsyslog, Callable[[], None]], float]) -> tuple[float, float]:
        """Messages a second, and µs of the sender's CPU for each."""
        received = to.folder / "received"
        began = time.perf_counter()

        def all_there() -> None:
            while (came := _lines(received)) < self.count:
                if time.perf_counter() - began > WAIT_SECONDS:
                    raise SystemExit(f"{name}: {came} of {self.count} messages came")
                time.sleep(0.005)

        cpu = send(to, all_there)
        all_there()
        return self.count / (time.perf_counter() - began), cpu / self.count * 1e6

    def ours(self, to: Rsyslog, _: Callable[[], None]) -> float:
        began = time.process_time()
        said = Config(forward=Forward(address=to.address, tls_ca_file=str(self.pem)))
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as name,
            Environment(Path(name) / "index", create=True) as environment,
        ):
            one = forwarder(said, self.folder, environment, self.ledger, SystemClock())
            assert one is not None
            while one.run_once():
                pass
            one.close()
        return time.process_time() - began

    def rsyslog(self, to: Rsyslog, all_there: Callable[[], None]) -> float:
        tls = ' StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="anon"' if to.address.startswith("tls") else ""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            lines = [
                f'global(workDirectory="{name}" maxMessageSize="16k" defaultNetstreamDriverCAFile="{self.pem}")',
                'module(load="imfile")',
                f'input(type="imfile" file="{self.folder}/lines" tag="bench" freshStartTail="off")',
                f'action(type="omfwd" target="127.0.0.1" port="{to.port}" protocol="tcp" TCP_Framing="octet-counted"'
                f' template="RSYSLOG_SyslogProtocol23Format"{tls})',
            ]
            (Path(name) / "conf").write_text("\n".join(lines) + "\n")
            words = [need("rsyslogd"), "-n", "-f", f"{name}/conf", "-i", f"{name}/pid"]
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                all_there()
                return cost([process.pid]).cpu_s
            finally:
                process.terminate()
                process.wait(30)

    def logger(self, to: Rsyslog, _: Callable[[], None]) -> float:
        words = [need("logger"), "--tcp", "--octet-count", "--server", "127.0.0.1", "--port", str(to.port), "--size", "8192"]
        return _cpu_of(lambda: subprocess.run([*words, "--file", str(self.folder / "lines")], check=True))

    def plain(self, to: Rsyslog, _: Callable[[], None]) -> float:
        began = time.process_time()
        with socket.create_connection(("127.0.0.1", to.port)) as made:
            made.sendall((self.folder / "bytes").read_bytes())
        return time.process_time() - began

    def openssl(self, to: Rsyslog, _: Callable[[], None]) -> float:
        words = [need("openssl"), "s_client", "-quiet", "-no_ign_eof", "-nocommands", "-CAfile", str(self.pem)]
        with (self.folder / "bytes").open("rb") as file:
            whole = [*words, "-connect", f"127.0.0.1:{to.port}"]
            return _cpu_of(lambda: subprocess.run(whole, stdin=file, stderr=subprocess.DEVNULL, check=True))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _cpu_of(act: Callable[[], object]) -> float:
    before = os.times()
    act()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.entries)
        for transport in ("tcp", "tls"):
            ways = {"streamvault": bench.ours, "rsyslog": bench.rsyslog}
            ways |= (
                {"logger": bench.logger, "bytes, socket": bench.plain}
                if transport == "tcp"
                else {"bytes, openssl": bench.openssl}
            )
            found: dict[str, list[tuple[float, float]]] = {}
            for number in range(options.rounds):
                for way, send in ways.items():
                    with rsyslog(Path(name) / f"{transport}-{number}-{way.split()[-1]}", transport, bench.pem) as to:
                        found.setdefault(way, []).append(bench.timed(way, to, send))
            for way, seen in found.items():
                rate, cpu_us = statistics.median(one[0] for one in seen), statistics.median(one[1] for one in seen)
                print(f"{transport}  {way:16} {rate:9,.0f} messages/s  {cpu_us:6.1f} µs of CPU each", flush=True)


if __name__ == "__main__":
    main()
