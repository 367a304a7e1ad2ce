"""Logging in one place: a constant lower-case message and fields, as logfmt lines, without credentials in any of them.

Every process calls `setup` once. Which thing has which key is in GLOSSARY.md; the same thing has the same key everywhere.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from vault.errors import StreamvaultError
from vault.secrets import BLANK, redact

MAX_VALUE_CHARS = 2000
"""A field from outside is cut here, so that a hostile server cannot fill the log with one line."""

_BARE = re.compile(r"[^\s\"=\\]+")
_SECRET_KEYS = frozenset({"password", "passwd", "secret", "token", "credential", "credentials", "authorization", "key_bytes"})


class Log:
    """A logger whose messages are constant and whose particulars are fields: `log.info("camera connected", camera=id)`.

    A field `error` that is an exception and none of ours was not meant to happen: its traceback is logged too.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        """`name`: the module's `__name__`."""
        self._logger = logging.getLogger(name)

    def info(self, message: str, /, **fields: object) -> None:
        """The normal course of things, a few lines an hour and camera at most."""
        self._emit(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Something was missed or tried again; it goes on by itself."""
        self._emit(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Somebody has to look at it."""
        self._emit(logging.ERROR, message, fields)

    def _emit(self, level: int, message: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            error = fields.get("error")
            trace = error if isinstance(error, BaseException) and not isinstance(error, StreamvaultError) else None
            self._logger.log(level, message, exc_info=trace, extra={"fields": fields} if fields else None)


class RedactFilter(logging.Filter):
    """Blanks credentials in a record: its message, its arguments, its fields, its traceback. Belongs on a handler, where
    the records of other people's loggers pass too."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            # A message whose arguments do not fit it: the arguments are dropped, they cannot be judged.
            text = str(record.msg)
        record.msg, record.args = redact(text), ()
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            record.fields = {str(key): _clean(str(key), value) for key, value in fields.items()}
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class LogfmtFormatter(logging.Formatter):
    """`time=… level=… process=… logger=… msg="…" key=value …`: one line a record, whatever stands in it."""

    def format(self, record: logging.LogRecord) -> str:
        # The record's own time: a record, not this module, read the clock.
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        parts = [f"time={moment}", f"level={record.levelname.lower()}"]
        if record.processName and record.processName != "MainProcess":
            parts.append(f"process={quote_value(record.processName)}")
        parts += [f"logger={quote_value(record.name)}", f"msg={quote_value(record.getMessage())}"]
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            parts += [f"{key}={quote_value(_text(value))}" for key, value in fields.items() if value is not None]
        if record.exc_text:
            parts.append(f"trace={quote_value(record.exc_text, 20_000)}")
        return " ".join(parts)


def setup(level: str = "info", stream: TextIO | None = None) -> logging.Handler:
    """Send every log record of this process to `stream` (standard error when None), cleaned. Returns the handler.

    A second call replaces the first. Python's warnings go the same way.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(RedactFilter())
    handler.setFormatter(LogfmtFormatter())
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known.formatter, LogfmtFormatter)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    return handler


def quote_value(text: str, limit: int = MAX_VALUE_CHARS) -> str:
    """A logfmt value: bare where it may be, else in quotes with `"`, `\\`, line ends and control characters escaped."""
    if len(text) > limit:
        text = text[:limit] + "…"
    if text.isprintable() and _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    # Whatever is left of control characters and lone surrogates would move a terminal's cursor, turn its text round, or break the
    # encoding.
    return '"' + "".join(c if c.isprintable() or c == " " else ascii(c)[1:-1] for c in escaped) + '"'


def _clean(key: str, value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return BLANK if key.lower() in _SECRET_KEYS else redact(_text(value))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
