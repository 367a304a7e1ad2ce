"""Requests out, answers in: CSeq, matching, authentication, and the server's own requests. What the requests mean is the client's."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.rtsp.auth import Authenticator
from ingest.rtsp.message import MessageParser, Request, Response, build_request, build_response, printable
from vault.errors import SourceError, SourceRefused

MAX_OUTPUT_BYTES = 262_144
MAX_PENDING = 64
MAX_CHALLENGES = 3
USER_AGENT = "streamvault"
PUBLIC = "OPTIONS, ANNOUNCE, GET_PARAMETER, SET_PARAMETER, REDIRECT, TEARDOWN"


class Purpose(enum.Enum):
    """What a request is for; its answer goes to the part of the client that sent it."""

    OPTIONS = enum.auto()
    DESCRIBE = enum.auto()
    SETUP = enum.auto()
    PLAY = enum.auto()
    KEEP_ALIVE = enum.auto()
    TEARDOWN = enum.auto()


@dataclass(slots=True)
class Sent:
    """A request on its way. `track` is its track's index, or -1."""

    purpose: Purpose
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    track: int
    cseq: int = 0
    challenges: int = 0


class Exchange:
    """One connection's conversation. `authenticator` outlives it: a nonce holds over connections."""

    def __init__(self, authenticator: Authenticator) -> None:
        self.parser = MessageParser()
        self.server = ""
        """What the server calls itself, printable, at most 100 characters."""
        self._authenticator = authenticator
        self._cseq = 0
        self._pending: deque[Sent] = deque()
        self._output = bytearray()

    @property
    def waiting_for(self) -> str:
        """The method whose answer is due, or an empty string."""
        return self._pending[0].method if self._pending else ""

    @property
    def challenged(self) -> bool:
        """Whether the answer that is due is one to a request repeated with credentials."""
        return bool(self._pending) and self._pending[0].challenges > 0

    def output(self) -> bytes:
        """What is to be written to the connection; handed out once."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def send(
        self,
        purpose: Purpose,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        session: str = "",
        track: int = -1,
    ) -> None:
        """Queues a request. Raises SourceError when too many are unanswered."""
        if session:
            headers = (*headers, ("Session", session))
        self._transmit(Sent(purpose, method, url, tuple(headers), track))

    def drop(self, purpose: Purpose) -> None:
        """Gives up on answers of a purpose, such as keep-alives that a camera never answers."""
        self._pending = deque(sent for sent in self._pending if sent.purpose is not purpose)

    def take(self) -> Iterator[tuple[Sent, Response] | Request]:
        """What the parser completed, in order: answers with their requests, and requests of the server's.

        One at a time, since what is made of one decides what the next one answers.

        A 401 is answered here by the same request with credentials. Answers to nothing are dropped, as is a 1xx.
        Raises SourceRefused when credentials are missing or wrong.
        """
        for message in self.parser.take():
            if isinstance(message, Request):
                yield message
                continue
            if message.status < 200:
                continue
            self.server = self.server or printable(self._authenticator.scrub(message.headers.get("server")))
            sent = self._match(message)
            if sent is None:
                continue
            if message.status == 401 and self._challenged(sent, message):
                continue
            yield sent, replace(message, reason=self._authenticator.scrub(message.reason))

    def answer(self, request: Request, status: int, reason: str, *, public: bool = False) -> None:
        """Answers a request of the server's."""
        headers = [(name, request.headers.get(key)) for name, key in (("CSeq", "cseq"), ("Session", "session"))]
        fields = [(name, value) for name, value in headers if value]
        self._put(build_response(status, reason, [*fields, ("Public", PUBLIC)] if public else fields))

    def _match(self, response: Response) -> Sent | None:
        """The request with the answer's CSeq, else the oldest one: some servers answer with a CSeq of their own."""
        number = response.headers.get("cseq")
        for at, sent in enumerate(self._pending):
            if number == str(sent.cseq):
                del self._pending[at]
                return sent
        return self._pending.popleft() if self._pending else None

    def _challenged(self, sent: Sent, response: Response) -> bool:
        """A nonce may have run out, so one more round with a new one; a second 401 in a row is a wrong password.

        False: the answer is to be taken as it is. A refused keep-alive must not end a stream that the camera still sends.
        """
        try:
            stale = self._authenticator.challenged(response.headers.all("www-authenticate"))
            sent.challenges += 1
            if sent.challenges >= MAX_CHALLENGES or (sent.challenges > 1 and not stale):
                raise SourceRefused(
                    f"it refuses the user and password we have (asks for {self._authenticator.offered}): set the right ones for "
                    "this camera, and look whether the camera has locked the account after failed logins"
                )
        except SourceRefused:
            if sent.purpose is Purpose.KEEP_ALIVE:
                return False
            raise
        self._transmit(sent)
        return True

    def _transmit(self, sent: Sent) -> None:
        if len(self._pending) >= MAX_PENDING:
            raise SourceError(f"{MAX_PENDING} requests are unanswered")
        self._cseq += 1
        sent.cseq = self._cseq
        headers = list(sent.headers)
        authorization = self._authenticator.authorization(sent.method, sent.url)
        if authorization:
            headers.append(("Authorization", authorization))
        headers.append(("User-Agent", USER_AGENT))
        self._pending.append(sent)
        self._put(build_request(sent.method, sent.url, sent.cseq, headers))

    def _put(self, data: bytes) -> None:
        if len(self._output) + len(data) > MAX_OUTPUT_BYTES:
            raise SourceError(f"more than {MAX_OUTPUT_BYTES} bytes wait to be sent: the server asks without reading")
        self._output += data
