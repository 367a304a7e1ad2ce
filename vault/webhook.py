"""Posting one JSON document to somebody's address. What is posted and when again belongs to the caller."""

from __future__ import annotations

import json
import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

from vault.errors import ConfigError, NotFound, Refused, SourceError

_TOKEN = re.compile(r"[!-~]{1,1024}")


class Webhook:
    """One address. Not thread-safe; waits at most for its timeout, follows no redirect."""

    def __init__(
        self, url: str, token_file: Path | None = None, ca_file: Path | None = None, timeout_seconds: float = 10.0
    ) -> None:
        """Raises ConfigError for authorities that are none. The token is read anew for each post, so it may be changed."""
        try:
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{ca_file}: holds no certificates in PEM; alarms.tls_ca_file names it") from error
        self._url = url
        self._where = urllib3.util.parse_url(url).netloc or "?"
        self._token_file = token_file
        self._pool = urllib3.PoolManager(
            1, timeout=timeout_seconds, retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False), ssl_context=context
        )

    def post(self, document: Mapping[str, object]) -> None:
        """Raises SourceError unless the answer is a 2xx; a repeat is then in order. The address's path is in no message: such
        addresses often are secrets themselves."""
        headers = {"content-type": "application/json"}
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {_token(self._token_file)}"
        body = json.dumps(document, ensure_ascii=False).encode()
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, redirect=False, preload_content=False)
            answer.release_conn()
        except (HTTPError, OSError) as error:
            raise SourceError(f"posting to the webhook at {self._where}: {type(error).__name__}") from error
        if not 200 <= answer.status < 300:
            answer.close()
            raise SourceError(f"posting to the webhook at {self._where}: it answered {answer.status}")

    def close(self) -> None:
        """Repeatable."""
        self._pool.clear()


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(2048).decode("ascii", "replace").strip()
    except OSError as error:
        raise NotFound(
            f"{path}: the webhook's token cannot be read: {error.strerror}; alarms.webhook_token_file names it"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise Refused(f"{path}: others may read the webhook's token; run `chmod 600 {path}`")
    if not _TOKEN.fullmatch(text):
        raise Refused(f"{path}: is not a token: one line of at most 1,024 printable characters")
    return text
