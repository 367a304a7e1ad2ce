"""What libav is not let do, and what is said of servers and files that are no stream: over real sockets, through `camera probe`'s way."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ingest.libavsource import request_for
from ingest.probe import Probed, probe
from tests.support.certificate import certificate
from tests.support.feeds import make_movie
from vault.clock import SystemClock
from vault.config import Recording
from vault.errors import SourceError, SourceRefused
from vault.media import Codec
from vault.secrets import split_url

USER, PASSWORD = "viewer", "s3:cr@t/?"


class Handler(SimpleHTTPRequestHandler):
    """Files; `/to?URL` sends on to the URL, `/guarded/…` asks for a password."""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
            return
        if self.path.startswith("/guarded/"):
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.path = self.path.removeprefix("/guarded")
        with contextlib.suppress(ConnectionError):
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@contextlib.contextmanager
def serving(folder: Path, pem: Path | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"{'https' if pem else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("www")
    make_movie(made / "a.ts", Codec.H264, Codec.AAC)
    (made / "random.mp4").write_bytes(bytes(index * index * 31 >> 3 & 255 for index in range(200_000)))
    (made / "empty.mp4").write_bytes(b"")
    (made / "text.mp4").write_text("hello " * 1000)
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6.0,\n"
    (made / "good.m3u8").write_text(f"{head}a.ts\n#EXT-X-ENDLIST\n")
    (made / "bad.m3u8").write_text(f"{head}{(made / 'a.ts').as_uri()}\n#EXT-X-ENDLIST\n")
    (made / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.ts\n")
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    with serving(folder) as url:
        yield url


def listen(url: str, *, ca: str = "", timeout: float = 10) -> Probed:
    recording = Recording(tls_ca_file=ca, connect_timeout_seconds=timeout)
    return probe(split_url(url), "auto", recording, SystemClock(), 1)


@pytest.mark.parametrize("path", ["a.ts", "to?a.ts", "good.m3u8"])
def test_what_a_web_server_has_is_played(server: str, path: str) -> None:
    found = listen(f"{server}/{path}")
    assert [track.codec for track in found.tracks] == ["h264", "aac"]
    assert found.recordable


def test_credentials_reach_the_server_whatever_is_in_them(server: str) -> None:
    url = f"{server}/guarded/a.ts"
    assert listen(url.replace("://", "://viewer:s3:cr%40t%2F%3F@")).recordable
    for wrong in (url, url.replace("://", "://viewer:an%40other@")):
        with pytest.raises(SourceRefused, match="401") as caught:
            listen(wrong)
        assert "other" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    ["file://{folder}/a.ts", "concat:{folder}/a.ts", "data:video/mp2t;base64,R0A=", "subfile,,start,0,end,0,,:{folder}/a.ts"],
)
def test_a_server_cannot_send_us_on_to_our_own_files(server: str, folder: Path, target: str) -> None:
    with pytest.raises(SourceError) as caught:
        listen(f"{server}/to?{target.format(folder=folder)}")
    assert any(word in str(caught.value) for word in ("not on whitelist", "Invalid argument", "Protocol not found", "404"))


def test_a_playlist_cannot_name_our_own_files(server: str, folder: Path) -> None:
    with pytest.raises(SourceError):
        listen(f"{server}/bad.m3u8")
    for name in ("good.m3u8", "list.ffconcat"):
        with pytest.raises(SourceRefused, match="not on whitelist"):
            listen((folder / name).as_uri())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random.mp4", "Invalid data found"),
        ("empty.mp4", "(Invalid data found|End of file)"),
        ("text.mp4", "Invalid data found"),
        ("none.mp4", "No such file or directory"),
        ("", "(Is a directory|Invalid data found|Operation not permitted)"),
    ],
)
def test_a_file_that_is_no_stream_is_a_clear_error(folder: Path, name: str, told: str) -> None:
    with pytest.raises(SourceError, match=f"{name}.*{told}"):
        listen(f"{folder.as_uri()}/{name}")


@pytest.mark.parametrize(
    "url",
    [
        "crypto+x://h/a",
        "srt://192.0.2.1:1",
        "ftp://192.0.2.1/a",
        "gopher://192.0.2.1/a",
        "udp://192.0.2.1:5",
        "file://host/a.mp4",
    ],
)
def test_a_scheme_that_is_not_on_the_list_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(SourceRefused, match=r"(none of the schemes that are recorded: rtsp|write file:///)"):
        request_for(url, None, None, "", 1, 1)


def test_what_is_told_to_libav_keeps_the_password_out_of_sight() -> None:
    request = request_for("https://192.0.2.1/x", USER, PASSWORD, "/ca.pem", 1, 1)
    assert request.url == "https://viewer:s3%3Acr%40t%2F%3F@192.0.2.1/x"
    assert "cr%40t" not in repr(request)
    assert request.options["tls_verify"] == "1"
    assert request.options["protocol_whitelist"] == "https,tls,tcp"


def test_a_certificate_is_checked_and_its_name_too(folder: Path, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with serving(folder, pem) as url:
        assert listen(f"{url}/a.ts", ca=str(pem)).recordable
        with pytest.raises(SourceRefused, match=r"certificate.*recording\.tls_ca_file"):
            listen(f"{url}/a.ts")
        with pytest.raises(SourceRefused, match="hostname localhost"):
            listen(f"{url.replace('127.0.0.1', 'localhost')}/a.ts", ca=str(pem))


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "rtmp"):
            with pytest.raises(SourceError, match=f"^{scheme}://127.0.0.1.*no answer in time"):
                listen(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/x", timeout=1)


def test_nobody_at_the_port_is_said_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for scheme in ("http", "rtmp"):
            with pytest.raises(SourceError, match="refused"):
                listen(f"{scheme}://127.0.0.1:{unused.getsockname()[1]}/live")
