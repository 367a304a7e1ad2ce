"""The simulator as other people's players see it, and its dialogue through a plain socket."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from dataclasses import replace

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.simulate.gate import Gate, Scheme
from ingest.simulate.run import Carriage, SimulatorOptions, run_simulator, simulated, start
from ingest.simulate.session import RequestReader
from tests.support.simulate import SMALL, Client, Ended, digest_header, h264_nals, options
from tests.support.tools import need
from vault.errors import Damaged, NotFound, SourceError, UsageError
from vault.media import Codec

_PLAYED = replace(SMALL, bframes=2, slices=2, aud=True)


def _play(url: str, transport: str) -> tuple[list[str], list[int], str]:
    """Codecs as ffprobe names them, how many frames of each track ffmpeg decodes in one second, and every complaint."""
    given = ["-v", "error", "-rtsp_transport", transport]
    show = [need("ffprobe"), *given, "-show_entries", "stream=codec_name", "-of", "csv=p=0", url]
    found = subprocess.run(show, capture_output=True, text=True, timeout=60, check=False)
    decode = [need("ffmpeg"), *given, "-i", url, "-t", "1", "-map", "0", "-f", "framecrc", "-"]
    done = subprocess.run(decode, capture_output=True, text=True, timeout=60, check=False)
    tracks = [line.split(",")[0] for line in done.stdout.splitlines() if not line.startswith("#")]
    names = found.stdout.split()
    return names, [tracks.count(str(number)) for number in range(len(names))], found.stderr + done.stderr


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("codec", "audio", "names"),
    [
        (Codec.H264, Codec.AAC, ("h264", "aac")),
        (Codec.H265, Codec.ALAW, ("hevc", "pcm_alaw")),
        (Codec.H264, Codec.ULAW, ("h264", "pcm_mulaw")),
    ],
)
def test_ffmpeg_plays_without_a_complaint(codec: Codec, audio: Codec, names: tuple[str, str], transport: str) -> None:
    with simulated(options(spec=replace(_PLAYED, codec=codec, audio=audio))) as simulator:
        found, counts, complaints = _play(simulator.url(1), transport)
    assert complaints == ""
    assert found == list(names)
    assert 20 <= counts[0] <= 30
    assert counts[1] >= 12


@pytest.mark.parametrize(("scheme", "transport"), [(Scheme.BASIC, "tcp"), (Scheme.MD5, "udp")])
def test_ffmpeg_plays_with_a_password_and_not_without(scheme: Scheme, transport: str) -> None:
    with simulated(options(auth=scheme, user="viewer", password="p4ss")) as simulator:
        url = simulator.url(1)
        assert _refused(url)
        assert _refused(url.replace("://", "://viewer:wrong@"))
        found, _, complaints = _play(url.replace("://", "://viewer:p4ss@"), transport)
    assert complaints == ""
    assert found == ["h264"]


def test_a_sha_256_digest_opens_the_camera() -> None:
    with simulated(options(auth=Scheme.SHA256, user="u", password="p")) as simulator, Client(simulator.url(1)) as client:
        challenge = client.ask("DESCRIBE").headers["WWW-Authenticate"]
        assert "SHA-256" in challenge
        client.authorization = digest_header("sha256", challenge, "u", "p", "DESCRIBE", client.url)
        assert client.ask("DESCRIBE").status == 200


def _refused(url: str) -> bool:
    done = subprocess.run([need("ffprobe"), "-v", "error", url], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode != 0 and "401" in done.stderr


@pytest.mark.parametrize("protocols", ["tcp", "udp"])
def test_gstreamer_plays(protocols: str) -> None:
    with simulated(options(spec=_PLAYED)) as simulator:
        line = f"rtspsrc location={simulator.url(1)} protocols={protocols} latency=0 ! rtph264depay ! h264parse ! avdec_h264 ! identity eos-after=20 ! fakesink"
        done = subprocess.run(
            [need("gst-launch-1.0"), "-q", *line.split()], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr


def test_what_arrives_is_what_was_sent_nal_unit_by_nal_unit() -> None:
    with simulated(options(spec=_PLAYED, log_units=True, aggregate=True)) as simulator, Client(simulator.url(1)) as client:
        client.play()
        packets = []
        for packet in client.packets():
            packets.append(packet)
            if packet.marker and sum(item.marker for item in packets) == 40:
                break
        sent = simulator.sent(1)
        hashes = [digest for unit in sent if unit.track == 0 for digest in unit.digests]
    got = [blake3.blake3(nal).digest() for nal in h264_nals(packets)]
    assert got == hashes[: len(got)]
    assert [unit.stamp for unit in sent][:40] == [packet.stamp for packet in packets if packet.marker]
    assert sent[0].key
    assert sent[0].connection == 1


def test_a_listener_that_joins_later_begins_at_the_key_frame_that_rtp_info_told() -> None:
    with simulated(options()) as simulator, Client(simulator.url(1)) as first, Client(simulator.url(1)) as second:
        first.play()
        stream = first.packets()
        for _ in range(7):
            next(stream)
        answer = second.play()
        told = dict(part.split("=") for part in answer.headers["RTP-Info"].split(";")[1:])
        packet = next(second.packets())
        assert (packet.sequence, packet.stamp) == (int(told["seq"]), int(told["rtptime"]))
        assert packet.payload[0] & 31 == 7


def test_sender_reports_tell_the_true_wall_clock_at_the_start() -> None:
    with simulated(options()) as simulator, Client(simulator.url(1)) as client:
        client.play()
        channel, report = next(client.frames())
    assert channel == 1
    assert report[1] == 200
    ntp = int.from_bytes(report[8:12], "big") - 2_208_988_800
    assert abs(ntp - time.time()) < 30


def test_gathered_cameras_send_the_same_as_single_ones_and_at_the_rate_of_the_loop() -> None:
    with simulated(options(cameras=20, burst_ms=100)) as simulator:
        clients = [Client(simulator.url(number)) for number in range(1, 21)]
        for client in clients:
            client.play()
        for client in clients:
            stamps = []
            for packet in client.packets():
                if packet.marker:
                    stamps.append(packet.stamp)
                if len(stamps) == 12:
                    break
            assert [(after - before) & 0xFFFFFFFF for before, after in itertools.pairwise(stamps)] == [3600] * 11
        for client in clients:
            client.sock.close()


def test_a_client_that_never_reads_is_dropped_and_the_others_play_on() -> None:
    spec = replace(SMALL, width=320, height=256, bitrate=20_000_000)
    with (
        simulated(options(cameras=2, spec=spec)) as simulator,
        Client(simulator.url(1)) as slow,
        Client(simulator.url(2)) as good,
    ):
        slow.play()
        good.play()
        stream = good.packets()
        deadline = time.monotonic() + 60
        while simulator.listening() == 2 and time.monotonic() < deadline:
            next(stream)
        assert simulator.listening() == 1
        assert next(stream).payload


def test_the_dialogue_refuses_what_it_does_not_know() -> None:
    with simulated(options(carriage=Carriage.TCP)) as simulator, Client(simulator.url(1)) as client:
        assert client.ask("OPTIONS").headers["Public"].startswith("OPTIONS, DESCRIBE, SETUP, PLAY")
        assert client.ask("DESCRIBE", client.url.replace("cam/1", "cam/9")).status == 404
        assert client.ask("ANNOUNCE").status == 501
        assert client.ask("PLAY").status == 455
        assert client.ask("SETUP", client.url + "/trackID=5", Transport="RTP/AVP/TCP").status == 404
        assert client.ask("SETUP", client.url + "/trackID=0", Transport="RTP/AVP;unicast;client_port=4-5").status == 461
        assert client.ask("SETUP", client.url + "/trackID=0", Transport="RTP/AVP/TCP;interleaved=4-5").headers["Session"]
        assert client.ask("PLAY").status == 200
        assert client.ask("GET_PARAMETER").status == 200
        assert next(client.packets()).channel == 4
        assert client.ask("TEARDOWN").status == 200
        with pytest.raises(Ended):
            list(client.frames())


def test_a_silent_client_is_let_go_after_the_session_timeout() -> None:
    with simulated(options(timeout_s=1)) as simulator, Client(simulator.url(1)) as client:
        client.play()
        with pytest.raises(Ended):
            list(client.frames())


def test_a_udp_only_server_refuses_tcp() -> None:
    with simulated(options(carriage=Carriage.UDP)) as simulator, Client(simulator.url(1)) as client:
        assert client.ask("SETUP", client.url + "/trackID=0", Transport="RTP/AVP/TCP").status == 461


def test_a_taken_port_and_an_unknown_camera_are_clear_errors() -> None:
    with simulated(options()) as simulator:
        with pytest.raises(SourceError, match="another port"):
            start(options(port=simulator.port))
        with pytest.raises(NotFound):
            simulator.url(2)
        with pytest.raises(UsageError, match="log_units"):
            simulator.sent(1)


def test_options_hide_the_password_and_refuse_nonsense() -> None:
    assert "p4ss" not in repr(options(auth=Scheme.MD5, user="u", password="p4ss"))
    assert "p4ss" not in repr(Gate.make(Scheme.MD5, "u", "p4ss"))
    for wrong in ({"cameras": 0}, {"port": 70_000}, {"burst_ms": 6_000}, {"auth": Scheme.MD5}):
        with pytest.raises(UsageError):
            SimulatorOptions(**wrong)  # type: ignore[arg-type]


def test_run_serves_until_it_is_told_to_stop() -> None:
    stop, seen = threading.Event(), []

    def started(simulator: object) -> None:
        seen.append(simulator)
        stop.set()

    run_simulator(options(), stop, started)
    assert len(seen) == 1


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_gate_admits_only_the_right_password_for_the_method(scheme: Scheme) -> None:
    gate = Gate.make(scheme, "u", "p")
    right = digest_header(scheme.value, gate.challenge(), "u", "p", "PLAY", "rtsp://h/cam/1")
    assert gate.admits("PLAY", right)
    assert not gate.admits("PLAY", digest_header(scheme.value, gate.challenge(), "u", "q", "PLAY", "rtsp://h/cam/1"))
    assert not gate.admits("PLAY", "")
    assert scheme is Scheme.BASIC or not gate.admits("TEARDOWN", right)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_as_requests_or_refused(data: bytes) -> None:
    reader = RequestReader()
    try:
        for request in reader.receive(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" + data):
            assert request.method
    except Damaged:
        pass
