"""HTTP to an object store: one pool of connections, a deadline for each request, bounded answers. Signs and means nothing.

It is a `urllib3.PoolManager`, so that the minio client's own requests come through it too: `urlopen` is its public seam, and
whatever passes it has the same deadlines, follows no redirect (a signed request fits one host) and is never repeated here.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from vault.clock import Clock
from vault.errors import ConfigError, StoreError
from vault.timebase import US

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer that is not footage: a listing of 1,000 names with the longest keys is under 4 MB."""

_PIECE_BYTES = 256 * 1024

Body = bytes | Iterable[bytes | memoryview] | None


class StoreAway(StoreError):
    """No answer: refused, timed out, cut off, or a certificate that does not fit. Nothing is known of what was asked."""


class Http(urllib3.PoolManager):
    """The pool. Safe for several threads; closed by `clear()`."""

    def __init__(
        self, *, clock: Clock, idle_seconds: float, request_seconds: float, connections: int, ca_file: Path | None
    ) -> None:
        """`idle_seconds`: longest wait for the other side's next move; `request_seconds`: for a request as a whole.

        Raises ConfigError when the file of authorities is none.
        """
        try:
            # None: the system's authorities.
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{ca_file}: holds no certificates in PEM; store.tls_ca_file names it") from error
        super().__init__(
            maxsize=connections,
            block=False,
            timeout=urllib3.Timeout(connect=idle_seconds, read=idle_seconds),
            retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False, raise_on_status=False),
            ssl_context=context,
        )
        self._clock = clock
        self._request_us = round(request_seconds * US)

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = False, *, limit: int = MAX_ANSWER_BYTES, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request and read its answer whole, at most `limit` bytes of it. Any status is an answer.

        Raises StoreAway for every way of not getting one.
        """
        end_us = self._clock.mono_us() + self._request_us
        body: Body = kw.pop("body", None)
        if body is not None and not isinstance(body, bytes):
            body = self._in_time(body, end_us)
        kw.update(preload_content=False, decode_content=False, body=body)
        try:
            with super().urlopen(method, url, redirect=False, **kw) as response:
                data = b"" if method == "HEAD" else self._read(response, limit, end_us)
                return urllib3.HTTPResponse(
                    body=io.BytesIO(data), headers=response.headers, status=response.status, reason=response.reason,
                    preload_content=True, decode_content=False, request_method=method,
                )  # fmt: skip
        except MaxRetryError as error:
            raise StoreAway(_reason(error.reason or error)) from error
        except (HTTPError, OSError) as error:
            raise StoreAway(_reason(error)) from error

    def _read(self, response: urllib3.BaseHTTPResponse, limit: int, end_us: int) -> bytes:
        pieces = []
        length = 0
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
            length += len(piece)
            if length > limit:
                raise StoreAway(f"answered with more than the {limit} bytes that were asked for")
            self._check(end_us)
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) != length:
            raise StoreAway(f"cut its answer off after {length} of {announced} bytes")
        return b"".join(pieces)

    def _in_time(self, body: Iterable[bytes | memoryview], end_us: int) -> Iterator[bytes | memoryview]:
        for piece in body:
            self._check(end_us)
            yield piece

    def _check(self, end_us: int) -> None:
        if self._clock.mono_us() > end_us:
            raise StoreAway(f"was not done within {self._request_us / US:g} seconds")


def _reason(error: BaseException) -> str:
    """Few words for people; urllib3's own repr names objects and addresses in memory."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        following = cause.__cause__ or cause.__context__
        if following is None or following is error:
            break
        cause = following
    if isinstance(cause, TimeoutError):
        return "did not answer in time"
    if isinstance(cause, ssl.SSLError):
        return f"is not trusted over TLS: {(getattr(cause, 'verify_message', '') or cause.reason or 'handshake ended')[:120]}"
    if isinstance(cause, OSError) and cause.strerror:
        return f"is not there: {cause.strerror}"
    return f"broke the connection off ({type(cause).__name__})"
