"""Whole recordings of an RTSP server that nobody here wrote, GStreamer's: codecs, transports, password, TLS; and what it serves
from a file is in ours NAL unit for NAL unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import blake3
import pytest

from tests.ingest.test_rtsp_gstreamer_file import make_file, nal_units
from tests.support.certificate import certificate
from tests.support.gst import AAC, ALAW, H264, H264_B_FRAMES, H265, ULAW, gst_server, need_gstreamer
from tests.support.node import wait_until
from tests.support.station import Station, decode_errors, station
from vault.media import Codec
from vault.timebase import US

PASSWORD = "k%ey wit:h@odd/signs"
IN_URL = "k%25ey%20wit%3Ah%40odd%2Fsigns"
LIVE = {
    "h264-aac": f"( {H264} {AAC} )",
    "b-frames-alaw": f"( {H264_B_FRAMES} {ALAW} )",
    "h265-ulaw": f"( {H265} {ULAW} )",
}
CODECS = {
    "h264-aac": [Codec.H264, Codec.AAC],
    "b-frames-alaw": [Codec.H264, Codec.ALAW],
    "h265-ulaw": [Codec.H265, Codec.ULAW],
    "digest": [Codec.H264, Codec.AAC],
    "rtsps": [Codec.H264, Codec.AAC],
}
FILES = {
    "file-h264": (Codec.H264, ("-c:v", "libx264", "-g", "25", "-bf", "2", "-x264-params", "slices=2")),
    "file-h265": (Codec.H265, ("-c:v", "libx265", "-x265-params", "keyint=25:bframes=2:log-level=none")),
}
NAMES = [f"{kind}-{way}" for kind in LIVE for way in ("tcp", "udp")] + ["digest", "rtsps"]
FILE_NAMES = [f"{kind}-{way}" for kind in FILES for way in ("tcp", "udp")]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """The files' NAL units."""
    return {}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, list[bytes]]) -> Iterator[Station]:
    need_gstreamer("x264enc", "x265enc", "avenc_aac", "alawenc", "mulawenc", "rtph264pay", "rtph265pay", "qtdemux")
    folder = tmp_path_factory.mktemp("gstreamer")
    pem = certificate(folder)
    with ExitStack() as stack:
        # The station last: it lets go of the servers before they are ended. A pipeline for each client: of two that join a
        # shared one at the same moment, GStreamer now and then sends neither its sound.
        urls = {kind: stack.enter_context(gst_server("--launch", line, "--own-media")) for kind, line in LIVE.items()}
        guarded = ("--user", "viewer", "--password", PASSWORD, "--scheme", "digest")
        urls["digest"] = stack.enter_context(gst_server("--launch", LIVE["h264-aac"], *guarded))
        urls["rtsps"] = stack.enter_context(gst_server("--launch", LIVE["h264-aac"], "--certificate", str(pem)))
        for kind, (codec, options) in FILES.items():
            path = folder / f"{kind}.mp4"
            make_file(path, codec, options)
            wanted[kind] = nal_units(path, codec)
            urls[kind] = stack.enter_context(gst_server("--file", str(path), "--codec", codec.value, "--own-media"))
        made = stack.enter_context(station(folder))
        for kind, url in urls.items():
            ways = ("",) if kind in ("digest", "rtsps") else ("-tcp", "-udp")
            for way in ways:
                given = url.replace("://", f"://viewer:{IN_URL}@") if kind == "digest" else url
                made.add(f"{kind}{way}", given, way[1:] or "auto")
        made.start(tls_ca_file=str(pem))
        made.wait_recording(*NAMES, seconds=60)
        wait_until(lambda: all(len(made.files(name)) >= 3 for name in NAMES), 60, "segments")
        wait_until(lambda: all(made.files(name) for name in FILE_NAMES), 30, "the files")
        made.stop()
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_it_is_recorded_without_a_gap_and_decodes_without_a_word(recorded: Station, name: str) -> None:
    files = recorded.files(name)
    kind = name.removesuffix("-tcp").removesuffix("-udp")
    assert {tuple(track.params.codec for track in file.table.tracks) for file in files} == {tuple(CODECS[kind])}
    assert decode_errors([file.path for file in files]) == ""
    assert len(recorded.view(name).runs) == 1
    pictures, sound = recorded.units(name), recorded.units(name, 1)
    seconds = sum(file.duration_us for file in files) / US
    assert abs(seconds - len(pictures) / 25) < 1
    assert sound
    assert all(file.units[0][0].sync for file in files)


@pytest.mark.parametrize("name", FILE_NAMES)
def test_what_a_server_reads_from_a_file_is_what_we_record(
    recorded: Station, wanted: dict[str, list[bytes]], name: str
) -> None:
    """Each connection plays the file from its start; the last unit is whole only when the next one begins, and none does."""
    kind = name.rpartition("-")[0]
    hashes = [blake3.blake3(unit).digest() for unit in wanted[kind]]
    known = set(hashes)
    first = [file for file in recorded.files(name) if file.key.start_us < recorded.view(name).runs[0].end_us]
    got = [one for file in first for unit in file.units[0] for one in unit.digests if one in known]
    assert len(got) >= 0.9 * len(hashes)
    assert got == hashes[: len(got)]


def test_no_password_is_in_the_log(recorded: Station) -> None:
    whole = "".join(recorded.log())
    assert PASSWORD not in whole
    assert IN_URL not in whole
