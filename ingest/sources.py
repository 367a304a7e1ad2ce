"""Which source serves which URL. Made once a worker; `connect` never blocks."""

from __future__ import annotations

import ssl
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import cast

from ingest.connect import Resolver, client_tls
from ingest.libavsource import LibavSource
from ingest.messages import CameraSpec
from ingest.plainrtp import PlainRtpSource
from ingest.reception import sdp_path
from ingest.rtsp.handshake import TransportChoice
from ingest.rtspsource import RtspSource
from ingest.source import Source
from vault.config import Recording
from vault.timebase import US

ERRAND_THREADS = 2
"""For what may block and is rare: reading an SDP file, starting a process."""


class Sources:
    """Makes sources for the cameras of a worker, with what they share."""

    def __init__(self, resolver: Resolver, recording: Recording) -> None:
        self._resolver = resolver
        self._recording = recording
        self._context: ssl.SSLContext | None = None
        self._pool: ThreadPoolExecutor | None = None

    def connect(self, spec: CameraSpec, mono_us: int) -> Source:
        """Begin to connect. What goes wrong at once is the source's `failure`.

        `rtsp`, `rtsps`: our own client. `rtp`, and `file` with a name that ends in `.sdp`: bare packets. All else: libav, which
        refuses what it has no list of protocols for.
        """
        connect_us = int(self._recording.connect_timeout_seconds * US)
        scheme = spec.url.partition("://")[0].lower()
        if scheme in ("rtsp", "rtsps"):
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
        if scheme == "rtp" or sdp_path(spec.url) is not None:
            return PlainRtpSource(self._resolver, self._errands, spec.url, connect_us=connect_us, mono_us=mono_us)
        return LibavSource(
            self._errands,
            spec.url,
            spec.user,
            spec.password,
            ca_file=self._recording.tls_ca_file,
            connect_us=connect_us,
            silence_us=int(self._recording.silence_timeout_seconds * US),
            mono_us=mono_us,
        )

    def close(self) -> None:
        self._resolver.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _errands(self) -> Executor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(ERRAND_THREADS, thread_name_prefix="errand")
        return self._pool

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = client_tls(self._recording.tls_ca_file)
        return self._context
