"""FORMAT.md says what the bytes are."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import vault
from tests.support.segments import make_segment, video_track
from tests.support.streams import encode_h264
from vault.segment.private import FORMAT, INFO_UUID, TRAILER_BYTES, TRAILER_UUID

TEXT = (Path(vault.__path__[0]) / "FORMAT.md").read_text(encoding="utf-8")


def test_version_types_and_lengths_are_those_of_the_code() -> None:
    assert f"version **{FORMAT}**" in TEXT
    assert f"`{UUID(bytes=INFO_UUID)}`" in TEXT
    assert f"`{UUID(bytes=TRAILER_UUID)}`" in TEXT
    assert f"The last {TRAILER_BYTES} bytes" in TEXT


def test_every_key_of_the_private_box_is_in_the_table() -> None:
    closing = make_segment([video_track(encode_h264())]).closing
    begin = closing.index(b'{"format"')
    keys = set(re.findall(rb'"([a-z_]+)":', closing[begin:-TRAILER_BYTES]))
    for key in keys - {b"head"}:
        assert re.search(rf"[`.]{key.decode()}`", TEXT), key


def test_every_file_it_names_exists() -> None:
    named = re.findall(r"`(\w+\.py)`", TEXT)
    assert named
    for name in named:
        assert (Path(vault.__path__[0]) / "segment" / name).exists(), name
