"""The term of an object in a bucket with object lock: until then the bucket lets nobody delete it. Set with the put, raised later,
never lowered here.

Two things keep a wrong clock from locking for ever. A bucket refuses requests of a clock that is a quarter of an hour off, so
nothing is put meanwhile; and governance, the mode to take unless the law asks for compliance, leaves correcting a term to whoever
may bypass it. Which term an object has is the caller's to know; 0 is none yet.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime

from vault.clock import Clock
from vault.errors import NotFound, Refused, StoreError
from vault.store.probe import Report, try_object_lock
from vault.store.s3client import S3Client
from vault.timebase import US

SOON_US = 30 * 60 * US
"""A term that is over by then is not set: the bucket's clock may be ahead of ours, and it refuses a put whose term is over."""

LONGEST_US = 3_655 * 86_400 * US
"""Ten years are the longest that can be configured; what is further away comes from a wrong clock."""

_UNTIL = re.compile(rb"<RetainUntilDate>([0-9T:.-]{19,32})Z?</RetainUntilDate>")


class Term:
    """Over one bucket. Safe for several threads."""

    def __init__(self, client: S3Client, mode: str, clock: Clock) -> None:
        """`mode` is `governance` or `compliance`."""
        self._client = client
        self._mode = mode.upper()
        self._clock = clock

    def require(self, prefix: str) -> None:
        """Raises Refused unless the bucket is seen to keep a lock, StoreError."""
        Report(self._client.where, (try_object_lock(self._client, prefix, self._clock),)).require("object lock")

    def headers(self, until_us: int) -> dict[str, str]:
        """What a put carries; nothing where no term is to be set. One that is too far away is none: the object is put without."""
        now_us = self._clock.now_us()
        if not now_us + SOON_US < until_us <= now_us + LONGEST_US:
            return {}
        return {"x-amz-object-lock-mode": self._mode, "x-amz-object-lock-retain-until-date": _text(until_us)}

    def raise_to(self, name: str, key: str, until_us: int) -> None:
        """Raises NotFound, StoreError, Refused for a term too far away. `key` is for messages."""
        now_us = self._clock.now_us()
        if until_us <= now_us + SOON_US:
            return
        if until_us > now_us + LONGEST_US:
            raise Refused(f"locking {key} until {_text(until_us)}: over ten years from now, so a clock was wrong; not locked")
        doing = f"locking {key} until {_text(until_us)}"
        query = {"retention": ""}
        # 400 and 404 (NoSuchObjectLockConfiguration) say that there is none yet.
        there = self._client.ask(doing, lambda: self._client.send("GET", name, query=query), (200, 400, 404))
        if there.code == "NoSuchKey":
            raise NotFound(f"{doing}: no such object in the store {self._client.where}")
        found = _UNTIL.search(there.data)
        if found is not None and _us(found[1]) >= until_us // US * US:
            return
        body = (
            '<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Mode>{self._mode}</Mode><RetainUntilDate>{_text(until_us)}</RetainUntilDate></Retention>"
        ).encode()
        # Amazon S3 wants a checksum of this body; every server knows this one.
        headers = {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")}
        self._client.ask(doing, lambda: self._client.send("PUT", name, query=query, headers=headers, body=body))


def _text(until_us: int) -> str:
    return f"{datetime.fromtimestamp(until_us // US, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _us(text: bytes) -> int:
    try:
        return round(datetime.fromisoformat(text[:19].decode("ascii")).replace(tzinfo=UTC).timestamp()) * US
    except ValueError as error:
        raise StoreError("reading a lock: the store answered a date that is none") from error
