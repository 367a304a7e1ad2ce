"""Forwarding the ledger to a real rsyslog that is stopped, killed, stopped in its tracks and slow: what it got is the ledger."""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from index.alarms import Alarms
from index.duties import Duties
from index.environment import Environment
from index.forwarder import ALARM, DUTY, Forwarder, forwarded, forwarder
from tests.support.certificate import certificate
from tests.support.index_processes import MAP_BYTES
from tests.support.ledgers import NOW_US, entries, entry, new_ledger
from tests.support.node import wait_until
from tests.support.receivers import Rsyslog, rsyslog
from vault.clock import ManualClock, SystemClock
from vault.config import Config, Forward
from vault.errors import ConfigError, Damaged, Refused, SourceError
from vault.ledger.canonical import dumped
from vault.ledger.ledger import Ledger
from vault.ledger.message import notes_in
from vault.ledger.verify import Anchor, What, verify
from vault.signing.keys import Keys
from vault.timebase import US

SLOW = 'queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="4" queue.dequeueSlowdown="{}" queue.timeoutShutdown="1"'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Ledger:
    return new_ledger(tmp_path, clock)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "index", MAP_BYTES, create=True) as made:
        yield made


def sender(
    environment: Environment, ledger: Ledger, clock: ManualClock | SystemClock, to: Rsyslog, folder: Path, **said: Any
) -> Forwarder:
    made = forwarder(Config(forward=Forward(address=to.address, **said)), folder, environment, ledger, clock)
    assert made is not None
    return made


def send_all(one: Forwarder) -> None:
    while one.run_once():
        pass


def send_all_in_spite(one: Forwarder) -> None:
    """Of a receiver that went away since the last time: that is told once."""
    for _ in range(3):
        with suppress(SourceError):
            send_all(one)
            return
    send_all(one)


def received(to: Rsyslog) -> dict[int, bytes]:
    """The entries' lines by sequence, in the order in which each came first; a part that is cut or lacking makes a wrong line."""
    parts: dict[int, dict[int, str]] = {}
    for message in to.messages():
        if message["msgid"] == "LEDGER":
            fields = dict(re.findall(r'(\w+)="([^"]*)"', message["data"]))
            text = message["text"].removeprefix("\ufeff")
            assert text.isprintable()
            parts.setdefault(int(fields["sequence"]), {})[int(fields.get("part", 1))] = text
    return {sequence: dumped(json.loads("".join(found[at] for at in sorted(found)))) for sequence, found in parts.items()}


def mend(to: Rsyslog) -> None:
    """End the line that a killed rsyslog was writing, or it goes on in the midst of it."""
    with (to.folder / "received").open("a") as out:
        out.write("\n")


def expect_all(ledger: Ledger, to: Rsyslog) -> None:
    """What came, repetitions left out, is the ledger: every byte, in order."""
    every = {one.sequence: one.line for one in ledger.entries()}

    def there() -> bool:
        try:
            return len(received(to)) == len(every)
        except ValueError:
            # A line of the receiver's file is half written.
            return False

    wait_until(there, 30, f"{len(every)} entries")
    found = received(to)
    assert found == every
    assert list(found) == sorted(found)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_what_was_received_is_the_ledger_to_the_byte(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path, transport: str
) -> None:
    ledger.append(entries(0, 20))
    hostile = 'a\n\r\t\0"]\\ \u202e\u2028\u3000\x85\x1b[31m 😀 \U000e0001 <x> 试验'
    ledger.append(
        [entry(1, "hostile", why=hostile), entry(2, "long", why="试\u202e" * 9_000), entry(3, "longest", why="x" * 65_000)]
    )
    pem = certificate(tmp_path)
    with rsyslog(tmp_path / "log", transport, pem) as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path, tls_ca_file=pem.name if transport == "tls" else "")
        send_all(one)
        expect_all(ledger, receiver)
        assert not one.run_once()
        ledger.append([entry(9)])
        send_all(one)
        expect_all(ledger, receiver)
        one.close()
        wait_until(lambda: [m["msgid"] for m in receiver.messages()].count("CHECKPOINT") == 2, 20, "both checkpoints")
        log = (receiver.folder / "received").read_text()
    newest = ledger.newest()
    assert list(notes_in(log))[-1] == newest
    assert (forwarded(environment, receiver.address).read, forwarded(environment, receiver.address).behind_since_us) == (
        24,
        None,
    )


def test_a_receiver_that_is_stopped_and_comes_back_lacks_nothing(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path)
        for number in range(3):
            ledger.append(entries(number * 40, number * 40 + 40))
            send_all(one)
            receiver.stop()
            ledger.append(entries(1_000 + number, 1_001 + number))
            with pytest.raises(SourceError):
                send_all(one)
            receiver.start()
        send_all(one)
        expect_all(ledger, receiver)
        one.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_what_a_killed_receiver_had_in_memory_only_is_sent_again(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path, transport: str
) -> None:
    pem = certificate(tmp_path)
    with rsyslog(tmp_path / "log", transport, pem, queue=SLOW.format(200_000)) as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path, tls_ca_file=pem.name)
        ledger.append(entries(0, 300))
        send_all(one)
        # It has read them all, and written almost none.
        assert forwarded(environment, receiver.address).read == 300
        receiver.kill()
        assert len(receiver.messages()) < 300
        mend(receiver)
        receiver.config.write_text(receiver.config.read_text().replace("200000", "0"))
        receiver.start()
        clock.advance(30 * US)
        send_all(one)
        expect_all(ledger, receiver)
        one.close()


def test_what_stayed_read_for_long_enough_is_not_sent_again(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path, settle_seconds=60)
        ledger.append(entries(0, 30))
        send_all(one)
        clock.advance(60 * US)
        send_all(one)
        assert forwarded(environment, receiver.address).settled == 30
        expect_all(ledger, receiver)
        receiver.kill()
        receiver.start()
        ledger.append(entries(30, 31))
        send_all(one)
        expect_all(ledger, receiver)
        assert sum(message["msgid"] == "LEDGER" for message in receiver.messages()) == 31
        one.close()


def test_a_receiver_that_stands_still_is_waited_for(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path)
        ledger.append(entries(0, 50))
        receiver.stand_still()
        with mock.patch("index.forwarder.STEP_SECONDS", 0.05):
            for _ in range(4):
                assert one.run_once()
        assert forwarded(environment, receiver.address).read == 0
        receiver.signal(signal.SIGCONT)
        send_all(one)
        expect_all(ledger, receiver)
        assert sum(message["msgid"] == "LEDGER" for message in receiver.messages()) == 50
        one.close()


def test_a_slow_receiver_is_not_told_twice(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    # Smaller than what it takes in at once, its queue would never begin to be emptied.
    small = 'queue.type="LinkedList" queue.size="1500" queue.dequeueBatchSize="10" queue.dequeueSlowdown="5000" queue.timeoutEnqueue="60000"'
    with rsyslog(tmp_path / "log", "tcp", queue=small) as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path)
        ledger.append(entries(0, 2_500))
        with mock.patch("index.forwarder.STEP_SECONDS", 0.05):
            send_all(one)
        expect_all(ledger, receiver)
        assert sum(message["msgid"] == "LEDGER" for message in receiver.messages()) == 2_500
        one.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_in_whatever_order_nothing_is_lacking(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path, seed: int
) -> None:
    rolled = random.Random(seed)
    with rsyslog(tmp_path / "log", "tcp", queue=SLOW.format(2_000)) as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path)
        count = 0
        for _ in range(14):
            more = rolled.randrange(120)
            if more:
                ledger.append(entries(count, count + more))
            count += more
            with suppress(SourceError):
                for _ in range(rolled.randrange(4)):
                    one.run_once()
            match rolled.randrange(5):
                case 0:
                    receiver.kill()
                    mend(receiver)
                    receiver.start()
                case 1:
                    receiver.stop()
                    receiver.start()
                case 2:
                    one.close()
                    one = sender(environment, ledger, clock, receiver, tmp_path)
                case 3 if count:
                    # A minute in which the receiver writes what it has.
                    send_all_in_spite(one)
                    expect_all(ledger, receiver)
                    clock.advance(60 * US)
        send_all_in_spite(one)
        expect_all(ledger, receiver)
        one.close()


def forward_without_end(path: Path, address: str) -> None:
    """The target of a process that only a kill ends."""
    with Environment(path / "index", MAP_BYTES) as environment:
        said = Config(forward=Forward(address=address))
        with mock.patch("index.forwarder.MAX_ENTRIES", 10):
            one = forwarder(said, path, environment, new_ledger(path), SystemClock())
            assert one is not None
            while True:
                one.run_once()


def test_a_forwarder_that_is_killed_skips_nothing(ledger: Ledger, tmp_path: Path, clock: ManualClock) -> None:
    context = multiprocessing.get_context("spawn")
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        for number in range(2):
            ledger.append(entries(number * 200, number * 200 + 200))
            seen = len(receiver.messages())
            child = context.Process(target=forward_without_end, args=(tmp_path, receiver.address))
            child.start()
            wait_until(lambda seen=seen: len(receiver.messages()) > seen + 20, 30, "some entries")
            child.kill()
            child.join()
        with Environment(tmp_path / "index", MAP_BYTES) as environment:
            one = sender(environment, ledger, clock, receiver, tmp_path)
            send_all(one)
            one.close()
        expect_all(ledger, receiver)


def test_with_a_lost_index_and_for_another_receiver_all_is_sent_again(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    ledger.append(entries(0, 5))
    with rsyslog(tmp_path / "log", "tcp") as receiver, rsyslog(tmp_path / "other", "tcp") as other:
        one = sender(environment, ledger, clock, receiver, tmp_path)
        send_all(one)
        one.close()
        Duties(environment).put(DUTY, {})
        again = sender(environment, ledger, clock, receiver, tmp_path)
        send_all(again)
        again.close()
        wait_until(lambda: sum(m["msgid"] == "LEDGER" for m in receiver.messages()) == 10, 20, "each twice")
        third = sender(environment, ledger, clock, other, tmp_path)
        send_all(third)
        third.close()
        expect_all(ledger, other)


def test_a_ledger_that_was_cut_back_is_found_by_what_the_receiver_has(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    ledger.append(entries(0, 3))
    kept = {path.name: path.read_bytes() for path in ledger.folder.iterdir() if path.is_file()}
    ledger.append(entries(3, 6))
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        one = sender(environment, ledger, clock, receiver, tmp_path, settle_seconds=10)
        send_all(one)
        clock.advance(10 * US)
        send_all(one)
        for name, data in kept.items():
            (ledger.folder / name).write_bytes(data)
        with pytest.raises(Damaged, match="cut back"):
            one.run_once()
        wait_until(lambda: "CHECKPOINT" in (receiver.folder / "received").read_text(), 20, "the checkpoint")
        [signed] = notes_in((receiver.folder / "received").read_text())
    report = verify(ledger.folder, Keys(tmp_path / "ledger.key"), [Anchor("the receiver", signed.note)])
    assert [finding.what for finding in report.findings] == [What.TRUNCATED]


def test_what_waits_for_long_is_an_alarm_until_it_was_read(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    ledger.append(entries(0, 2))
    alarms = Alarms(environment, clock)
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        receiver.stop()
        one = sender(environment, ledger, clock, receiver, tmp_path, alarm_minutes=15)
        for minutes in (0, 14, 1):
            clock.advance(minutes * 60 * US)
            with pytest.raises(SourceError):
                one.run_once()
            assert len(alarms.lasting()) == (minutes == 1)
        state = forwarded(environment, receiver.address)
        assert (state.age_us(clock.now_us()), state.read) == (15 * 60 * US, 0)
        assert "connecting to the syslog receiver" in state.error
        assert [alarm.kind for alarm in alarms.lasting()] == [ALARM]
        receiver.start()
        send_all(one)
        one.close()
    assert not alarms.lasting()


def test_a_receiver_that_asks_for_our_certificate_gets_it_and_else_nothing(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    ledger.append(entries(0, 3))
    pem = certificate(tmp_path)
    pem.chmod(0o600)
    with rsyslog(tmp_path / "log", "tls", pem, auth="x509/certvalid") as receiver:
        nobody = sender(environment, ledger, clock, receiver, tmp_path)
        without = sender(environment, ledger, clock, receiver, tmp_path, tls_ca_file=pem.name)
        for one in (nobody, without):
            with pytest.raises(SourceError):
                send_all(one)
        assert not receiver.messages()
        shown = sender(environment, ledger, clock, receiver, tmp_path, tls_ca_file=pem.name, tls_cert_file=pem.name)
        send_all(shown)
        expect_all(ledger, receiver)
        shown.close()


def test_a_key_that_others_may_read_and_files_that_are_none_are_refused(
    environment: Environment, ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    pem.chmod(0o644)

    def with_files(**said: str) -> None:
        config = Config(forward=Forward(address="tls://127.0.0.1:6514", **said))
        forwarder(config, tmp_path, environment, ledger, clock)

    with pytest.raises(Refused, match="chmod 600"):
        with_files(tls_cert_file=pem.name)
    (tmp_path / "no.pem").write_text("no")
    (tmp_path / "no.pem").chmod(0o600)
    with pytest.raises(ConfigError):
        with_files(tls_ca_file="no.pem")
    with pytest.raises(ConfigError, match="without a password"):
        with_files(tls_cert_file="no.pem")
