"""RTSP addresses: taking them apart, showing them without secrets, control URLs and the rule for redirects. No name lookup."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vault.errors import UsageError
from vault.secrets import redact, split_url

MAX_URL_CHARS = 2048
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}

_USERINFO = re.compile(r"(?i)([a-z][a-z0-9+.-]{0,20}://)[^/?\s]*@")
_ABSOLUTE = re.compile(r"(?i)rtsps?://[^/?\s]")
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=-]{1,255}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?\]")


@dataclass(frozen=True, slots=True)
class RtspUrl:
    """An address without userinfo. `port` is the real one; `authority` is written as it was given; `target` begins with `/`."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str

    @property
    def tls(self) -> bool:
        return self.scheme == "rtsps"

    @property
    def request(self) -> str:
        """What stands in a request line."""
        return f"{self.scheme}://{self.authority}{self.target}"


def split_rtsp_url(text: str) -> tuple[RtspUrl, str | None, str | None]:
    """An `rtsp://` or `rtsps://` address as (address without userinfo, user, password). Raises UsageError, which shows no secret."""
    shown = shown_url(text)
    if len(text) > MAX_URL_CHARS:
        raise UsageError(f"'{shown}' is not an RTSP address: longer than {MAX_URL_CHARS} characters")
    bare, user, password = split_url(text.strip())
    scheme, _, rest = bare.partition("://")
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise UsageError(f"'{shown}' is not an RTSP address: write rtsp://host[:port]/path or rtsps://…")
    rest = rest.partition("#")[0]
    cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, target = rest[:cut], rest[cut:]
    host, port = _host_port(authority, scheme, shown)
    return RtspUrl(scheme, host, port, authority, target if target.startswith("/") else "/" + target), user, password


def _host_port(authority: str, scheme: str, shown: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        host += bracket
        port_text = rest[1:] if rest.startswith(":") else rest
    else:
        host, _, port_text = authority.partition(":")
    if not _HOST.fullmatch(host):
        raise UsageError(f"'{shown}' has no usable host name: write rtsp://host[:port]/path")
    if port_text == "":
        return host.strip("[]"), DEFAULT_PORTS[scheme]
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 1 <= int(port_text) <= 65535):
        raise UsageError(
            f"'{shown}' has no usable port: write a number from 1 to 65535 behind the host's colon, and '/', '?', '#' of a password as %2F, %3F, %23"
        )
    return host.strip("[]"), int(port_text)


def shown_url(text: str) -> str:
    """An address fit for a message: no credentials, printable, at most 200 characters."""
    shown = "".join(char if char.isprintable() else "?" for char in redact(text[: 4 * MAX_URL_CHARS]))
    return shown if len(shown) <= 200 else shown[:199] + "…"


def is_absolute(text: str) -> bool:
    return _ABSOLUTE.match(text) is not None


def without_userinfo(text: str) -> str:
    """An absolute URL as a server wrote it, less any user and password in it."""
    return _USERINFO.sub(r"\1", text)


def base_url(request: str, content_base: str, content_location: str) -> str:
    """What relative control URLs hang on (RFC 2326 §C.1.1): Content-Base, Content-Location, the request's own URL.

    A value that is not an absolute RTSP URL is passed over: cameras write paths, file names and nothing at all there.
    """
    for text in (content_base.strip().strip('"'), content_location.strip().strip('"')):
        if len(text) <= MAX_URL_CHARS and is_absolute(text):
            return without_userinfo(text)
    return request


def control_urls(base: str, control: str) -> tuple[str, ...]:
    """Where to send SETUP for a track, the likeliest first; the next is for a server that answers 404 to the one before.

    RFC 2326 §C.1.1 asks for resolution as of RFC 1808, which would drop the last path segment and the query of the base.
    Cameras do not expect that: they expect the control text appended behind a `/` to the base as it is, query included
    (`…/realmonitor?channel=1&subtype=0/trackID=0`). For a base with a query the other reading, the text in the path
    before the query, is the second candidate.
    """
    control = control.strip()
    if control in ("", "*"):
        return (base,)
    if is_absolute(control):
        return (without_userinfo(control),)
    appended = _append(base, control)
    path, mark, query = base.partition("?")
    if not mark or control.startswith("?"):
        return (appended,)
    return (appended, _append(path, control) + mark + query.rstrip("/"))


def _append(base: str, control: str) -> str:
    if control.startswith("?"):
        return base + control
    return base.rstrip("/") + "/" + control.lstrip("/")


def redirect(current: RtspUrl, location: str) -> tuple[RtspUrl, bool]:
    """Where a redirect leads and whether credentials may go there. Raises UsageError when it may not be followed.

    Only rtsp and rtsps are followed, and never from rtsps to rtsp. Credentials go along to the same host only: to another
    host a Basic header would give the password away, and a Digest one something to guess it from.
    """
    target = location.strip().strip('"')
    if target.startswith("/"):
        target = f"{current.scheme}://{current.authority}{target}"
    address, _, _ = split_rtsp_url(target)
    if current.tls and not address.tls:
        raise UsageError(f"the redirect to '{shown_url(target)}' would leave TLS")
    return address, address.host.lower() == current.host.lower()
