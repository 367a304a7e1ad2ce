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
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found, unused-ignore]  # noqa: E402


def launch_of_file(path: str) -> str:
    """A launch line that serves an MP4 or Matroska file with H.264 and AAC as it is, without encoding anything anew."""
    demuxer = "matroskademux" if path.endswith((".mkv", ".webm")) else "qtdemux"
    return (
        f'( filesrc location="{path}" ! {demuxer} name=demux '
        "demux.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 aggregate-mode=none config-interval=0 )"
    )


def allow(server: Any, factory: Any, user: str, password: str, realm: str, scheme: str) -> None:
    """Only `user` may see and play the stream."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_realm(realm)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    if scheme == "digest":
        auth.set_supported_methods(auth.get_supported_methods().__class__.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.set_permissions(permissions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launch", help="GStreamer launch line with payloaders pay0, pay1, …")
    parser.add_argument("--file", help="serve this file's video as it is instead")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--scheme", choices=("digest", "basic"), default="digest")
    parser.add_argument("--realm", default="streamvault test")
    parser.add_argument("--udp-only", action="store_true")
    parser.add_argument("--tcp-only", action="store_true")
    parser.add_argument("--own-media", action="store_true", help="a pipeline per client, which plays from its beginning")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(options.launch or launch_of_file(options.file))
    factory.set_shared(not options.own_media)
    if options.udp_only or options.tcp_only:
        lower = factory.get_protocols().__class__
        factory.set_protocols(lower.UDP if options.udp_only else lower.TCP)
    if options.user:
        allow(server, factory, options.user, options.password, options.realm, options.scheme)
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
