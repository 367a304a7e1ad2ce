"""What ffmpeg and ffprobe, which nobody here wrote, make of a file. Not the place for expectations."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tools import need


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as ffprobe reports it; times in ticks of the stream's time base, `md5` of its bytes."""

    pts: int
    dts: int
    key: bool
    md5: str


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def decode_errors(path: Path) -> str:
    """What ffmpeg complains of when it decodes every video and audio stream; empty when nothing."""
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:v?", "-map", "0:a?", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def packets(path: Path, stream: str) -> list[Packet]:
    """The packets of one stream (`v:0`, `a:0`, `2`) in the file's order."""
    entries = ["-select_streams", stream, "-show_entries", "packet=pts,dts,flags,data_hash", "-show_data_hash", "MD5"]
    found = _probe(path, *entries).get("packets", [])
    return [Packet(p["pts"], p["dts"], "K" in p["flags"], p["data_hash"].removeprefix("MD5:")) for p in found]


def shown_pts(path: Path, stream: str) -> list[int]:
    """Presentation times of the decoded frames, as a player shows them."""
    found = _probe(path, "-select_streams", stream, "-show_entries", "frame=best_effort_timestamp").get("frames", [])
    return [frame["best_effort_timestamp"] for frame in found]


def streams(path: Path) -> list[dict[str, Any]]:
    """ffprobe's streams."""
    found: list[dict[str, Any]] = _probe(path, "-show_streams")["streams"]
    return found


def _probe(path: Path, *options: str) -> dict[str, Any]:
    command = [need("ffprobe"), "-v", "error", "-of", "json", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
