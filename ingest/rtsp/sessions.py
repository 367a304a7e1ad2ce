"""Session ids, their timeout and how to keep them alive (RFC 2326 §12.37). When to send is told; sending is the client's."""

from __future__ import annotations

from ingest.rtsp.transport import DEFAULT_SESSION_SECONDS, parse_session
from vault.timebase import US

MAX_KEEP_ALIVE_US = 60 * US


class Sessions:
    """The sessions of one connection: nearly always one; a server without aggregate control gives one per track."""

    def __init__(self) -> None:
        self.timeout_us = DEFAULT_SESSION_SECONDS * US
        self._by_url: dict[str, str] = {}
        self._due_us: int | None = None
        self._method = ""

    @property
    def latest(self) -> str:
        """The id to send with the next SETUP; empty when none was given."""
        return next(reversed(self._by_url.values()), "")

    @property
    def per_url(self) -> tuple[tuple[str, str], ...]:
        """Control URL and session id of each track that is set up, in order."""
        return tuple(self._by_url.items())

    @property
    def distinct(self) -> tuple[str, ...]:
        """Each session id once; one empty id when the server gives none."""
        return tuple(dict.fromkeys(self._by_url.values()))

    def learn(self, url: str, header: str) -> None:
        """A SETUP was answered. Without a Session header the track belongs to the session that there is."""
        if not header:
            self._by_url[url] = self.latest
            return
        identifier, seconds = parse_session(header)
        self.timeout_us = min(self.timeout_us, seconds * US) if self._by_url else seconds * US
        self._by_url[url] = identifier

    def keep_alive_due(self, now_us: int, public: frozenset[str]) -> str:
        """The method to send now for every session, or an empty string: at half the timeout, and at least once a minute.

        GET_PARAMETER when the server offers it, else OPTIONS, which every server knows.
        """
        if self._due_us is None:
            self._method = "GET_PARAMETER" if "GET_PARAMETER" in public else "OPTIONS"
        elif now_us < self._due_us:
            return ""
        method = "" if self._due_us is None else self._method
        self._due_us = now_us + min(self.timeout_us // 2, MAX_KEEP_ALIVE_US)
        return method

    def keep_alive_answered(self, method: str, status: int) -> None:
        """A server that offers GET_PARAMETER and then refuses it is asked with OPTIONS from now on."""
        if method == "GET_PARAMETER" and status >= 400:
            self._method = "OPTIONS"
