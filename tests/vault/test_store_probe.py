"""The probe sees what a bucket really does: on two servers that keep their word, and on two that answer 200 and do not."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from access import commands
from tests.support.s3servers import KEYS, Server, key_source, server
from tests.vault.store_contract import keys, read_back
from vault.clock import SystemClock
from vault.errors import Damaged, Refused
from vault.store.probe import Report, probe
from vault.store.s3 import S3Store
from vault.store.s3features import Checksum, Features, checksum_header

CORE = {
    "ranges": "kept",
    "conditional put": "kept",
    "conditional put at once": "kept",
    "checksum crc32c": "kept",
    "checksum md5": "kept",
}


@contextmanager
def bucket_of(running: Server) -> Iterator[S3Store]:
    with closing(S3Store(dataclasses.replace(running.settings, prefix="p/"), key_source(), SystemClock())) as store:
        yield store


def seen(running: Server) -> Report:
    with bucket_of(running) as store:
        report = probe(store.client, store.prefix, SystemClock())
        # Nothing is left that looks like an object of ours, nor anything at all where nothing is versioned.
        assert keys(store) == []
        assert [item.key for item in store.client.list("")] == []
    return report


def verdicts(report: Report) -> dict[str, str]:
    return {trial.feature: str(trial.verdict) for trial in report.trials}


@pytest.mark.parametrize("program", ["versitygw", "minio"])
def test_a_plain_bucket_keeps_what_putting_needs_and_has_no_locks(program: str, tmp_path: Path) -> None:
    with server(program, tmp_path) as running:
        report = seen(running)
        assert verdicts(report) == {**CORE, "versioning": "absent", "object lock": "absent", "legal hold": "absent"}
        with pytest.raises(Refused, match=r"object lock is asked for, and the store .* does not have it"):
            report.require("object lock")
        report.require("ranges")


@pytest.mark.parametrize("program", ["versitygw", "minio"])
def test_a_bucket_made_with_object_lock_keeps_versions_terms_and_holds(program: str, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    arguments = ("--versioning-dir", str(versions)) if program == "versitygw" else ()
    with server(program, tmp_path, lock=True, arguments=arguments) as running:
        assert verdicts(seen(running)) == {**CORE, "versioning": "kept", "object lock": "kept", "legal hold": "kept"}
        with bucket_of(running) as store:
            hidden_is_not_gone(store)


def hidden_is_not_gone(store: S3Store) -> None:
    """Deleting reaches every version, and says which object has one that may not go."""
    assert store.features.versioned
    for key in ("a", "ab", "held"):
        store.put_bytes(key, b"1")
    assert store.client.send("PUT", "p/a", body=b"2").ok
    assert len(store.client.versions("p/a")) == 2
    assert store.delete(["a"]) == []
    assert (store.client.versions("p/a"), store.stat("a")) == ([], None)
    assert store.stat("ab") is not None
    version = store.client.versions("p/held")[0]
    body = b'<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>ON</Status></LegalHold>'
    md5 = checksum_header(body, Checksum.MD5)
    assert store.client.send("PUT", "p/held", query={"legal-hold": "", "versionId": version}, headers=md5, body=body).ok
    assert [item.key for item in store.delete(["ab", "held"])] == ["held"]
    assert store.client.versions("p/held") == [version]
    assert store.client.versions("p/ab") == []


def test_rclone_pretends_conditions_checksums_and_locks(tmp_path: Path) -> None:
    with server("rclone", tmp_path) as running:
        report = seen(running)
        assert verdicts(report) == {
            "ranges": "kept",
            "conditional put": "pretended",
            "conditional put at once": "pretended",
            "checksum crc32c": "pretended",
            "checksum md5": "kept",
            "versioning": "absent",
            "object lock": "pretended",
            "legal hold": "pretended",
        }
        with pytest.raises(Refused, match=r"legal hold is asked for, and the store .* only pretends to have it"):
            report.require("legal hold")
        with bucket_of(running) as store:
            assert store.features == Features(conditional_put=False, checksum=Checksum.MD5)
            works_all_the_same(store, tmp_path)


def test_moto_pretends_checksums(tmp_path: Path) -> None:
    with server("moto_server", tmp_path, lock=True) as running:
        found = verdicts(seen(running))
        assert (found["checksum crc32c"], found["checksum md5"]) == ("pretended", "pretended")
        with bucket_of(running) as store:
            assert store.features == Features(conditional_put=True, checksum=Checksum.NONE, versioned=True)
            works_all_the_same(store, tmp_path)


def works_all_the_same(store: S3Store, folder: Path) -> None:
    """What a store pretends is not relied on: an object is put once, is what was sent, and is never replaced."""
    data = os.urandom(300_000)
    (folder / "a").write_bytes(data)
    for _ in range(2):
        store.put_file("a/b", folder / "a")
    with pytest.raises(Damaged):
        store.put_bytes("a/b", data[:-1] + b"x")
    store.put_bytes("a/empty", b"")
    assert read_back(store, "a/b") == data
    assert read_back(store, "a/empty") == b""
    with store.open("a/b") as source:
        assert source.read(1000, 100) == data[1000:1100]
    assert keys(store) == ["a/b", "a/empty"]
    assert store.delete(["a/b", "a/empty", "a/none"]) == []
    assert keys(store) == []


def test_the_command_prints_the_table_and_ends_with_4_where_something_is_pretended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "s.toml"
    for program, code in (("versitygw", 0), ("rclone", 4)):
        with server(program, tmp_path / program) as running:
            config.write_text(f"[store]\nkind = 's3'\nendpoint = '{running.settings.endpoint}'\nbucket = 'footage'\n")
            result = CliRunner().invoke(commands.cli, ["--config", str(config), "store", "probe", "--json"])
            document = json.loads(result.stdout)
            assert document["store"] == f"{running.settings.endpoint}/footage"
            assert {trial["feature"] for trial in document["trials"]} >= set(CORE)
            assert getattr(result.exception, "exit_code", 0) == code
            assert (code == 0) or "only pretends to have: conditional put" in str(result.exception)
            table = CliRunner().invoke(commands.cli, ["--config", str(config), "store", "probe"]).stdout
            assert "checksum crc32c" in table
            assert KEYS["AWS_SECRET_ACCESS_KEY"] not in table + result.stdout


def test_a_local_store_is_no_bucket(tmp_path: Path) -> None:
    result = CliRunner().invoke(commands.cli, ["--data", str(tmp_path), "store", "probe"])
    assert "only a bucket can be asked" in str(result.exception)
