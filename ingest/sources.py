"""Which source serves which URL. Made once a worker; `connect` never blocks."""

from __future__ import annotations

import ssl
from typing import cast

from ingest.connect import Resolver, client_tls
from ingest.messages import CameraSpec
from ingest.rtsp.handshake import TransportChoice
from ingest.rtspsource import RtspSource
from ingest.source import Source
from vault.config import Recording
from vault.timebase import US


class Sources:
    """Makes sources for the cameras of a worker, with what they share."""

    def __init__(self, resolver: Resolver, recording: Recording) -> None:
        self._resolver = resolver
        self._recording = recording
        self._context: ssl.SSLContext | None = None

    def connect(self, spec: CameraSpec, mono_us: int) -> Source:
        """Begin to connect. What goes wrong at once is the source's `failure`."""
        connect_us = int(self._recording.connect_timeout_seconds * US)
        return RtspSource(
            self._resolver,
            self._tls,
            spec.url,
            spec.user,
            spec.password,
            cast(TransportChoice, spec.transport),
            connect_us=connect_us,
            mono_us=mono_us,
        )

    def close(self) -> None:
        self._resolver.close()

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = client_tls(self._recording.tls_ca_file)
        return self._context
