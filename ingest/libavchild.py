"""The process that opens what only libav opens: `python -m ingest.libavchild`, started by `ingest.libavsource`.

It demultiplexes and decodes nothing it sends. It has no keys and no environment, bounded memory and files, and processor time
that is granted anew while packets come; it ends with the worker that started it. What it says is in `ingest.libavwire`.
Codecs that we do not know become an opaque track, subtitles and data are left out with a note.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from ingest import libavwire as wire
from ingest.libavunits import AacUnits, G711Units, OpaqueUnits, Units, VideoUnits
from vault.clock import SystemClock
from vault.errors import Damaged
from vault.media import Codec
from vault.segment.params import parse_aac
from vault.timebase import US, VIDEO_RATE

if TYPE_CHECKING:
    import av
    import av.container
    import av.packet
    import av.stream

MEMORY_BYTES: Final = 1 << 30
OPEN_FILES: Final = 48
CPU_SECONDS: Final = 60
"""How much processor time may go by without a packet: libav in an endless loop ends itself."""

MAX_REQUEST_BYTES: Final = 64 << 10
MAX_WAITING: Final = 512
"""Packets looked at for the parameters of a track that its container does not give."""

CLOCK_US: Final = US
"""How often each track's time is told in the clock that they share; sound is bonded to the picture by it."""

_CLOCK_BASE_US: Final = 1 << 40
_CODECS: Final = {
    "h264": Codec.H264,
    "hevc": Codec.H265,
    "aac": Codec.AAC,
    "pcm_alaw": Codec.ALAW,
    "pcm_mulaw": Codec.ULAW,
}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_clock = SystemClock()


class _Nothing(Exception):
    """There is nothing to record in the stream, and why."""


class _Track:
    """One stream on its way out: its converter, its clock, and the grid that sound keeps to."""

    def __init__(self, index: int, stream: av.stream.Stream, codec: Codec) -> None:
        context: Any = stream.codec_context
        extradata = bytes(getattr(context, "extradata", None) or b"")
        self.index = index
        self.codec = codec
        self.stream = stream
        self.base: Fraction = stream.time_base or Fraction(1, VIDEO_RATE)
        self.channels = max(1, min(64, int(getattr(context, "channels", 1) or 1))) if stream.type == "audio" else 0
        self.rate = VIDEO_RATE
        self.name = ""
        self.units: Units
        self.step = 0
        if codec.is_video:
            self.units = VideoUnits(codec, extradata)
        elif codec is Codec.AAC:
            self.units = AacUnits(extradata)
            self.rate = int(context.sample_rate or 0) or 48_000
            self.step = 1024
        elif codec.is_audio:
            self.rate = int(context.sample_rate)
            self.units = G711Units(self.rate, self.channels)
            self.step = self.rate // 50
        else:
            self.units = OpaqueUnits()
            told = f" {extradata[:400].hex()}" if extradata else ""
            self.name = f"libav/{_codec_name(stream)}/{self.rate}{told}"
        average = getattr(stream, "average_rate", None)
        self.frame_ticks = int(self.rate / average) if codec.is_video and average else self.rate // 25
        self._due: int | None = None
        self.clock_due_us = 0

    @property
    def fields(self) -> dict[str, Any] | None:
        """Its entry of TRACKS, None while its parameters are not known."""
        if isinstance(self.units, VideoUnits):
            return wire.track_fields(self.codec, self.rate, self.units.sets)
        if isinstance(self.units, AacUnits):
            if not self.units.config:
                return None
            parsed = parse_aac(self.units.config)
            self.rate, self.step = parsed.rate, parsed.frame_samples
            return wire.track_fields(self.codec, self.rate, [self.units.config], parsed.channels)
        return wire.track_fields(self.codec, self.rate, (), self.channels, self.name)

    def ticks(self, packet: av.packet.Packet[Any]) -> int:
        """The packet's presentation time in ticks of the rate; a raw stream has none and is counted through."""
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None:
            return 0 if self._due is None else self._due
        base = packet.time_base or self.base
        return round(at * base * self.rate)

    def place(self, ticks: int) -> int:
        """Sound whose container rounds its times (FLV: to the millisecond) is put back onto the grid of its samples."""
        if self.step and self._due is not None and abs(ticks - self._due) <= self.rate // 100:
            ticks = self._due
        self._due = ticks + (self.step or self.frame_ticks)
        return ticks


def _codec_name(stream: av.stream.Stream) -> str:
    context: Any = stream.codec_context
    if context is None:
        return "unknown"
    return str(context.codec.canonical_name if context.codec is not None else context.name)[:40]


class Teller:
    """Standard output, message by message. A worker that takes nothing makes us wait, and the camera with us."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def note(self, text: str) -> None:
        self.send(wire.pack_json(wire.Kind.NOTE, text[: wire.MAX_TEXT_BYTES // 16]))

    def end(self, refused: bool, text: str) -> None:
        self.send(wire.pack_json(wire.Kind.END, wire.end_body(refused, text)))


def choose(streams: Any, teller: Teller) -> list[_Track]:
    """One picture and one sound, those we understand before those we do not. Raises _Nothing."""
    chosen: list[_Track] = []
    for kind in ("video", "audio"):
        of_kind = [stream for stream in streams if stream.type == kind and stream.codec_context is not None]
        known = [stream for stream in of_kind if _codec_of(stream) is not Codec.OPAQUE]
        for stream in (known or of_kind)[:1]:
            codec = _codec_of(stream)
            if codec is Codec.OPAQUE:
                teller.note(f"{kind} in {_codec_name(stream)} is kept as it is and cannot be played")
            chosen.append(_Track(len(chosen), stream, codec))
    for stream in list(streams)[:8]:
        if all(stream is not track.stream for track in chosen):
            teller.note(f"stream {stream.index} ({stream.type}) is left out")
    if not chosen:
        raise _Nothing("there is neither picture nor sound in it")
    return chosen


def _codec_of(stream: av.stream.Stream) -> Codec:
    codec = _CODECS.get(_codec_name(stream), Codec.OPAQUE)
    context: Any = stream.codec_context
    if codec in (Codec.ALAW, Codec.ULAW) and not (
        50 <= (context.sample_rate or 0) <= 192_000 and context.sample_rate % 50 == 0
    ):
        return Codec.OPAQUE
    return codec


class Pacer:
    """Gives packets no sooner than they would be played, the first one at once."""

    def __init__(self) -> None:
        self._start_us: int | None = None
        self._pause = threading.Event()

    def wait(self, packet: av.packet.Packet[Any], base: Fraction) -> None:
        at = packet.dts if packet.dts is not None else packet.pts
        if at is None:
            return
        media_us = round(at * (packet.time_base or base) * US)
        mono_us = _clock.mono_us()
        if self._start_us is None:
            self._start_us = mono_us - media_us
        ahead_us = self._start_us + media_us - mono_us
        if 0 < ahead_us < 3600 * US:
            self._pause.wait(ahead_us / US)


def packets(container: Any, tracks: list[_Track], paced: bool) -> Iterator[tuple[_Track, av.packet.Packet[Any]]]:
    by_stream = {track.stream.index: track for track in tracks}
    pacer = Pacer() if paced else None
    for packet in container.demux([track.stream for track in tracks]):
        track = by_stream.get(packet.stream_index)
        if track is None or not packet.size:
            continue
        if pacer is not None:
            pacer.wait(packet, track.base)
        if isinstance(track.units, VideoUnits) and packet.has_sidedata("new_extradata"):
            track.units.reconfigure(bytes(packet.get_sidedata("new_extradata")))
        yield track, packet


def relay(container: Any, tracks: list[_Track], paced: bool, teller: Teller) -> None:
    """From the first packet to the stream's end."""
    waiting: list[tuple[_Track, av.packet.Packet[Any]]] = []
    announced = False
    for track, packet in packets(container, tracks, paced):
        if announced:
            if track in tracks:
                emit(track, packet, teller)
            continue
        waiting.append((track, packet))
        if track.fields is None:
            # Its first frame tells how it is coded.
            track.units.convert(bytes(packet), False)
        if len(waiting) < MAX_WAITING and any(one.fields is None for one in tracks):
            continue
        tracks = announce(tracks, teller)
        announced = True
        for one, held in waiting:
            if one in tracks:
                emit(one, held, teller)
        waiting = []


def announce(tracks: list[_Track], teller: Teller) -> list[_Track]:
    """Say what there is; returns the tracks that are to be sent. Raises _Nothing."""
    kept = [track for track in tracks if track.fields is not None]
    for track in tracks:
        if track not in kept:
            teller.note(f"{track.codec} that does not say how it is coded is left out")
    if not kept:
        raise _Nothing("its sound does not say how it is coded")
    for index, track in enumerate(kept):
        track.index = index
    teller.send(wire.pack_json(wire.Kind.TRACKS, [track.fields for track in kept]))
    return kept


def emit(track: _Track, packet: av.packet.Packet[Any], teller: Teller) -> None:
    limit = wire.MAX_SOUND_BYTES if track.codec.is_audio else wire.MAX_VIDEO_BYTES
    ticks = track.ticks(packet)
    for sample, flags, after in track.units.convert(bytes(packet), packet.is_keyframe):
        at = track.place(ticks + after)
        if len(sample) > limit:
            continue
        teller.send(wire.pack_frame_head(track.index, flags, at, len(sample)) + sample)
        mono_us = _clock.mono_us()
        if mono_us >= track.clock_due_us:
            track.clock_due_us = mono_us + CLOCK_US
            teller.send(wire.pack_clock(track.index, at, _CLOCK_BASE_US + at * US // track.rate))
            grant_time()


def grant_time() -> None:
    """Packets come, so processor time may go on: a while from here."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def shut_in() -> None:
    """What this process may use, and whose end is its own."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    grant_time()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Its memory holds the camera's password: no debugger of another user's, no core.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _end_with_worker() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _request() -> wire.Request:
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_REQUEST_BYTES and (more := os.read(0, 4096)):
        line += more
    return wire.request_of(line)


def why_not_opened(error: Exception, said: str) -> tuple[bool, str]:
    """Whether it is useless to try again, and a text for people. `said`: libav's own last word."""
    import av

    if isinstance(error, av.error.ExitError):
        return False, f"no answer in time{': ' * bool(said)}{said.removesuffix(': Immediate exit requested')}"
    text = f"{getattr(error, 'strerror', None) or error}{': ' * bool(said)}{said}"
    if "certificate" in said.lower():
        return True, f"{text} (name the authority in recording.tls_ca_file)"
    refused = isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError) or "whitelist" in said
    return refused, text


def run(request: wire.Request, teller: Teller) -> None:
    """Open and relay; whatever ends it is told."""
    import av

    try:
        av.logging.set_level(av.logging.ERROR)
        with av.logging.Capture() as said:
            try:
                container = av.open(
                    request.url, mode="r", options=request.options, timeout=(request.open_seconds, request.read_seconds)
                )
            except (av.FFmpegError, ValueError, OSError) as error:
                texts = [text.strip() for _, _, text in said if text.strip()]
                teller.end(*why_not_opened(error, texts[-1] if texts else ""))
                return
        av.logging.set_level(None)
        with container:
            tracks = choose(container.streams, teller)
            paced = request.paced or bool(container.duration and container.duration > 0)
            relay(container, tracks, paced, teller)
            teller.end(False, "it was played to its end")
    except _Nothing as error:
        teller.end(True, str(error))
    except Damaged as error:
        teller.end(False, str(error))
    except av.FFmpegError as error:
        teller.end(False, f"reading stopped: {error.strerror}")
    except MemoryError:
        teller.end(False, f"it needs more than the {MEMORY_BYTES >> 20} MB that a stream may have")


def main() -> int:
    """The process's entry."""
    request = _request()
    threading.Thread(target=_end_with_worker, daemon=True).start()
    shut_in()
    try:
        run(request, Teller(1))
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
