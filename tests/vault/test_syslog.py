"""Syslog: what goes on the wire, and that rsyslog understands it by UDP, TCP and TLS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificate import certificate
from tests.support.node import wait_until
from tests.support.receivers import rsyslog
from vault.errors import ConfigError, SourceError
from vault.syslog import MAX_BYTES, Priority, SyslogAddress, SyslogMessage, SyslogSender, encode

AT_US = 1_764_000_000_123_456


def test_a_message_is_written_as_rfc_5424_section_6_says() -> None:
    message = SyslogMessage(AT_US, Priority.ERROR, "ALARM", "spool: 71 % full", {"kind": "spool filling", "note": 'a"b]c\\d'})
    assert encode(message, "node-1", 7) == (
        b"<131>1 2025-11-24T16:00:00.123456Z node-1 streamvault 7 ALARM "
        b'[streamvault@32473 kind="spool filling" note="a\\"b\\]c\\\\d"] \xef\xbb\xbfspool: 71 % full'
    )


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=4), st.text(max_size=20_000))
def test_no_text_breaks_out_of_its_field(host: str, msgid: str, fields: dict[str, str], text: str) -> None:
    raw = encode(SyslogMessage(AT_US, Priority.INFO, msgid, text, fields), host, 1)
    assert len(raw) <= MAX_BYTES
    assert b"\n" not in raw
    assert re.fullmatch(
        rb'<134>1 \S+ [!-~]{1,255} streamvault 1 [!-~]{1,32} (-|\[streamvault@32473( [!-~]{1,32}="([^"\\\]]|\\.)*")*\]) '
        rb"\xef\xbb\xbf.*",
        raw,
        re.DOTALL,
    )


@pytest.mark.parametrize(
    "text", ["", "http://x", "udp://", "udp://a b", "tcp://h:0", "tcp://h:70000", "tls://user@h", "udp://h/p"]
)
def test_what_is_no_receivers_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        SyslogAddress.parse(text)


def test_the_ports_are_those_that_syslog_has() -> None:
    assert [SyslogAddress.parse(f"{name}://h").port for name in ("udp", "tcp", "tls")] == [514, 514, 6514]
    assert SyslogAddress.parse("tcp://[::1]:5514") == SyslogAddress("tcp", "::1", 5514)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_rsyslog_takes_a_message_with_all_its_fields(tmp_path: Path, transport: str) -> None:
    pem = certificate(tmp_path)
    with rsyslog(tmp_path / "log", transport, pem) as receiver:
        sender = SyslogSender(SyslogAddress.parse(receiver.address), pem if transport == "tls" else None)
        sender.send(SyslogMessage(AT_US, Priority.WARNING, "ALARM", "磁盘 low", {"kind": "disk low"}), 9)
        [seen] = wait_until(receiver.messages, 20, "the message")
        sender.close()
    assert (seen["pri"], seen["app"], seen["msgid"]) == ("132", "streamvault", "ALARM")
    assert seen["time"] == "2025-11-24T16:00:00.123456Z"
    assert seen["data"] == '[streamvault@32473 kind="disk low"]'
    assert seen["text"].removeprefix("\ufeff") == "磁盘 low"


def test_a_receiver_that_was_away_is_connected_to_anew(tmp_path: Path) -> None:
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        sender = SyslogSender(SyslogAddress.parse(receiver.address))
        sender.send(SyslogMessage(AT_US, Priority.INFO, "ALARM", "first"), 9)
        wait_until(lambda: len(receiver.messages()) == 1, 20, "the first message")
        receiver.stop()
        with pytest.raises(SourceError, match=r"tcp://127\.0\.0\.1"):
            sender.send(SyslogMessage(AT_US, Priority.INFO, "ALARM", "lost"), 9)
        receiver.start()
        sender.send(SyslogMessage(AT_US, Priority.INFO, "ALARM", "second"), 9)
        wait_until(lambda: len(receiver.messages()) == 2, 20, "the second message")
        sender.close()
    assert [seen["text"].removeprefix("\ufeff") for seen in receiver.messages()] == ["first", "second"]


def test_a_certificate_nobody_vouches_for_is_not_told_anything(tmp_path: Path) -> None:
    with rsyslog(tmp_path / "log", "tls", certificate(tmp_path)) as receiver:
        sender = SyslogSender(SyslogAddress.parse(receiver.address))
        with pytest.raises(SourceError):
            sender.send(SyslogMessage(AT_US, Priority.INFO, "ALARM", "secret"), 9)
    assert receiver.messages() == []
