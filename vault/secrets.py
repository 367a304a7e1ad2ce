"""Camera credentials: sealed at rest, split off URLs, blanked wherever a URL is shown.

Who may read footage is not decided here. Nothing in this module ever puts a password into a message or a repr.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from cryptography.fernet import Fernet, InvalidToken

from vault.errors import Damaged, Refused, UsageError
from vault.files import read_key_file, store_error, write_new_file

MAX_URL_CHARS = 4096
BLANK = "***"

# Loose on purpose: it has to tell a host from the front half of `user:pass/word@host`; what it means, the resolver says.
_HOST = re.compile(r"(?:\[[0-9A-Za-z:.%_-]+\]|[^:\[\]]+)(?::[0-9]{0,5})?")
_PORT = re.compile(r":([0-9]{1,5})\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://")
# In running text a URL ends at white space. Everything up to the last @ of it is blanked, path or not: a password with a raw
# slash, quote or @ in it must not show, and a path with an @ may look shorter.
_WORD = re.compile(r"\S+")
_MAYBE = re.compile(r"(?i)://|=|%3d")
# Cameras also take credentials in path or query: /user=admin_password=secret_channel=1_stream=0.sdp, ?token=….
_PARAMETER = re.compile(r"(?i)(password|passwd|passphrase|pass|pwd|psw|token|secret|auth|signature|sig|api_?key)(=|%3d)[^&\s]*")


class SplitUrl(NamedTuple):
    """A URL without its credentials, and those. `user` and `password` are percent-decoded; None where the URL has none."""

    url: str
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        """The credentials are left out, so that a log or a traceback may show it."""
        return f"SplitUrl(url={redact(self.url)!r}, user={_shown(self.user)}, password={_shown(self.password)})"


def _shown(secret: str | None) -> str:
    return "None" if secret is None else f"'{BLANK}'"


def split_url(url: str) -> SplitUrl:
    """Take user and password off a URL of any scheme with `//`. Raises UsageError, which does not quote the URL.

    As cameras' owners write them (RFC 3986 §3.2.1 is stricter): the authority ends at the first `/`, `?` or `#`, its host
    begins behind its last `@`, the user ends at the first `:`; a `%` that begins no escape is a percent sign. A password with
    a raw `/`, `?` or `#` is refused with a hint, not misread as a host.
    """
    if len(url) > MAX_URL_CHARS:
        raise UsageError(f"a URL may have at most {MAX_URL_CHARS} characters; this one has {len(url)}")
    if not url.isprintable() or " " in url or any(character.isspace() for character in url):
        raise UsageError("the URL has a space or a control character in it; write a space in a password as %20")
    match = _SCHEME.match(url)
    if match is None:
        raise UsageError("the URL must begin with a scheme, as in rtsp://192.0.2.1/stream")
    begin = match.end()
    end = min((at for mark in "/?#" if (at := url.find(mark, begin)) >= 0), default=len(url))
    userinfo, at_sign, host = url[begin:end].rpartition("@")
    # A file stands on this machine and names no host (RFC 8089 §2).
    if not _HOST.fullmatch(host) and (host or not url.lower().startswith("file:///")):
        if "@" in url[end:] and not at_sign:
            raise UsageError("the URL's password seems to have a '/', '?' or '#' in it: write them as %2F, %3F, %23")
        raise UsageError("the URL names no host, or one that can be none; an IPv6 address stands in brackets")
    port = _PORT.search(host)
    if port is not None and not 1 <= int(port[1]) <= 65535:
        raise UsageError(f"the URL's port {int(port[1])} can be none: ports are 1 to 65535")
    public = url[:begin] + host + url[end:]
    if not at_sign:
        return SplitUrl(public, None, None)
    user, colon, password = userinfo.partition(":")
    return SplitUrl(public, _unescape(user), _unescape(password) if colon else None)


def join_url(url: str, user: str | None, password: str | None) -> str:
    """Put credentials into a URL, percent-encoded; those that it had are replaced. Raises UsageError."""
    public = split_url(url).url
    if user is None and password is None:
        return public
    begin = public.index("://") + 3
    userinfo = quote(user or "", safe="", errors="surrogateescape")
    if password is not None:
        userinfo += ":" + quote(password, safe="", errors="surrogateescape")
    return f"{public[:begin]}{userinfo}@{public[begin:]}"


def redact(text: str) -> str:
    """Any text with the credentials of every URL in it blanked: userinfo, and parameters such as `password=` or `token=`.

    In doubt it blanks too much. Applying it twice changes nothing more.
    """
    return _WORD.sub(_blank, text) if _MAYBE.search(text) else text


def has_secret(url: str) -> bool:
    """Whether anything in a URL is secret: then store it sealed as a whole and show `redact(url)`."""
    return redact(url) != url


class CredentialBox:
    """Seals short texts with the data folder's key (Fernet: AES-128-CBC with HMAC-SHA-256, a random nonce)."""

    __slots__ = ("_fernet", "_path")

    def __init__(self, path: Path) -> None:
        """Read the key file. Raises NotFound, Refused when others may read it, Damaged, StoreError."""
        self._path = path
        data = read_key_file(path, "the key of the camera credentials", 1024)
        try:
            self._fernet = Fernet(data.strip())
        except ValueError:
            # Without `from`: the cause must not carry bytes of a key into a traceback.
            raise Damaged(f"{path}: is not a key; restore it from its backup") from None

    @classmethod
    def create(cls, path: Path) -> CredentialBox:
        """Make a new random key in a new file of mode 0600, durable. Raises Refused when there is one, StoreError."""
        try:
            write_new_file(path, Fernet.generate_key() + b"\n")
        except FileExistsError:
            raise Refused(f"{path}: a key is there already; a new one would make every stored credential unreadable") from None
        except OSError as error:
            raise store_error(f"writing the key file {path}", error) from error
        return cls(path)

    def __repr__(self) -> str:
        return f"CredentialBox({str(self._path)!r})"

    def seal(self, text: str) -> str:
        """An ASCII token that only this key opens."""
        return self._fernet.encrypt(text.encode("utf-8", "surrogateescape")).decode("ascii")

    def open(self, token: str) -> str:
        """The text in a token. Raises Damaged for a token of another key or a changed one."""
        try:
            return self._fernet.decrypt(token.encode("ascii", "replace")).decode("utf-8", "surrogateescape")
        except (InvalidToken, UnicodeDecodeError):
            raise Damaged(
                f"a stored credential does not open with {self._path}: the key is another one or the entry is damaged; "
                "restore the key or set the credential anew"
            ) from None


def _blank(word: re.Match[str]) -> str:
    # By hand and not by one expression, which would search again from every scheme of a hostile text.
    text = word[0]
    begin, end = text.find("://"), text.rfind("@")
    if not 0 <= begin < end:
        return _PARAMETER.sub(rf"\1\2{BLANK}", text)
    rest = end + 1
    tail = ""
    for parameter in _PARAMETER.finditer(text):
        # A parameter's value with an @ in it: what stands behind the @ is secret too.
        if parameter.start() < rest < parameter.end():
            rest, tail = parameter.end(), BLANK
    return f"{text[: begin + 3]}{BLANK}@{tail}" + _PARAMETER.sub(rf"\1\2{BLANK}", text[rest:])


def _unescape(text: str) -> str:
    # Bytes that are no UTF-8 (a Latin-1 password) survive the way through str and back by surrogates.
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")
