"""A camera's address and its credentials, as they are given, kept and used.

The registry keeps what may be shown, and beside it one sealed text: the whole address, when anything in it is secret. What
cameras take in path or query (`?token=…`) is as secret as a password. Connecting does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from index.cameras import Camera
from vault.errors import UsageError
from vault.secrets import CredentialBox, SplitUrl, has_secret, join_url, redact, split_url

MAX_CREDENTIAL_CHARS = 1024

SCHEMES = ("rtsp", "rtsps", "rtp", "rtmp", "rtmps", "http", "https", "file")
"""What a camera's address may begin with. Which source serves which is decided in `ingest.sources`."""


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
    public = redact(split_url(url).url)
    scheme = public.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise UsageError(f"cameras are not recorded over {scheme[:20]}; an address begins with one of {', '.join(SCHEMES)}")
    return SealedUrl(public, box.seal(url) if has_secret(url) else None)


def camera_url(camera: Camera, box: CredentialBox) -> SplitUrl:
    """The real address to connect to, with its credentials apart. Raises Damaged when the key does not open it."""
    return split_url(camera.url if camera.secret is None else box.open(camera.secret))


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
