"""A manifest reads back as it was, and bytes from anywhere are refused by name and never believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.indexing import T0, VIDEO
from vault.digest import bytes_digest
from vault.errors import Damaged, UsageError
from vault.ids import CameraNumber, SegmentKey
from vault.manifest import HOUR_US, MAX_MANIFEST_BYTES, ListedGap, ListedSegment, Manifest, ManifestKey, decode, encode
from vault.media import Codec, SegmentFlag, TrackParams
from vault.timebase import MAX_US, US

KEY = ManifestKey(CameraNumber(7), T0, 3)
SOUND = TrackParams(Codec.OPAQUE, 48_000, channels=2, name="vendor/48000;a=ü")


def listed(start_us: int, epoch: int = 1, flags: SegmentFlag = SegmentFlag.NONE) -> ListedSegment:
    key = SegmentKey(KEY.camera, start_us, epoch, 9)
    params = VIDEO if epoch == 1 else (*VIDEO, SOUND)
    return ListedSegment(
        key, start_us + 60 * US, 30_000_000, bytes_digest(key.object_key.encode()), 9_000, params, "general", T0 * 2, flags
    )


MANIFEST = Manifest(
    KEY,
    4,
    T0 - 5,
    61 * US,
    (
        listed(T0),
        listed(T0, 2),
        replace(listed(T0 + HOUR_US - 1, flags=SegmentFlag.RECOVERED | SegmentFlag.CONTINUES), counted_us=T0 + 9 * HOUR_US),
    ),
    (ListedGap(T0 + 70 * US, T0 + 90 * US, "camera silent"), ListedGap(T0 + 100 * US, None, "Abgeschaltet 关闭")),
    ((T0 + 91 * US, T0 + 9 * HOUR_US),),
)


def changed(how: Callable[[Any], None]) -> bytes:
    """The manifest with something else in it, and the hash right."""
    whole = json.loads(encode(MANIFEST).partition(b"\n")[0])
    how(whole)
    text = json.dumps(whole).encode()
    return text + b"\n" + bytes_digest(text).hex().encode() + b"\n"


def test_a_manifest_reads_back_as_it_was_and_is_the_same_bytes_each_time() -> None:
    raw = encode(MANIFEST)
    assert decode(raw, KEY) == MANIFEST
    assert encode(decode(raw, KEY)) == raw


def test_a_full_hour_takes_a_few_hundred_bytes_a_segment() -> None:
    hour = replace(MANIFEST, segments=tuple(listed(T0 + at * 60 * US) for at in range(60)))
    assert len(encode(hour)) < 60 * 200


def test_an_empty_hour_and_one_with_a_gap_only_are_told_apart() -> None:
    empty = replace(MANIFEST, segments=(), gaps=(), expired=(), first_us=None)
    assert empty.is_empty
    assert decode(encode(empty), KEY) == empty
    assert not replace(empty, gaps=MANIFEST.gaps).is_empty


@given(
    st.builds(
        ManifestKey,
        st.integers(1, 2**32 - 1),
        st.integers(0, 70_000_000).map(lambda at: at * HOUR_US),
        st.integers(1, 2**32 - 1),
    )
)
def test_a_key_reads_back(key: ManifestKey) -> None:
    assert ManifestKey.parse(key.object_key) == key


def test_keys_are_listed_by_camera_hour_and_generation() -> None:
    keys = [ManifestKey(CameraNumber(c), T0 + h * HOUR_US, g) for c in (2, 10) for h in (0, 9, 23, 24) for g in (1, 2, 10)]
    assert sorted(keys, key=lambda key: key.object_key) == keys
    assert keys[0].object_key == "manifests/c0000000002/2026-11-22/00-0000000001.json"


@pytest.mark.parametrize(
    "text",
    [
        "manifests/c0000000001/2026-11-22/24-0000000001.json",
        "manifests/c0000000001/2026-02-30/10-0000000001.json",
        "manifests/c0000000001/1969-12-31/23-0000000001.json",
        "manifests/c0000000000/2026-11-22/10-0000000001.json",
        "manifests/c0000000001/2026-11-22/10-0000000000.json",
        "manifests/c1/2026-11-22/10-1.json",
        "manifests/notes.txt",
    ],
)
def test_what_is_no_key_of_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ManifestKey.parse(text)


@pytest.mark.parametrize("at", range(0, len(encode(MANIFEST)), 7))
def test_one_flipped_bit_anywhere_is_found(at: int) -> None:
    raw = bytearray(encode(MANIFEST))
    raw[at] ^= 1
    with pytest.raises(Damaged, match="manifests/c0000000007"):
        decode(bytes(raw), KEY)


@pytest.mark.parametrize("length", [0, 1, 66, 500, len(encode(MANIFEST)) - 1])
def test_one_cut_short_is_found(length: int) -> None:
    with pytest.raises(Damaged):
        decode(encode(MANIFEST)[:length], KEY)


@pytest.mark.parametrize(
    "how",
    [
        lambda whole: whole.update(format=2),
        lambda whole: whole.update(camera=8),
        lambda whole: whole.update(hour_us=T0 + HOUR_US),
        lambda whole: whole.update(generation=4),
        lambda whole: whole.update(epoch=-1),
        lambda whole: whole.update(epoch=True),
        lambda whole: whole.update(first_us=1.5),
        lambda whole: whole.update(longest_us=HOUR_US + 1),
        lambda whole: whole.update(segments=None),
        lambda whole: whole.pop("gaps"),
        lambda whole: whole["segments"].reverse(),
        lambda whole: whole["segments"].append(whole["segments"][-1]),
        lambda whole: whole["segments"][0].pop(),
        lambda whole: whole["segments"][0].__setitem__(0, T0 - 1),
        lambda whole: whole["segments"][2].__setitem__(0, T0 + HOUR_US),
        lambda whole: whole["segments"][0].__setitem__(3, 0),
        lambda whole: whole["segments"][0].__setitem__(3, HOUR_US + 1),
        lambda whole: whole["segments"][0].__setitem__(4, 0),
        lambda whole: whole["segments"][0].__setitem__(4, 2**63),
        lambda whole: whole["segments"][0].__setitem__(4, 10**4000),
        lambda whole: whole["segments"][0].__setitem__(5, 2**32),
        lambda whole: whole["segments"][0].__setitem__(6, 2),
        lambda whole: whole["segments"][0].__setitem__(6, -1),
        lambda whole: whole["segments"][0].__setitem__(7, 1),
        lambda whole: whole["segments"][0].__setitem__(8, MAX_US + 1),
        lambda whole: whole["segments"][0].__setitem__(9, 2**16),
        lambda whole: whole["segments"][0].__setitem__(10, "ab"),
        lambda whole: whole["segments"][0].__setitem__(10, 7),
        lambda whole: whole["params"].__setitem__(0, '[{"codec":"h264"}]'),
        lambda whole: whole["params"].__setitem__(0, "[" * 100_000),
        lambda whole: whole["params"].__setitem__(0, json.dumps([{"codec": "h264", "timescale": 2**40, "sets": [], "width": 1, "height": 1, "channels": 0, "name": ""}])),
        lambda whole: whole["classes"].__setitem__(0, "x" * 65),
        lambda whole: whole["counted"][0].__setitem__(0, 3),
        lambda whole: whole["counted"][0].__setitem__(1, MAX_US + 1),
        lambda whole: whole["counted"].append([0]),
        lambda whole: whole["gaps"].reverse(),
        lambda whole: whole["gaps"][0].__setitem__(1, T0 + 101 * US),
        lambda whole: whole["gaps"][0].__setitem__(1, T0 + 70 * US),
        lambda whole: whole["gaps"][0].__setitem__(0, T0 - 1),
        lambda whole: whole["gaps"][0].__setitem__(2, ""),
        lambda whole: whole["gaps"][0].__setitem__(2, "x" * 201),
        lambda whole: whole["expired"][0].__setitem__(1, T0),
        lambda whole: whole["expired"][0].__setitem__(0, T0 - 1),
        lambda whole: whole["expired"].append([T0 + 92 * US, T0 + 93 * US]),
    ],
)  # fmt: skip
def test_a_field_out_of_bounds_is_found_though_the_hash_is_right(how: Callable[[Any], None]) -> None:
    with pytest.raises(Damaged, match="manifests/c0000000007"):
        decode(changed(how), KEY)


def test_a_field_that_is_new_does_no_harm() -> None:
    assert decode(changed(lambda whole: whole.update(later="x")), KEY) == MANIFEST


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(Damaged):
        decode(text + b"\n" + bytes_digest(text).hex().encode() + b"\n", KEY)


def test_one_that_is_too_long_is_not_read() -> None:
    text = b" " * MAX_MANIFEST_BYTES
    with pytest.raises(Damaged):
        decode(text + b"\n" + bytes_digest(text).hex().encode() + b"\n", KEY)
