"""What a bucket really does about the things that putting and deleting depend on: conditions, checksums and versions. Found out
by trying.

The full table for people is `vault.store.probe`'s, which is made of the same trials.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

import google_crc32c

from vault.errors import StoreError
from vault.store.s3client import Answer, S3Client

PROBE_FOLDER = ".streamvault-probe/"
"""Below the prefix; a name with a leading dot is no object's key, so nobody takes it for one."""


class Checksum(StrEnum):
    """By which the store makes sure that a body arrived as it was sent."""

    CRC32C = "crc32c"
    MD5 = "md5"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Features:
    """What putting and deleting may rely on."""

    conditional_put: bool
    checksum: Checksum
    versioned: bool = False
    """Deleting an object only hides it, and its versions have to be deleted one by one."""


def find_features(client: S3Client, prefix: str) -> Features:
    """Try a bucket out; objects of a few bytes come and go. Raises StoreError."""
    with trial_name(client, prefix) as name:
        conditional = honours_condition(client, name)
        versioned = put(client, name, b"again").headers.get("x-amz-version-id", "null") != "null"
    for checksum in (Checksum.CRC32C, Checksum.MD5):
        with trial_name(client, prefix) as name:
            if refuses_damage(client, name, checksum):
                return Features(conditional, checksum, versioned)
    return Features(conditional, Checksum.NONE, versioned)


@contextmanager
def trial_name(client: S3Client, prefix: str) -> Iterator[str]:
    """A fresh name for a trial; what was put under it is deleted."""
    name = f"{prefix}{PROBE_FOLDER}{secrets.token_hex(8)}"
    try:
        yield name
    finally:
        versions: Sequence[str] = ()
        # Not every server can list versions, and then there are none.
        with suppress(StoreError):
            versions = [version for version in client.versions(name) if version != "null"]
        client.delete([(name, version) for version in versions] or [(name, None)])


def honours_condition(client: S3Client, name: str) -> bool:
    """Whether `If-None-Match: *` keeps a second put from replacing the first: its answer says so and so do the bytes there."""
    first = put(client, name, b"first", {"If-None-Match": "*"})
    if not first.ok:
        put(client, name, b"first", must=True)
        return False
    second = put(client, name, b"second", {"If-None-Match": "*"})
    return second.status == 412 and stored(client, name) == b"first"


def refuses_damage(client: S3Client, name: str, checksum: Checksum) -> bool:
    """Whether a body that does not fit its checksum is refused, and one that does is taken."""
    good, bad = b"as it was sent", b"as it arrived."
    if not put(client, name, good, checksum_header(good, checksum)).ok:
        return False
    refused = put(client, name, bad, checksum_header(good, checksum))
    return not refused.ok and stored(client, name) == good


def checksum_header(data: bytes, checksum: Checksum) -> dict[str, str]:
    """The header that tells the store what `data` must sum up to."""
    if checksum is Checksum.MD5:
        return {"Content-MD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")}
    crc = google_crc32c.value(data).to_bytes(4, "big")
    return {"x-amz-checksum-crc32c": base64.b64encode(crc).decode("ascii"), "x-amz-sdk-checksum-algorithm": "CRC32C"}


def put(client: S3Client, name: str, data: bytes, headers: dict[str, str] | None = None, *, must: bool = False) -> Answer:
    """Put a few bytes; any answer will do but for those that may pass, and `must` wants a good one. Raises StoreError."""

    def attempt() -> Answer:
        return client.send("PUT", name, headers=headers, body=data)

    accept = {200} if must else {*range(200, 500), 501} - {408, 429}
    answer = client.ask("trying the bucket", attempt, accept)
    if answer.status in (401, 403) or answer.code == "NoSuchBucket":
        # Not a feature that lacks: nothing at all can be done here.
        raise client.refusal("trying the bucket", answer)
    return answer


def stored(client: S3Client, name: str, query: dict[str, str] | None = None) -> bytes | None:
    """The bytes there; None when nothing is."""
    answer = client.ask("trying the bucket", lambda: client.send("GET", name, query=query), (200, 404, 405))
    return answer.data if answer.ok else None
