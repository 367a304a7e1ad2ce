"""Exports as they really run, in the register: one row each, whatever steps and refusals lie between."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from access.people.model import Principal
from access.register import Row, Wanted, rows
from index.node import Node
from index.register import Register
from tests.support.exporting import OPERATOR, SAID, exporting, unit_people, wish
from tests.support.segments import START_US, video_track
from tests.support.streams import encode_h264
from tests.support.vaults import make_vault
from vault.errors import NotFound
from vault.grant import Refusal
from vault.timebase import US, Interval


def book(node: Node) -> list[Row]:
    register = Register(node.environment, node.ledger)
    register.fill()
    return list(rows(register.deeds(Interval(0, 2**62)), Wanted()))


def test_an_export_is_one_row_from_asking_to_its_package(data_path: Path, tmp_path: Path) -> None:
    make_vault(data_path, [video_track(encode_h264(75))], START_US, ["store"])
    people, asker = unit_people(approval=True)
    second = Principal("officer-2", user=people.users["officer-2"], unit=people.units["office"])
    span = Interval(START_US, START_US + 2 * US)
    with exporting(data_path, people=people) as (node, exports):
        job = exports.ask(asker, wish(tmp_path / "out", span), SAID)
        for who in (asker, OPERATOR):
            with pytest.raises(Refusal):
                exports.approve(job.id, who)
        [waiting] = book(node)
        assert (waiting.outcome, waiting.is_open, waiting.deed, waiting.unit) == ("waiting", True, job.id, "office")
        exports.approve(job.id, second)
        [approved] = book(node)
        assert (approved.outcome, approved.approver, approved.code) == ("open", "officer-2", "")
        _, delivered = exports.run(job.id, asker)
        [done] = book(node)
        assert (done.outcome, done.user, done.approver, done.taker) == ("done", "officer-1", "officer-2", SAID.taker)
        assert done.sha256 == hashlib.sha256((delivered.path / "manifest-sha256.txt").read_bytes()).hexdigest()
        assert done.size_bytes
        other = exports.ask(asker, wish(tmp_path / "no", span), SAID)
        exports.refuse(other.id, second, "not for this")
        assert [(row.outcome, row.reason, row.size_bytes) for row in book(node)[1:]] == [("refused", "not for this", None)]


def test_an_export_of_nothing_was_broken_off(data_path: Path, tmp_path: Path) -> None:
    make_vault(data_path, [video_track(encode_h264(75))], START_US, ["store"])
    with exporting(data_path) as (node, exports):
        job = exports.ask(OPERATOR, wish(tmp_path / "out", Interval(START_US + 900 * US, START_US + 901 * US)), SAID)
        with pytest.raises(NotFound):
            exports.run(job.id, OPERATOR)
        [row] = book(node)
    assert (row.outcome, row.is_open, row.export) == ("aborted", False, job.id)
    assert row.reason
