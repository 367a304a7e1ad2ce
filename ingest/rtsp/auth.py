"""Basic (RFC 7617) and Digest (RFC 7616, RFC 2617) authentication of requests. Keeps the secret out of every text it makes."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from vault.errors import SourceRefused

MAX_CHALLENGE_CHARS = 8192
MAX_CHALLENGES = 16

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"?', re.DOTALL)
_BARE = re.compile(r"[^,\s]*")
_SCHEMES = {"basic": "Basic", "digest": "Digest"}
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_STRENGTH = {"Basic": 0, "MD5": 1, "SHA-256": 2, "SHA-512-256": 3}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password; neither shows in `repr`."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: `scheme` is `Basic`, `Digest` or as written, parameter names are in lower case."""

    scheme: str
    params: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Upper case; MD5 when none is given (RFC 7616 §3.3)."""
        return self.params.get("algorithm", "MD5").upper()

    @property
    def strength(self) -> int:
        """Higher is better; -1 is one that we do not do."""
        if self.scheme == "Basic":
            return _STRENGTH["Basic"]
        if self.scheme != "Digest" or "nonce" not in self.params or self.chosen_qop is None:
            return -1
        return _STRENGTH.get(self.algorithm.removesuffix("-SESS"), -1)

    @property
    def chosen_qop(self) -> str | None:
        """`auth`, `auth-int`, an empty string when the server names none (RFC 2069's form), or None: none that we do."""
        offered = [item.strip().lower() for item in self.params.get("qop", "").split(",") if item.strip()]
        if not offered:
            return ""
        return next((qop for qop in ("auth", "auth-int") if qop in offered), None)


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """The challenges of WWW-Authenticate fields, in order. A field may hold several (RFC 7235 §4.1); what is odd is passed over."""
    out: list[Challenge] = []
    for value in values:
        text = value[:MAX_CHALLENGE_CHARS]
        at = 0
        while at < len(text) and len(out) < MAX_CHALLENGES:
            token = _TOKEN.match(text, at)
            if token is None:
                at += 1
                continue
            at = _skip_blanks(text, token.end())
            if text[at : at + 1] != "=":
                out.append(Challenge(_SCHEMES.get(token[0].lower(), token[0]), {}))
                continue
            at = _skip_blanks(text, at + 1)
            quoted = _QUOTED.match(text, at)
            if quoted:
                content, at = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), quoted.end()
            else:
                bare = _BARE.match(text, at)
                content, at = (bare[0], bare.end()) if bare else ("", at + 1)
            if out:
                out[-1].params.setdefault(token[0].lower(), content)
    return out


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def describe_challenges(challenges: Sequence[Challenge]) -> str:
    """Such as `Digest SHA-256, Digest MD5, Basic`: what a server asks for, without its nonces."""
    names = [f"Digest {item.algorithm[:20]}" if item.scheme == "Digest" else item.scheme[:20] for item in challenges]
    return ", ".join(dict.fromkeys(names))


class Authenticator:
    """Answers a server's challenges with one set of credentials, for the life of one camera's client."""

    def __init__(self, credentials: Credentials | None, cnonce: Callable[[], str] = lambda: secrets.token_hex(12)) -> None:
        self._credentials = credentials
        self._secrets = _secret_texts(credentials)
        self._cnonce = cnonce
        self._challenge: Challenge | None = None
        self._nonce_count = 0
        self._session_cnonce = ""
        self.offered = ""
        """What the server last asked for, fit for a message."""

    def __repr__(self) -> str:
        return f"Authenticator(offered={self.offered!r})"

    @property
    def scheme(self) -> str:
        """What we answer with, such as `Digest SHA-256`; empty before a challenge."""
        return describe_challenges([self._challenge]) if self._challenge else ""

    def scrub(self, text: str) -> str:
        """A text of the server's without what we may have sent it: the password, plain or inside a Basic header."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def forget(self) -> None:
        """Drops credentials and challenge: the connection goes on to a host that they were not given for."""
        self._credentials = None
        self._challenge = None

    def challenged(self, values: Sequence[str]) -> bool:
        """Takes the strongest challenge of a 401. True when the server says the old nonce was only stale.

        Raises SourceRefused when there are no credentials, or when no scheme is offered that we do.
        """
        challenges = parse_challenges(values)
        self.offered = describe_challenges(challenges)
        best = max(challenges, key=lambda item: item.strength, default=None)
        if best is None or best.strength < 0:
            raise SourceRefused(
                f"it asks for authentication in a way we do not know ({self.offered or 'no WWW-Authenticate'}): "
                "set the camera to Digest (MD5, SHA-256) or Basic"
            )
        if self._credentials is None:
            raise SourceRefused(
                f"it asks for a user and a password ({self.offered}) and none are given: set them for this camera"
            )
        self._challenge = best
        self._nonce_count = 0
        self._session_cnonce = ""
        return best.params.get("stale", "").lower() == "true"

    def authorization(self, method: str, url: str, body: bytes = b"") -> str | None:
        """The Authorization field's value for a request, or None when no challenge was seen."""
        if self._challenge is None or self._credentials is None:
            return None
        if self._challenge.scheme == "Basic":
            pair = f"{self._credentials.user}:{self._credentials.password}".encode()
            return "Basic " + base64.b64encode(pair).decode("ascii")
        return self._digest(self._challenge, self._credentials, method, url, body)

    def _digest(self, challenge: Challenge, credentials: Credentials, method: str, url: str, body: bytes) -> str:
        """RFC 7616 §3.4; without qop the form of RFC 2069, which most cameras still speak."""
        params, qop = challenge.params, challenge.chosen_qop
        realm, nonce = params.get("realm", ""), params["nonce"]
        hash_name = _HASHES[challenge.algorithm.removesuffix("-SESS")]

        def digest(data: str | bytes) -> str:
            return hashlib.new(hash_name, data.encode() if isinstance(data, str) else data, usedforsecurity=False).hexdigest()

        self._nonce_count += 1
        count = f"{self._nonce_count:08x}"
        cnonce = self._session_cnonce or self._cnonce()
        secret = digest(f"{credentials.user}:{realm}:{credentials.password}")
        if challenge.algorithm.endswith("-SESS"):
            self._session_cnonce = cnonce
            secret = digest(f"{secret}:{nonce}:{cnonce}")
        target = digest(f"{method}:{url}:{digest(body)}" if qop == "auth-int" else f"{method}:{url}")
        middle = f"{nonce}:{count}:{cnonce}:{qop}" if qop else nonce
        user = digest(f"{credentials.user}:{realm}") if params.get("userhash", "").lower() == "true" else credentials.user
        fields = [
            f"username={_quote(user)}",
            f"realm={_quote(realm)}",
            f"nonce={_quote(nonce)}",
            f"uri={_quote(url)}",
            f'response="{digest(f"{secret}:{middle}:{target}")}"',
        ]
        if "algorithm" in params:
            fields.append(f"algorithm={_token(params['algorithm'])}")
        if "opaque" in params:
            fields.append(f"opaque={_quote(params['opaque'])}")
        if qop:
            fields += [f"qop={qop}", f"nc={count}"]
        if qop or self._session_cnonce:
            fields.append(f'cnonce="{cnonce}"')
        if params.get("userhash", "").lower() == "true":
            fields.append("userhash=true")
        return "Digest " + ", ".join(fields)


def _secret_texts(credentials: Credentials | None) -> tuple[str, ...]:
    if credentials is None or not credentials.password:
        return ()
    basic = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode("ascii")
    return (basic, credentials.password, quote(credentials.password, safe=""))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _token(text: str) -> str:
    found = _TOKEN.match(text)
    return found[0] if found else "MD5"
