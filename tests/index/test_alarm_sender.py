"""Telling people of alarms: once per event, in order, whoever is away meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from index.alarm_sender import AlarmSender, receivers
from index.alarms import Alarms
from index.environment import Environment
from tests.support.node import wait_until
from tests.support.receivers import rsyslog, webhook
from vault.clock import ManualClock
from vault.config import Alarms as AlarmConfig
from vault.config import Config
from vault.errors import Refused, SourceError

START_US = 1_764_000_000_000_000


@pytest.fixture
def alarms(tmp_path: Path) -> Iterator[Alarms]:
    with Environment(tmp_path / "index", create=True) as environment:
        yield Alarms(environment, ManualClock(START_US))


@pytest.fixture
def sender_to(alarms: Alarms, tmp_path: Path) -> Iterator[Callable[..., AlarmSender]]:
    """Makes senders as the configuration says; their connections end with the test."""
    with ExitStack() as stack:

        def make(**config: str) -> AlarmSender:
            found = receivers(Config(alarms=AlarmConfig(**config)), tmp_path)
            for receiver in found.values():
                stack.callback(receiver.close)
            return AlarmSender(alarms, found)

        yield make


def test_a_webhook_gets_each_beginning_and_each_end_once(
    alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    token.chmod(0o600)
    with webhook() as posted:
        sender = sender_to(webhook=posted.url, webhook_token_file="token")
        alarms.begin("spool filling", "", "71 % full")
        alarms.begin("spool filling", "", "72 % full")
        sender.run_once("webhook")
        sender.run_once("webhook")
        alarms.end("spool filling", "")
        # Another process goes on where this one stopped.
        sender_to(webhook=posted.url, webhook_token_file="token").run_once("webhook")
    assert [(one["event"], one["state"], one["kind"], one["message"]) for one in posted.documents] == [
        (1, "begun", "spool filling", "71 % full"),
        (2, "ended", "spool filling", "72 % full"),
    ]
    assert posted.documents[1]["ended"] == "2025-11-24T16:00:00.000000Z"
    assert posted.authorizations == ["Bearer s3cret-token"] * 2


def test_what_a_webhook_refuses_is_told_again_and_nothing_is_skipped(
    alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]
) -> None:
    with webhook() as posted:
        sender = sender_to(webhook=posted.url)
        alarms.begin("disk low", "", "a")
        alarms.begin("spool full", "", "b")
        posted.answers += [503, 302]
        for answer in (503, 302):
            with pytest.raises(SourceError, match=str(answer)):
                sender.run_once("webhook")
        assert sender.waiting() == {"webhook": 2}
        sender.run_once("webhook")
    assert [one["kind"] for one in posted.documents] == ["disk low", "spool full"]
    assert sender.waiting() == {"webhook": 0}


def test_a_token_that_others_may_read_is_not_sent(
    alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]
) -> None:
    (tmp_path / "token").write_text("s3cret-token\n")
    (tmp_path / "token").chmod(0o644)
    with webhook() as posted:
        sender = sender_to(webhook=posted.url, webhook_token_file="token")
        alarms.begin("disk low", "", "a")
        with pytest.raises(Refused, match="chmod 600"):
            sender.run_once("webhook")
    assert not posted.documents


def test_a_webhooks_path_is_in_no_message(alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]) -> None:
    sender = sender_to(webhook="http://127.0.0.1:9/hidden-path")
    alarms.begin("disk low", "", "a")
    with pytest.raises(SourceError) as error:
        sender.run_once("webhook")
    assert "hidden" not in str(error.value)


def test_a_new_receiver_is_told_what_lasts_and_not_what_was_over(
    alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]
) -> None:
    alarms.begin("disk low", "", "long ago")
    alarms.end("disk low", "")
    alarms.begin("spool full", "", "now")
    with webhook() as posted:
        sender_to(webhook=posted.url).run_once("webhook")
    assert [one["kind"] for one in posted.documents] == ["spool full"]


def test_syslog_is_told_the_same(alarms: Alarms, tmp_path: Path, sender_to: Callable[..., AlarmSender]) -> None:
    with rsyslog(tmp_path / "log", "tcp") as receiver:
        sender = sender_to(syslog=receiver.address)
        alarms.begin("camera silent", "7", "nothing is recorded of gate-1: unreachable")
        alarms.end("camera silent", "7")
        sender.run_once("syslog")
        wait_until(lambda: len(receiver.messages()) == 2, 20, "both messages")
    first, second = receiver.messages()
    assert (first["pri"], second["pri"]) == ("131", "133")
    assert 'kind="camera silent" subject="7" state="begun"' in first["data"]
    assert second["text"].removeprefix("\ufeff") == "camera silent 7: over"
