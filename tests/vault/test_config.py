"""The configuration is strict: what it does not know it refuses, naming file, key and the nearest known one."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import as_nobody
from vault.config import MAX_FILE_BYTES, Config, describe, load, parse
from vault.errors import ConfigError, StoreError

FILE = Path("streamvault.toml")


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), FILE)
    message = str(caught.value)
    assert message.startswith("streamvault.toml: ")
    assert len(message) < 500
    return message


def test_no_file_and_an_empty_file_are_the_defaults() -> None:
    assert load(None) == Config()
    assert dataclasses.replace(parse(b"# nothing\n", FILE), source=None) == Config()


def test_what_is_given_is_taken_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[recording]\nsegment_seconds = 30\nsweep_seconds = 1\n[retention]\ntime_zone = "Europe/Berlin"\n')
    config = load(path)
    assert config.recording.segment_seconds == 30
    assert isinstance(config.recording.sweep_seconds, float)
    assert config.recording.sync_seconds == Config().recording.sync_seconds
    assert str(config.retention.zone) == "Europe/Berlin"
    assert config.given == {"recording.segment_seconds", "recording.sweep_seconds", "retention.time_zone"}


def test_every_default_lies_within_its_own_bounds_and_can_be_written_down() -> None:
    text = ""
    section = ""
    for line in describe(Config()):
        name, _, key = line.key.partition(".")
        text += f"[{name}]\n" if name != section else ""
        section = name
        text += f"{key} = {str(line.value).lower() if isinstance(line.value, bool) else repr(line.value)}\n"
        assert line.doc
    config = parse(text.encode(), FILE)
    assert dataclasses.replace(config, source=None, given=frozenset()) == Config()


def test_an_unknown_key_names_the_nearest() -> None:
    message = refused("[recording]\nsegment_second = 60\n")
    assert "unknown key 'recording.segment_second'" in message
    assert "did you mean 'segment_seconds'?" in message


def test_an_unknown_section_names_the_nearest() -> None:
    assert "unknown section 'recordings'; did you mean 'recording'?" in refused("[recordings]\n")
    assert "unknown key 'x'; known are recording, retention, store, index" in refused("x = 1\n")


def test_a_section_written_as_a_value_is_explained() -> None:
    assert "write [recording]" in refused("recording = 5\n")
    assert "write [recording]" in refused("[[recording]]\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("segment_seconds = 9", "9 is outside 10 to 600"),
        ("segment_seconds = 601", "601 is outside 10 to 600"),
        ("segment_seconds = 60.0", "must be a whole number, not a number"),
        ("segment_seconds = '60'", "must be a whole number, not text"),
        ("segment_seconds = true", "must be a whole number, not true or false"),
        ("segment_seconds = []", "must be a whole number, not a list"),
        ("segment_seconds = {}", "must be a whole number, not a table"),
        ("segment_seconds = 2026-11-22", "must be a whole number, not a time"),
        ("sweep_seconds = nan", "nan is outside 0.2 to 2"),
        ("sweep_seconds = inf", "inf is outside"),
        ("sweep_seconds = 0.19", "0.19 is outside"),
        ("sweep_seconds = false", "must be a number, not true or false"),
        (f"workers = 0x{'f' * 4000}", "it is outside 0 to 256"),
        (f"workers = {'9' * 4000}", "it is outside 0 to 256"),
        ("segment_seconds = 60\nsegment_seconds = 60", "not TOML"),
        ("segment_seconds = ", "not TOML"),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_refused(line: str, says: str) -> None:
    message = refused(f"[recording]\n{line}\n")
    assert says in message


def test_a_minimum_below_the_law_is_refused() -> None:
    assert "retention.key_days: 89 is outside 90" in refused("[retention]\nkey_days = 89\n")
    assert "retention.general_days: 29 is outside 30" in refused("[retention]\ngeneral_days = 29\n")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "A" * 500, "Europe"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    assert "retention.time_zone" in refused(f"[retention]\ntime_zone = '{zone}'\n")


def test_text_is_printable_and_one_of_the_choices() -> None:
    assert "'ftp' is not one of local, s3" in refused("[store]\nkind = 'ftp'\n")
    assert "printable" in refused('[store]\npath = "a\\nb"\n')
    assert "printable" in refused('[store]\npath = ""\n')
    assert "must be text, not a number" in refused("[store]\npath = 1\n")


S3 = "[store]\nkind = 's3'\nendpoint = 'https://s3.example:9000'\nbucket = 'footage'\n"


def test_a_bucket_is_named_by_endpoint_and_bucket() -> None:
    config = parse((S3 + "prefix = 'node-1/footage'\nunsigned_payload = true\n").encode(), FILE)
    assert (config.store.kind, config.store.bucket, config.store.unsigned_payload) == ("s3", "footage", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[store]\nkind = 's3'\n", "store.endpoint must be"),
        (S3.replace("https://s3.example:9000", "s3.example:9000"), "store.endpoint must be"),
        (S3.replace("https://", "https://name:word@"), "store.endpoint must be"),
        (S3.replace(":9000", ":9000/footage"), "store.endpoint must be"),
        (S3.replace("'footage'", "'Footage'"), "store.bucket must be"),
        (S3 + "prefix = '../x'\n", "store.prefix must be"),
        (S3 + "prefix = 'a//b'\n", "store.prefix must be"),
        (S3 + "region = 'a b'\n", "store.region must be"),
        (S3 + "path = 'elsewhere'\n", "store.path is for kind = 'local'"),
        (S3 + "request_seconds = 5\n", "store.request_seconds must be at least"),
        (S3 + "unsigned_payload = 1\n", "must be true or false, not a number"),
        (S3 + "access_key = 'x'\n", "unknown key 'store.access_key'"),
        (S3 + "end_point = 'x'\n", "did you mean 'endpoint'?"),
        (S3.replace("kind = 's3'\n", ""), "store.endpoint is for kind = 's3'"),
    ],
)
def test_what_does_not_fit_together_about_a_bucket_is_refused(text: str, says: str) -> None:
    message = refused(text)
    assert says in message
    assert "word" not in message


def test_a_capacity_is_a_size_when_the_file_is_read() -> None:
    assert parse(b'[store]\ncapacity = "400T"', FILE).store.capacity_bytes == 400 * 10**12
    assert Config().store.capacity_bytes is None
    assert "store.capacity: 'plenty' is not a size" in refused('[store]\ncapacity = "plenty"')


def test_a_camera_is_not_called_silent_before_two_sweeps() -> None:
    assert "silence_timeout_seconds" in refused("[recording]\nsweep_seconds = 2\nsilence_timeout_seconds = 3\n")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"\0", "not TOML"),
        (b"#" * (MAX_FILE_BYTES + 1), "longer than"),
        (b"a=[\n" + b"[" * 50_000, "line longer than"),
        (b"a=[" + b"[\n" * 30_000, "nested too deeply"),
        (b"a=" + b"{a=" * 1_300, "nested too deeply"),
        (b"a." * 2_000 + b"a=1", "unknown section"),
    ],
)
def test_hostile_files_are_refused(data: bytes, says: str) -> None:
    assert says in refused(data)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(st.sampled_from("[]{}=.,'\"\n #recodingstx_0123456789-:TZ\\+e"), max_size=200).map(str.encode),
        st.tuples(
            st.sampled_from(["recording", "retention", "store", "index"]), st.text(max_size=20), st.text(max_size=20)
        ).map(lambda parts: f"[{parts[0]}]\n{parts[1]} = {parts[2]}\n".encode("utf-8", "surrogatepass")),
    )
)
def test_any_bytes_are_a_configuration_or_a_configuration_error(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(data, FILE), Config)


def test_the_description_tells_where_each_value_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[index]\nmap_bytes = 1073741824\n")
    lines = {line.key: line for line in describe(load(path))}
    assert (lines["index.map_bytes"].value, lines["index.map_bytes"].source) == (1_073_741_824, str(path))
    assert lines["recording.workers"].source == "default"
    assert next(iter(lines)) == "recording.segment_seconds"


def test_a_class_that_is_not_known_has_no_days() -> None:
    retention = Config().retention
    assert (retention.days("key"), retention.days("general"), retention.days("viewing")) == (90, 30, 92)
    with pytest.raises(ConfigError, match="'secret'"):
        retention.days("secret")


def test_a_missing_file_a_folder_and_an_unreadable_file_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such"):
        load(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match="folder"):
        load(tmp_path)
    with as_nobody(tmp_path) as folder:
        (folder / "a.toml").touch(mode=0o000)
        with pytest.raises(StoreError, match="Permission denied"):
            load(folder / "a.toml")
