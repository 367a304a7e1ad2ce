"""A camera's address and its credentials, as they are given, kept and used.

The registry keeps what may be shown, and beside it one sealed text: the whole address, when anything in it is secret. What
cameras take in path or query (`?token=…`) is as secret as a password. Connecting does not belong here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from index.cameras import Camera
from vault.errors import Damaged, UsageError
from vault.secrets import BLANK, CredentialBox, SplitUrl, has_secret, join_url, redact, split_url

MAX_CREDENTIAL_CHARS = 1024

SCHEMES = ("rtsp", "rtsps", "rtp", "rtmp", "rtmps", "http", "https", "file")
"""What a camera's address may begin with. Which source serves which is decided in `ingest.sources`."""

_HOST = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(\[[^\]/?#]*\]|[^:/?#]*)")
_PORT = re.compile(r"[a-zA-Z]+://(?:\[[^\]/?#]*\]|[^:/?#]*):[0-9]")


@dataclass(frozen=True, slots=True)
class SealedUrl:
    """`url` may be shown and has no userinfo; `secret` opens to the whole address, None when nothing in it is secret."""

    url: str
    secret: str | None = field(repr=False)


def address_of(text: str) -> str:
    """What a person wrote as an address: the bare path of an SDP file stands for its `file:` URL, all else for itself."""
    if "://" in text or not text.lower().endswith(".sdp"):
        return text
    return Path(text).absolute().as_uri()


def seal_url(url: str, box: CredentialBox) -> SealedUrl:
    """For the registry. Raises UsageError, which does not quote the address."""
    whole, user, password = split_url(url)
    if BLANK in whole or BLANK in (user, password):
        raise UsageError(f"what is secret in the address is blanked ({BLANK}); write the address in full")
    public = redact(whole)
    scheme = public.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise UsageError(f"cameras are not recorded over {scheme[:20]}; an address begins with one of {', '.join(SCHEMES)}")
    if scheme == "rtp" and not _PORT.match(public):
        raise UsageError("an rtp:// address needs the port that packets come to: rtp://ADDRESS:PORT")
    return SealedUrl(public, box.seal(url) if has_secret(url) else None)


def readdressed(old: Camera, url: str, credentials: tuple[str, str] | None, box: CredentialBox) -> SealedUrl | None:
    """What a camera has when this address is said of it, with credentials or without. Those that are stored stay with it while its
    host is the same; None where they are another host's, and new ones are needed.

    What is blanked in the address that is shown stands for what it is. The same as before is the same sealed text. Raises UsageError,
    which quotes nothing; Damaged where the stored credentials are needed and do not open.
    """
    split = split_url(address_of(url))
    said = split if credentials is None else SplitUrl(split.url, *credentials)
    is_bare = said.user is None and said.password is None
    if is_bare and said.url == old.url:
        return SealedUrl(old.url, old.secret)
    try:
        had: SplitUrl | None = camera_url(old, box)
    except Damaged:
        if is_bare:
            raise
        had = None
    if had is not None:
        if said.url == old.url:
            said = said._replace(url=had.url)
        if is_bare and _host(said.url) == _host(old.url):
            said = said._replace(user=had.user, password=had.password)
        elif is_bare and (had.user, had.password) != (None, None):
            return None
        if said == had:
            return SealedUrl(old.url, old.secret)
    return seal_url(join_url(*said), box)


def camera_url(camera: Camera, box: CredentialBox) -> SplitUrl:
    """The real address to connect to, with its credentials apart. Raises Damaged when the key does not open it."""
    return split_url(camera.url if camera.secret is None else box.open(camera.secret))


def _host(url: str) -> str:
    """Without its port: a camera that answers on another one, or by TLS, is the same camera."""
    found = _HOST.match(url)
    return "" if found is None else found[1].lower()


def parse_credentials(text: str) -> tuple[str, str]:
    """User and password of one line `USER:PASSWORD`; the password may hold colons. Raises UsageError, quoting nothing."""
    line = text.removesuffix("\n").removesuffix("\r")
    user, colon, password = line.partition(":")
    if not colon or not user:
        raise UsageError("credentials are one line USER:PASSWORD")
    if len(line) > MAX_CREDENTIAL_CHARS or not line.isprintable():
        raise UsageError(f"credentials are one line USER:PASSWORD of at most {MAX_CREDENTIAL_CHARS} printable characters")
    return user, password


def with_credentials(url: str, user: str, password: str) -> str:
    """The address with these credentials in the place of those it had. Raises UsageError."""
    return join_url(url, user, password)
