"""What a bucket really does, each feature shown by its behaviour and not by a 200: `streamvault store probe`.

A trial puts objects of a few bytes under names of its own and takes them away again. It changes nothing about the bucket
itself: switching versioning or object lock on cannot be undone, so that is the owner's to do. What is done with the result
belongs to whoever asked.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from vault.clock import Clock
from vault.errors import Refused, StoreError
from vault.store.s3client import Answer, S3Client
from vault.store.s3features import Checksum, checksum_header, put, stored, trial_name
from vault.store.s3source import content_range
from vault.timebase import US

LOCK_MINUTES = 20
"""Longer than the quarter of an hour by which a store's clock and ours may differ before it refuses our requests."""

AT_ONCE = 4


class Verdict(StrEnum):
    """`pretended`: it said yes and did not do it, which is worse than `absent`."""

    KEPT = "kept"
    ABSENT = "absent"
    PRETENDED = "pretended"


@dataclass(frozen=True, slots=True)
class Trial:
    """One feature: what was seen, and what streamvault does about it."""

    feature: str
    verdict: Verdict
    seen: str
    so: str


@dataclass(frozen=True, slots=True)
class Report:
    """All trials of one bucket, in their order."""

    where: str
    trials: tuple[Trial, ...]

    def verdict(self, feature: str) -> Verdict:
        """Raises KeyError for a feature that is not tried."""
        return {trial.feature: trial.verdict for trial in self.trials}[feature]

    def require(self, feature: str) -> None:
        """Raises Refused, naming the feature, when the bucket does not keep it."""
        verdict = self.verdict(feature)
        if verdict is not Verdict.KEPT:
            does = "only pretends to have it" if verdict is Verdict.PRETENDED else "does not have it"
            raise Refused(
                f"{feature} is asked for, and the store {self.where} {does}; `streamvault store probe` shows what it did"
            )


def probe(client: S3Client, prefix: str, clock: Clock) -> Report:
    """Try everything; `prefix` is the store's own, ending with a slash or empty. Raises StoreError when the bucket cannot be
    used at all."""
    trials = (
        _ranges(client, prefix),
        _conditional(client, prefix),
        _conditional_race(client, prefix),
        _checksum(client, prefix, Checksum.CRC32C, "every put carries it"),
        _checksum(client, prefix, Checksum.MD5, "sent where CRC32C is not checked; without either, objects are read back"),
        _versioning(client, prefix),
        try_object_lock(client, prefix, clock),
        _legal_hold(client, prefix),
    )
    return Report(client.where, trials)


def _ranges(client: S3Client, prefix: str) -> Trial:
    name, so = "ranges", "footage is read by range; a store without cannot be used"
    data = bytes(range(250))
    with trial_name(client, prefix) as key:
        put(client, key, data, must=True)
        middle = _get(client, key, "bytes=10-19")
        tail = _get(client, key, "bytes=-7")
    if middle.data == data[10:20] and content_range(middle) == (10, 20, len(data)):
        from_the_end = "and from its end" if tail.data == data[-7:] else "but not from its end"
        return Trial(name, Verdict.KEPT, f"{middle.status} and the very bytes asked for, {from_the_end}", so)
    if middle.status == 206:
        return Trial(name, Verdict.PRETENDED, "206 and other bytes than asked for", so)
    return Trial(name, Verdict.ABSENT, f"{_said(middle)} to a range in the middle", so)


def _conditional(client: S3Client, prefix: str) -> Trial:
    name, so = "conditional put", "else a key is looked for before it is put"
    condition = {"If-None-Match": "*"}
    with trial_name(client, prefix) as key:
        first = put(client, key, b"first", condition)
        if not first.ok:
            return Trial(name, Verdict.ABSENT, f"{_said(first)} to the first put", so)
        second = put(client, key, b"second", condition)
        kept = stored(client, key) == b"first"
    if second.status == 412 and kept:
        return Trial(name, Verdict.KEPT, "412 to the second put, and the first bytes stayed", so)
    if second.ok or not kept:
        return Trial(
            name, Verdict.PRETENDED, f"{_said(second)} to the second put, and the bytes {'stayed' if kept else 'changed'}", so
        )
    return Trial(name, Verdict.ABSENT, f"{_said(second)} to the second put", so)


def _conditional_race(client: S3Client, prefix: str) -> Trial:
    """The same with several at once: a server that looks first and writes then lets more than one through."""
    name, so = "conditional put at once", "keys are never reused, so two writers of one key are a repetition of the same bytes"
    won: list[int] = []
    with trial_name(client, prefix) as key:
        start = threading.Barrier(AT_ONCE)

        def one(number: int) -> None:
            start.wait(timeout=30)
            try:
                if put(client, key, bytes([number]) * 65536, {"If-None-Match": "*"}).ok:
                    won.append(number)
            except StoreError:
                # A conflict that the store did not settle for this one; the others tell.
                return

        threads = [threading.Thread(target=one, args=(number,)) for number in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        there = stored(client, key)
    if len(won) == 1 and there == bytes(won) * 65536:
        return Trial(name, Verdict.KEPT, f"one of {AT_ONCE} was taken, and its bytes are there", so)
    if not won:
        return Trial(name, Verdict.ABSENT, f"none of {AT_ONCE} was taken", so)
    return Trial(name, Verdict.PRETENDED, f"{len(won)} of {AT_ONCE} were told that theirs was taken", so)


def _checksum(client: S3Client, prefix: str, checksum: Checksum, so: str) -> Trial:
    name = f"checksum {checksum}"
    good, bad = b"as it was sent", b"as it arrived."
    with trial_name(client, prefix) as key:
        fits = put(client, key, good, checksum_header(good, checksum))
        if not fits.ok:
            return Trial(name, Verdict.ABSENT, f"{_said(fits)} to a body that fits", so)
        refused = put(client, key, bad, checksum_header(good, checksum))
        kept = stored(client, key) == good
    if not refused.ok and kept:
        return Trial(name, Verdict.KEPT, f"{_said(refused)} to a body that does not fit", so)
    return Trial(name, Verdict.PRETENDED, f"{_said(refused)} to a body that does not fit", so)


def _versioning(client: S3Client, prefix: str) -> Trial:
    name, so = "versioning", "where it is on, deleted footage stays as an old version until that is deleted too"
    with _versions(client, prefix) as (key, seen):
        for data in (b"first", b"second"):
            seen.append(put(client, key, data, must=True).headers.get("x-amz-version-id", ""))
        said = b"<Status>Enabled<" in client.ask("trying the bucket", lambda: client.send("GET", query={"versioning": ""})).data
        named = len(set(seen) - {"", "null"}) == 2
        if not said and not named:
            return Trial(name, Verdict.ABSENT, "off", so)
        if named and [stored(client, key, {"versionId": version}) for version in seen] == [b"first", b"second"]:
            return Trial(name, Verdict.KEPT, "on: both versions of an object can be read", so)
    return Trial(name, Verdict.PRETENDED, "said to be on, and the first version cannot be read any more", so)


def try_object_lock(client: S3Client, prefix: str, clock: Clock) -> Trial:
    """Put something with a term in governance mode, and try to delete it. Raises StoreError."""
    name, so = "object lock", "set where store.object_lock asks for it, and never relied on unless it is kept"
    until = datetime.fromtimestamp(clock.now_us() / US + LOCK_MINUTES * 60, UTC)
    locked = {
        "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    with _versions(client, prefix) as (key, seen):
        answer = put(client, key, b"locked", locked | checksum_header(b"locked", Checksum.MD5))
        if not answer.ok:
            return Trial(name, Verdict.ABSENT, f"{_said(answer)} to a put with a term", so)
        return _deleted(client, name, key, seen, answer, so)


def _legal_hold(client: S3Client, prefix: str) -> Trial:
    name, so = "legal hold", "never relied on unless it is kept"
    with _versions(client, prefix) as (key, seen):
        there = put(client, key, b"held", must=True)
        answer = _hold(client, key, "ON")
        if not answer.ok:
            seen.append(there.headers.get("x-amz-version-id", ""))
            return Trial(name, Verdict.ABSENT, f"{_said(answer)} to a hold", so)
        try:
            return _deleted(client, name, key, seen, there, so)
        finally:
            _hold(client, key, "OFF")


def _deleted(client: S3Client, name: str, key: str, seen: list[str], there: Answer, so: str) -> Trial:
    """Try to delete what must not be deleted: the very version, since without one a delete only hides it."""
    version = there.headers.get("x-amz-version-id", "")
    seen.append(version)
    query = {"versionId": version} if version else None
    answer = client.ask("trying the bucket", lambda: client.send("DELETE", key, query=query), range(200, 500))
    remains = stored(client, key, query) is not None
    if not answer.ok and remains:
        return Trial(name, Verdict.KEPT, f"{_said(answer)} to deleting it, and it is there", so)
    return Trial(name, Verdict.PRETENDED, f"{_said(answer)} to deleting it, and it is {'there' if remains else 'gone'}", so)


@contextmanager
def _versions(client: S3Client, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """A name for a trial and a list of the versions made; they are deleted afterwards, against a governance term too."""
    seen: list[str] = []
    with trial_name(client, prefix) as key:
        try:
            yield key, seen
        finally:
            for version in filter(None, seen):
                headers = {"x-amz-bypass-governance-retention": "true"}
                sent = _sender(client, "DELETE", key, {"versionId": version}, headers)
                client.ask("clearing up after a trial", sent, range(200, 500))


def _sender(
    client: S3Client, method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes | None = None
) -> Callable[[], Answer]:
    return lambda: client.send(method, key, query=query, headers=headers, body=body)


def _hold(client: S3Client, key: str, status: str) -> Answer:
    body = f'<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>{status}</Status></LegalHold>'.encode()
    # Amazon S3 wants a checksum of this body; every server knows this one.
    headers = {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")}
    return client.ask(
        "trying the bucket", _sender(client, "PUT", key, {"legal-hold": ""}, headers, body), (*range(200, 500), 501)
    )


def _get(client: S3Client, key: str, wanted: str) -> Answer:
    return client.ask("trying the bucket", lambda: client.send("GET", key, headers={"Range": wanted}), range(200, 500))


def _said(answer: Answer) -> str:
    return f"{answer.status} {answer.code}".strip()
