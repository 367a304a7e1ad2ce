"""Finding the programs of other people that tests check our files with. Not the place for what is done with them."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str) -> str:
    """Path of an installed program. Without it the test is skipped; with `CI=true` it fails, so that nothing is skipped unseen."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed; on Debian: apt-get install {_PACKAGES.get(program, program)}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


_PACKAGES = {
    "ffprobe": "ffmpeg",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav",
    "cvlc": "vlc",
    "promtool": "prometheus",
    "rsyslogd": "rsyslog rsyslog-gnutls",
    "softhsm2-util": "softhsm2",
    "zbarimg": "zbar-tools",
}
