"""An RTSP server that nobody here wrote: GStreamer's, run by the system's Python, one launch line, a free port of 127.0.0.1.

Run as `/usr/bin/python3 tests/support/gst_server.py --launch '( videotestsrc … ! rtph264pay name=pay0 )'`. It prints one line
`port N` once it serves `rtsp://127.0.0.1:N/cam`, and ends when its standard input closes, so that it cannot outlive its test.
This file imports nothing of ours: the system's Python does not have it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import Any

import gi  # type: ignore[import-not-found, unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # type: ignore[import-not-found, unused-ignore]  # noqa: E402


def launch_of_file(path: str, codec: str, audio: str) -> str:
    """A launch line that serves an MP4 or Matroska file as it is, without encoding anything anew."""
    demuxer = "matroskademux" if path.endswith((".mkv", ".webm")) else "qtdemux"
    line = (
        f'( filesrc location="{path}" ! {demuxer} name=demux '
        f"demux.video_0 ! queue ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 config-interval=0"
    )
    if audio == "aac":
        line += " demux.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97"
    elif audio == "alaw":
        line += " demux.audio_0 ! queue ! rtppcmapay name=pay1 pt=8"
    return line + " )"


def guard(server: Any, factory: Any, options: argparse.Namespace) -> None:
    """Only the given user may see and play the stream; without one everybody may, which TLS alone needs said too."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_realm(options.realm)
    role = "user" if options.user else "anyone"
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, role)
    if not options.user:
        auth.set_default_token(token)
    elif options.scheme == "digest":
        auth.set_supported_methods(auth.get_supported_methods().__class__.DIGEST)
        auth.add_digest(options.user, options.password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
    if options.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role(role, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    permissions.add_permission_for_role(role, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.set_permissions(permissions)


def limit_sessions(_server: Any, client: Any, seconds: int) -> None:
    """Sessions of this client end so many seconds after its last request; GStreamer itself adds five."""
    client.connect("new-session", lambda _client, session: session.set_timeout(seconds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launch", help="GStreamer launch line with payloaders pay0, pay1, …")
    parser.add_argument("--file", help="serve this file as it is instead")
    parser.add_argument("--codec", choices=("h264", "h265"), default="h264", help="of the file's video")
    parser.add_argument("--audio", choices=("none", "aac", "alaw"), default="none", help="of the file's audio")
    parser.add_argument("--certificate", help="PEM file with certificate and key: serve RTSPS only")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--scheme", choices=("digest", "basic"), default="digest")
    parser.add_argument("--realm", default="streamvault test")
    parser.add_argument("--udp-only", action="store_true")
    parser.add_argument("--tcp-only", action="store_true")
    parser.add_argument("--own-media", action="store_true", help="a pipeline per client, which plays from its beginning")
    parser.add_argument("--session-timeout", type=int, default=0, help="seconds; sessions that are not kept alive are dropped")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(options.launch or launch_of_file(options.file, options.codec, options.audio))
    factory.set_shared(not options.own_media)
    if options.udp_only or options.tcp_only:
        lower = factory.get_protocols().__class__
        factory.set_protocols(lower.UDP if options.udp_only else lower.TCP)
    if options.user or options.certificate:
        guard(server, factory, options)
    if options.session_timeout:
        server.connect("client-connected", limit_sessions, options.session_timeout)
        GLib.timeout_add(200, lambda: server.get_session_pool().cleanup() >= 0)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)

    loop = GLib.MainLoop()
    signal.signal(signal.SIGTERM, lambda *_: loop.quit())

    def until_stdin_closes() -> None:
        sys.stdin.buffer.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=until_stdin_closes, daemon=True).start()
    sys.stdout.write(f"port {server.get_bound_port()}\n")
    sys.stdout.flush()
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
