"""Coverage-guided fuzzing of descriptions, challenges and the header fields of SETUP and PLAY.

`python tests/fuzz/fuzz_sdp.py [CORPUS …] [-max_total_time=60]` needs atheris; the functions can be imported without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import contextlib

with contextlib.suppress(ImportError):
    import atheris

    with atheris.instrument_imports(include=["ingest.rtsp"]):
        import ingest.rtsp.auth
        import ingest.rtsp.formats
        import ingest.rtsp.transport  # noqa: F401

from ingest.rtsp.auth import Authenticator, Credentials, parse_challenges
from ingest.rtsp.formats import MAX_SET_BYTES, MAX_SETS, parameter_sets, wanted_media, why_not_recorded
from ingest.rtsp.sdp import MAX_FORMATS, MAX_MEDIA, parse_sdp
from ingest.rtsp.transport import parse_session, parse_transport
from ingest.rtsp.urls import base_url, control_urls, redirect, shown_url, split_rtsp_url
from tests.support.fuzzing import run
from tests.support.rtsp_script import FIXTURES
from vault.errors import SourceError, SourceRefused, UsageError

MAX_INPUT_BYTES = 65_536
HERE, _, _ = split_rtsp_url("rtsps://192.0.2.7/live")


def fuzz_sdp(data: bytes) -> None:
    try:
        description = parse_sdp(data)
    except SourceError:
        return
    assert len(description.media) <= MAX_MEDIA
    for at in wanted_media(description.media):
        assert why_not_recorded(description.media[at]) is None
    for media in description.media:
        assert 1 <= len(media.formats) <= MAX_FORMATS
        assert 0 <= media.framerate <= 1000
        assert control_urls(HERE.request, media.control)
        for item in media.formats:
            sets = parameter_sets(media, item)
            assert len(sets) <= 3 * MAX_SETS
            assert all(2 <= len(one) <= MAX_SET_BYTES for one in sets)


def fuzz_challenge(text: str) -> None:
    parse_challenges([text])
    authenticator = Authenticator(Credentials("viewer", "n0t-to-be-seen"))
    try:
        authenticator.challenged([text, "Digest " + text])
    except SourceRefused:
        return
    answer = authenticator.authorization("SETUP", "rtsp://192.0.2.7/")
    assert answer
    assert "n0t-to-be-seen" not in answer


def fuzz_fields(text: str) -> None:
    parse_session(text)
    parse_transport(text)
    base_url(HERE.request, text, text)
    assert len(shown_url(text)) <= 200
    with contextlib.suppress(UsageError):
        address, _ = redirect(HERE, text)
        assert address.tls
        assert 1 <= address.port <= 65535


def fuzz(data: bytes) -> None:
    """The entry: the first byte chooses the target."""
    data = data[:MAX_INPUT_BYTES]
    kind, rest = data[:1], data[1:]
    if kind == b"c":
        fuzz_challenge(rest.decode("utf-8", "replace"))
    elif kind == b"f":
        fuzz_fields(rest.decode("utf-8", "replace"))
    else:
        fuzz_sdp(data)


def seeds() -> list[bytes]:
    """The descriptions, challenges and fields of the odd servers' fixtures."""
    out: list[bytes] = []
    for path in sorted(FIXTURES.glob("*.rtsp")):
        text = path.read_text("utf-8")
        begin = text.find("v=0\n")
        if begin >= 0:
            out.append(text[begin : text.find("> ", begin)].encode())
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if name == "WWW-Authenticate":
                out.append(b"c" + value.encode())
            elif name in ("Transport", "Session", "Content-Base", "Location"):
                out.append(b"f" + value.encode())
    return sorted(set(out))


if __name__ == "__main__":
    run(fuzz, seeds())
