"""RTP without RTSP as a source: sockets bound to what an address or an SDP file says, and no say in what is sent.

What addresses and files mean is in `ingest.reception`. An SDP file is read anew at each connection, off the sweep thread. The
source plays from the first packet on; where none comes in time it fails and says what it waited for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from ingest.connect import Resolver
from ingest.multicast import interface_index, join, send_on
from ingest.reception import ANY, Reception, media_of, reception_of_url, receptions_of_sdp, sdp_path
from ingest.rtp.datagrams import prepare
from ingest.rtp.tracks import make_track
from ingest.rtpsource import RtpSource
from ingest.rtsp.sdp import MAX_SDP_BYTES
from ingest.udp import UdpTrack, is_rtp_of
from vault.errors import SourceError, SourceRefused, StreamvaultError
from vault.logs import Log
from vault.secrets import redact

log = Log("ingest.plainrtp")

MAX_STRAYS = 256
"""Datagrams that one look discards while the first packet is waited for."""

SETS_US = 15_000_000
"""A picture without parameter sets for this long will get none."""


@dataclass(slots=True, eq=False)
class _Leg:
    """One track's sockets. `family`, `address`: what the host's name stands for."""

    reception: Reception
    rtp: socket.socket
    rtcp: socket.socket | None
    group_index: int
    strays: int = 0
    stray_type: int = -1


class PlainRtpSource(RtpSource):
    """See `ingest.source.Source`."""

    def __init__(self, resolver: Resolver, errands: Callable[[], Executor], url: str, *, connect_us: int, mono_us: int) -> None:
        """`url`: `rtp://…`, or `file:///….sdp`. `errands` runs what may block."""
        super().__init__(mono_us)
        self._resolver = resolver
        self._shown = redact(url)[:200]
        self._deadline_us = mono_us + connect_us
        self._connect_seconds = connect_us / 1e6
        self._file: Future[bytes] | None = None
        self._lookups: list[tuple[Reception, Future[list[tuple[int, str]]]]] = []
        self._legs: list[_Leg] = []
        self._sets_by_us = 0
        path = sdp_path(url)
        try:
            if path is None:
                self._look_up([reception_of_url(url)])
            else:
                self._file = errands().submit(read_sdp, path)
        except StreamvaultError as error:
            self._fail(error)

    def _fail(self, error: StreamvaultError) -> None:
        self.failure = error if isinstance(error, SourceError) else SourceRefused(str(error))

    # Until the first packet.

    def service(self, mono_us: int) -> None:
        if self.failure is not None:
            return
        try:
            if self.playing:
                for index, packet in self._duty.due(self._media, mono_us):
                    self._udp[index].send_report(packet)
                self._miss_sets(mono_us)
                return
            self._prepare()
            self._await_first(mono_us)
        except StreamvaultError as error:
            self._fail(error)

    def _miss_sets(self, mono_us: int) -> None:
        """Say once why nothing is recorded of a picture that comes: no way to ask the sender for what is missing."""
        if self._sets_by_us == 0 or mono_us < self._sets_by_us:
            return
        self._sets_by_us = 0
        if any(track.codec.is_video and track.params is None for track in self._recorded):
            log.warning(
                "no parameter sets come with the picture",
                camera=self._shown,
                hint="let the sender repeat them, or add the camera by an SDP file that has them",
            )

    def _prepare(self) -> None:
        if self._file is not None and self._file.done():
            done, self._file = self._file, None
            self._look_up(receptions_of_sdp(done.result()))
        if self._lookups and all(lookup.done() for _, lookup in self._lookups):
            lookups, self._lookups = self._lookups, []
            for reception, lookup in lookups:
                try:
                    family, address = lookup.result()[0]
                except (OSError, UnicodeError, IndexError) as error:
                    raise SourceError(f"{reception.host}: the name cannot be resolved: write the address ({error})") from error
                self._legs.append(_bind(reception, family, address))

    def _look_up(self, receptions: Sequence[Reception]) -> None:
        self._lookups = [(one, self._resolver.resolve(one.host.partition("%")[0], one.port)) for one in receptions]

    def _await_first(self, mono_us: int) -> None:
        for leg in self._legs:
            payload_type = _first_type(leg)
            if payload_type is not None:
                self._play(leg, payload_type, mono_us)
                return
        if mono_us < self._deadline_us:
            return
        where = ", ".join(f"{leg.reception.host}:{leg.reception.port}" for leg in self._legs) or self._shown
        strays = next((leg for leg in self._legs if leg.strays), None)
        what = "nothing arrives"
        if strays is not None:
            what = f"{strays.strays} datagrams arrived that are not RTP of the type awaited"
            if strays.stray_type >= 0:
                what += f" (the last was of payload type {strays.stray_type})"
        raise SourceError(
            f"{where}: {what} within {self._connect_seconds:g} s: does the camera send there, and is there a firewall?"
        )

    def _play(self, first: _Leg, payload_type: int, mono_us: int) -> None:
        for index, leg in enumerate(self._legs):
            media = media_of(leg.reception, payload_type if leg is first else leg.reception.payload_type)
            chosen = next((item for item in media.formats if leg is first and item.payload_type == payload_type), None)
            made = make_track(index, media, chosen)
            source = leg.reception.source
            udp = UdpTrack(
                index, made.track, leg.rtp, leg.rtcp, keep_first=not source, muxed=leg.reception.muxed, shown=self._shown
            )  # fmt: skip
            if source not in ("", ANY):
                udp.aim((source, 0), None)
            if leg.reception.is_multicast and not source and leg.reception.rtcp_port:
                # Reports of a group are for all of it; where one source was joined there is no way back (RFC 5760 §1).
                udp.report_to((leg.reception.host, leg.reception.rtcp_port))
            self._add_track(made)
            self._udp[index] = udp
        self._duty.begin([track.rate for track in self._recorded], mono_us)
        granted = min(udp.buffer_bytes for udp in self._udp.values())
        log.info("rtp arrives", camera=self._shown, tracks=len(self._udp), granted_bytes=granted)
        self._swept_us = mono_us
        self._sets_by_us = mono_us + SETS_US
        self.playing = True

    def close(self) -> None:
        """There is nobody to say good-bye to; groups are left with their sockets."""
        if self._file is not None:
            self._file.cancel()
        for _, lookup in self._lookups:
            lookup.cancel()
        for leg in self._legs:
            leg.rtp.close()
            if leg.rtcp is not None:
                leg.rtcp.close()
        self._lookups = []


def _first_type(leg: _Leg) -> int | None:
    """The payload type of the first packet that is awaited, which stays unread; what is none is discarded. None: not yet."""
    head = bytearray(12)
    expected = leg.reception.payload_types
    for _ in range(MAX_STRAYS):
        try:
            size, _, _, address = leg.rtp.recvmsg_into([head], 0, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise SourceError(f"the UDP socket failed: {error.strerror or error}") from error
        source = leg.reception.source
        known = source in ("", ANY) or address[0].partition("%")[0] == source
        if known and is_rtp_of(head, size, -1):
            payload_type = head[1] & 0x7F
            if not expected or payload_type in expected:
                return payload_type
            leg.stray_type = payload_type
        leg.strays += 1
        with contextlib.suppress(OSError):
            leg.rtp.recv(1)
    return None


def _bind(reception: Reception, family: int, address: str) -> _Leg:
    """Sockets for one track. Raises SourceError, SourceRefused."""
    group_index = interface_index(reception.interface) if reception.is_multicast else 0
    rtp = _bound(reception, family, address, reception.port, group_index)
    rtcp: socket.socket | None = None
    try:
        prepare(rtp)
        if reception.rtcp_port:
            rtcp = _bound(reception, family, address, reception.rtcp_port, group_index)
            rtcp.setblocking(False)
            send_on(rtcp, group_index, reception.ttl)
    except SourceError as error:
        # Pictures without the camera's clock are better than none.
        log.warning("no rtcp", address=f"{reception.host}:{reception.rtcp_port}", error=str(error))
    except BaseException:
        rtp.close()
        raise
    return _Leg(reception, rtp, rtcp, group_index)


def _bound(reception: Reception, family: int, address: str, port: int, group_index: int) -> socket.socket:
    where = f"{reception.host}:{port}"
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if reception.is_multicast:
            # Bound to the group, so that two groups of one port do not mix; several programs may listen to one.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((address, port) if family == socket.AF_INET else (address, port, 0, group_index))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or not reception.from_sdp:
                raise
            # Many a sender writes its own address where the receiver's belongs (RFC 8866 §5.7).
            log.warning("address of the sdp file is not ours, receiving on all", address=where)
            made.bind(("0.0.0.0" if family == socket.AF_INET else "::", port))
        if reception.is_multicast:
            join(made, address, "" if reception.source == ANY else reception.source, group_index)
    except SourceError:
        made.close()
        raise
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise SourceRefused(
                f"{where} is no address of this machine: write the one to receive on, or 0.0.0.0; "
                "the sender's goes behind it as ?source="
            ) from error
        raise SourceError(
            f"{where}: cannot receive there ({error.strerror}): is another camera or program using it?"
        ) from error
    return made


def read_sdp(path: str) -> bytes:
    """An SDP file, whole. Blocks as files do. Raises SourceRefused."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise SourceRefused(f"{path}: the SDP file cannot be read ({getattr(error, 'strerror', error)})") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SourceRefused(f"{path}: is not a regular file")
        return os.read(fd, MAX_SDP_BYTES + 1)
    except OSError as error:
        raise SourceRefused(f"{path}: the SDP file cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
