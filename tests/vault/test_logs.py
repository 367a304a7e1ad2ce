"""Logs: one line a record, fields that can be searched, and no credentials whoever wrote the record."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import StoreError
from vault.logs import Log, quote_value, setup

SECRET = "S3cr3t"
URL = f"rtsp://admin:{SECRET}@192.0.2.1/a"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level = root.level
    stream = io.StringIO()
    handler = setup("debug", stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


log = Log("vault.example")


def test_a_line_has_time_level_logger_message_and_fields(out: io.StringIO) -> None:
    log.info("camera connected", camera="cam-1", took_ms=12, share=0.123456789, ok=True, path=Path("/a b"), none=None)
    time, _, rest = out.getvalue().partition(" ")
    assert time.startswith("time=2")
    assert time.endswith("Z")
    assert rest == (
        'level=info logger=vault.example msg="camera connected" camera=cam-1 took_ms=12 share=0.123457 ok=true path="/a b"\n'
    )


def test_a_level_that_is_off_writes_nothing(out: io.StringIO) -> None:
    setup("warning", out)
    log.info("not this")
    log.warning("but this")
    assert out.getvalue().count("\n") == 1


def test_no_secret_shows_in_a_field_a_message_an_argument_or_an_error(out: io.StringIO) -> None:
    log.warning("source failed", url=URL, error=ValueError(f"cannot open {URL}"), password=SECRET, many=[URL, URL])
    logging.getLogger("somebody.else").error("cannot open %s with %r", URL, {"url": URL})
    logging.getLogger("somebody.else").error(f"cannot open {URL}")  # noqa: G004 - as others write it
    logging.getLogger("somebody.else").error("cannot open " + URL + " %d", "not a number")  # noqa: G003
    logging.getLogger("somebody.else").error(ValueError(URL))
    logging.getLogger("somebody.else").warning("look", stack_info=True, extra={"url": URL})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"deprecated: {URL}", stacklevel=1)
    text = out.getvalue()
    assert SECRET not in text
    assert text.count("\n") == 7
    assert text.count("rtsp://***@192.0.2.1/a") >= 5


def test_no_secret_shows_in_a_traceback_or_its_causes(out: io.StringIO) -> None:
    try:
        try:
            raise ValueError(URL)
        except ValueError as error:
            raise RuntimeError(f"while connecting to {URL}") from error
    except RuntimeError as error:
        log.error("worker failed", error=error, camera="cam-1")
        logging.getLogger("somebody.else").exception("failed")
    text = out.getvalue()
    assert SECRET not in text
    assert text.count("\n") == 2
    assert text.count("RuntimeError: while connecting to rtsp://***@192.0.2.1/a") == 2


def test_an_error_of_ours_is_said_without_a_traceback_and_any_other_with_one(out: io.StringIO) -> None:
    for error in (StoreError("the store is away"), KeyError("x")):
        try:
            raise error
        except Exception as caught:
            log.warning("store waits", error=caught)
    ours, other = out.getvalue().splitlines()
    assert ours.endswith('msg="store waits" error="the store is away"')
    assert "KeyError" in other.partition(" trace=")[2]


def test_another_handler_before_ours_cannot_bring_the_secret_back(out: io.StringIO) -> None:
    """A formatter caches a traceback's text in the record; ours must not take it as it is."""
    other = logging.StreamHandler(io.StringIO())
    logging.getLogger("somebody.else").addHandler(other)
    try:
        raise ValueError(URL)
    except ValueError:
        logging.getLogger("somebody.else").exception("failed")
    finally:
        logging.getLogger("somebody.else").removeHandler(other)
    assert SECRET not in out.getvalue()


def test_a_second_setup_replaces_the_first(out: io.StringIO) -> None:
    setup("info", out)
    setup("info", out)
    log.info("once")
    assert out.getvalue().count("once") == 1


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nlevel=error", '"line\\nlevel=error"'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        ("\u2028", '"\\u2028"'),
        ("\udce4", '"\\udce4"'),
        ("摄像机", "摄像机"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(text: str, quoted: str) -> None:
    assert quote_value(text) == quoted


@given(st.text(st.characters(), max_size=100))
def test_no_text_from_outside_makes_a_second_line_or_breaks_the_encoding(text: str) -> None:
    quoted = quote_value(text)
    assert len(quoted.splitlines()) == 1
    assert quoted.encode("utf-8")
    assert quoted.startswith('"') == quoted.endswith('"')


def test_a_long_value_is_cut_after_its_secret_was_blanked(out: io.StringIO) -> None:
    log.info("server said", text="x" * 1_990 + URL + "y" * 10_000)
    assert len(out.getvalue()) < 2_200
    assert "admin" not in out.getvalue()
