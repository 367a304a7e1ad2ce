"""The server's side of Basic and Digest authentication (RFC 7617, RFC 7616 as RFC 2326 uses them). Pure values."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


class Scheme(StrEnum):
    """How a simulated camera asks for a password."""

    BASIC = "basic"
    MD5 = "md5"
    SHA256 = "sha256"


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """One user and password. `challenge` goes out with a 401, `admits` judges the answer. Its repr shows no password."""

    scheme: Scheme
    user: str
    password: str
    realm: str = "simulated camera"
    nonce: str = ""

    @classmethod
    def make(cls, scheme: Scheme, user: str, password: str) -> Gate:
        """A gate with a fresh nonce."""
        return cls(scheme, user, password, nonce=secrets.token_hex(16))

    def challenge(self) -> str:
        """The value of `WWW-Authenticate`."""
        if self.scheme is Scheme.BASIC:
            return f'Basic realm="{self.realm}"'
        name = "MD5" if self.scheme is Scheme.MD5 else "SHA-256"
        return f'Digest realm="{self.realm}", nonce="{self.nonce}", algorithm={name}'

    def admits(self, method: str, header: str) -> bool:
        """Whether the value of an `Authorization` header proves the password for this method."""
        kind, _, rest = header.strip().partition(" ")
        if self.scheme is Scheme.BASIC:
            if kind.lower() != "basic":
                return False
            try:
                given = base64.b64decode(rest.strip(), validate=True)
            except (binascii.Error, ValueError):
                return False
            return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())
        if kind.lower() != "digest":
            return False
        said = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(rest)}
        if said.get("username") != self.user or said.get("realm") != self.realm or said.get("nonce") != self.nonce:
            return False
        expected = self._response(method, said)
        return hmac.compare_digest(said.get("response", "").lower().encode(), expected.encode())

    def _response(self, method: str, said: dict[str, str]) -> str:
        """RFC 7616 §3.4.1, with and without a quality of protection."""
        hashing = hashlib.md5 if self.scheme is Scheme.MD5 else hashlib.sha256

        def digest(text: str) -> str:
            return hashing(text.encode()).hexdigest()

        first = digest(f"{self.user}:{self.realm}:{self.password}")
        second = digest(f"{method}:{said.get('uri', '')}")
        if said.get("qop"):
            return digest(":".join([first, self.nonce, said.get("nc", ""), said.get("cnonce", ""), said["qop"], second]))
        return digest(f"{first}:{self.nonce}:{second}")
