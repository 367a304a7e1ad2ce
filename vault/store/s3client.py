"""Requests to one S3 bucket: signed, repeated within bounds, answers and errors turned into ours. The only module that imports
minio. What an object means to the store (`vault.store.s3`) and what a bucket keeps (`vault.store.probe`) do not belong here.

The client's public calls can neither stream a file, nor send a body without hashing it over HTTP, nor sign a header of ours
with it (`put_object` reads parts into memory; `extra_headers` appears nowhere in it). The ways around that, least private last:
its `_execute` and `_url_open` are private and insist on their own content hash; a presigned URL signs no header, and versitygw
refuses it with any; so requests with headers of our own are signed by `minio.signer.sign_v4_s3`, which has no underscore, is
pure, and has kept its keywords through all of 7.x, and go through the very pool that the client was given
(`Minio(http_client=…)`, public). Addresses are built by its `BaseURL`, so that both spell a bucket's host alike. Listing and
bulk deletion are the client's own public calls.
"""

from __future__ import annotations

import hashlib
import ipaddress
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from xml.etree.ElementTree import ParseError

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error, ServerError
from minio.helpers import BaseURL
from minio.signer import sign_v4_s3

from vault.clock import Clock
from vault.config import Store
from vault.errors import ConfigError, StoreError, StoreFull
from vault.store.accesskey import KeySource
from vault.store.interface import ObjectStat
from vault.store.s3http import MAX_ANSWER_BYTES, Body, Http, StoreAway
from vault.timebase import US

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"

FIRST_WAIT_SECONDS = 0.2
LAST_WAIT_SECONDS = 5.0
DELETE_TOGETHER = 1000
"""The most that S3 takes in one request (DeleteObjects)."""

_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_AGAIN_CODES = frozenset({"AccessDenied"})
"""MinIO answers so to a put into a folder that another request empties at that moment; where access is denied for good, a few
attempts more cost nothing."""
_FULL = frozenset({"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"})
_HINTS = {
    "NoSuchBucket": "make the bucket, or correct store.bucket",
    "AccessDenied": "the access key may not do this; look at its policy",
    "InternalError": "its log says why; MinIO says so too of an object that its disk has no room for",
    "InvalidAccessKeyId": "the store does not know the access key",
    "SignatureDoesNotMatch": "the secret key or store.region is not the bucket's",
    "AuthorizationHeaderMalformed": "store.region is not the bucket's",
    "ExistingObjectIsDirectory": "a gateway over a file system says so where it cannot make a folder: its disk may be full",
    "ExpiredToken": "the access key has expired; put a new one in its place",
    "RequestTimeTooSkewed": "this machine's clock and the store's differ; correct the wrong one",
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store said. Header names are lower case; `code` is S3's word for an error, empty where there is none."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    code: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class _Keys(Provider):
    def __init__(self, source: KeySource) -> None:
        self._source = source

    def retrieve(self) -> Credentials:
        key = self._source.current()
        return Credentials(key.access_key, key.secret_key, key.session_token)


class S3Client:
    """One bucket. Safe for several threads."""

    def __init__(self, settings: Store, keys: KeySource, clock: Clock) -> None:
        """Nothing is sent yet. Raises ConfigError."""
        address = urlsplit(settings.endpoint)
        self.bucket = settings.bucket
        self.where = f"{settings.endpoint}/{settings.bucket}"
        self._secure = address.scheme == "https"
        self._unsigned = self._secure or settings.unsigned_payload or is_loopback(address.hostname or "")
        self._region = settings.region
        self._attempts = settings.attempts
        self._clock = clock
        self._closed = threading.Event()
        self._provider = _Keys(keys)
        self._http = Http(
            clock=clock,
            idle_seconds=settings.timeout_seconds,
            request_seconds=settings.request_seconds,
            connections=settings.connections,
            ca_file=Path(settings.tls_ca_file) if settings.tls_ca_file else None,
        )
        try:
            self._base = BaseURL(settings.endpoint, settings.region)
            self._minio = Minio(
                endpoint=address.netloc,
                secure=self._secure,
                region=settings.region,
                http_client=self._http,
                credentials=self._provider,
            )
        except ValueError as error:
            raise ConfigError(f"store.endpoint {settings.endpoint!r}: {error}") from error

    @property
    def hashes_payload(self) -> bool:
        """Whether a body's SHA-256 is signed with it: plain HTTP to another machine, where a checksum stops no forgery."""
        return not self._unsigned

    def close(self) -> None:
        """Let go of the connections; waits between attempts end."""
        self._closed.set()
        self._http.clear()

    def send(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        size_bytes: int = 0,
        sha256: str | None = None,
        limit: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """One signed request, sent once; any status is an answer. `key` None is the bucket itself.

        `headers` are signed as they are. `size_bytes` is the body's length when it is no `bytes`; `sha256` its hash where
        `hashes_payload`. Raises StoreAway when there is no answer, and what reading the key raises.
        """
        url = self._base.build(
            method=method, region=self._region, bucket_name=self.bucket, object_name=key,
            query_params={**query} if query else None,
        )  # fmt: skip
        if isinstance(body, bytes):
            size_bytes = len(body)
            sha256 = hashlib.sha256(body).hexdigest() if self.hashes_payload else None
        content = EMPTY_SHA256 if body is None else sha256 or UNSIGNED
        now = datetime.fromtimestamp(self._clock.now_us() / US, UTC)
        credentials = self._provider.retrieve()
        signed: dict[str, str | list[str] | tuple[str]] = dict(headers or {})
        signed |= {"Host": url.netloc, "x-amz-content-sha256": content, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
        if body is not None:
            signed["Content-Length"] = str(size_bytes)
        if credentials.session_token:
            signed["x-amz-security-token"] = credentials.session_token
        signed = sign_v4_s3(
            method=method, url=url, region=self._region, headers=signed, credentials=credentials,
            content_sha256=content, date=now,
        )  # fmt: skip
        try:
            response = self._http.urlopen(method, urlunsplit(url), headers=signed, body=body, limit=limit)
        except StoreAway as error:
            raise StoreAway(f"{method} {key or 'bucket'}: the store {self.where} {error}") from error
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, found, response.data, _code(response.status, response.data))

    def ask(self, doing: str, attempt: Callable[[], Answer], accept: Iterable[int] = (200, 204, 206)) -> Answer:
        """`attempt` until its answer is in `accept` or is one that will not get better. Raises StoreError, StoreFull."""
        accepted = frozenset(accept)

        def once() -> Answer:
            answer = attempt()
            if answer.status in accepted:
                return answer
            raise self.refusal(doing, answer)

        return self.repeated(once)

    def repeated(self, once: Callable[[], _T]) -> _T:
        """Call, and call again for what may pass, at most as often as configured. The waits double and are drawn at random
        (full jitter), or all recorders would come back at once to a store that was away."""
        wait_seconds = FIRST_WAIT_SECONDS
        for left in reversed(range(self._attempts)):
            try:
                return once()
            except StoreError as error:
                passing = isinstance(error, StoreAway | Passing)
                if not passing or not left or self._closed.wait(random.uniform(0, wait_seconds)):
                    raise
                wait_seconds = min(LAST_WAIT_SECONDS, wait_seconds * 2)
        raise StoreError(f"the store {self.where} was not asked: store.attempts is less than one")

    def refusal(self, doing: str, answer: Answer) -> StoreError:
        """The error for an answer that is none of those that were wanted."""
        word = answer.code or f"HTTP {answer.status}"
        hint = f"; {_HINTS[answer.code]}" if answer.code in _HINTS else ""
        text = f"{doing}: the store {self.where} answered {word}{hint}"
        if answer.code in _FULL or answer.status == 507:
            return StoreFull(f"{text}; free some space or lower what is kept")
        passing = answer.status in _AGAIN or answer.code in _AGAIN_CODES
        return Passing(text) if passing else StoreError(text)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """All objects whose name begins with `prefix`, as the store orders them; `key` is the whole name. Raises StoreError."""
        last: str | None = None
        for left in reversed(range(self._attempts)):
            try:
                for item in self._minio.list_objects(
                    bucket_name=self.bucket, prefix=prefix or None, recursive=True, start_after=last
                ):
                    if item.is_dir or item.object_name is None:
                        continue
                    modified = item.last_modified
                    yield ObjectStat(item.object_name, item.size or 0, round(modified.timestamp() * US) if modified else 0)
                    last = item.object_name
                    # It goes on behind what was given out, so whoever reads it sees each name once.
                return
            except (MinioException, ParseError, ValueError, StoreAway) as error:
                ours = self._converted(f"listing {prefix or 'all'}", error)
                if not left or not isinstance(ours, Passing | StoreAway):
                    raise ours from error
                self._closed.wait(random.uniform(0, FIRST_WAIT_SECONDS))

    def versions(self, name: str) -> Sequence[str]:
        """The ids of all versions of exactly this object, delete markers among them. Raises StoreError."""

        def once() -> Sequence[str]:
            try:
                found = self._minio.list_objects(bucket_name=self.bucket, prefix=name, recursive=True, include_version=True)
                return [item.version_id for item in found if item.object_name == name and item.version_id]
            except (MinioException, ParseError, ValueError, StoreAway) as error:
                raise self._converted(f"listing the versions of {name}", error) from error

        return self.repeated(once)

    def delete(self, objects: Sequence[tuple[str, str | None]]) -> dict[str, StoreError]:
        """Delete up to DELETE_TOGETHER objects or versions of objects, given as (name, version); what is not there is deleted.
        The answer says by name which were not and why. Raises StoreError."""
        names = {name for name, _ in objects}
        doing = f"deleting {len(objects)} objects" if len(objects) > 1 else f"deleting {objects[0][0]}"

        def once() -> dict[str, StoreError]:
            wanted = [DeleteObject(name=name, version_id=version) for name, version in objects]
            try:
                # It sends its requests while it is read, so it is read to its end.
                refused = [*self._minio.remove_objects(bucket_name=self.bucket, delete_object_list=wanted)]
            except (MinioException, ParseError, ValueError, StoreAway) as error:
                raise self._converted(doing, error) from error
            failures: dict[str, StoreError] = {}
            for item in refused:
                if item.name is None or item.name not in names:
                    raise self.refusal(doing, Answer(200, {}, b"", item.code))
                if item.code != "NoSuchKey":
                    failures[item.name] = self.refusal(f"deleting {item.name}", Answer(200, {}, b"", item.code))
            return failures

        return self.repeated(once)

    def _converted(self, doing: str, error: Exception) -> StoreError:
        if isinstance(error, StoreAway):
            return StoreAway(f"{doing}: the store {self.where} {error}")
        if isinstance(error, S3Error):
            return self.refusal(doing, Answer(error.response.status, {}, b"", error.code or ""))
        if isinstance(error, ServerError):
            return self.refusal(doing, Answer(error.status_code, {}, b""))
        # A proxy in between answers 503 with a page for people; minio keeps the number in its message alone.
        return Passing(f"{doing}: the store {self.where} answered with something that is not S3")


class Passing(StoreError):
    """The store answered that it cannot now: worth another attempt at once."""


def is_loopback(host: str) -> bool:
    """Whether packets to this host stay on this machine. A name other than `localhost` may be anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _code(status: int, data: bytes) -> str:
    """S3's word in an error document; empty where there is none."""
    if status < 300 or not data.lstrip().startswith(b"<"):
        return ""
    _, _, rest = data[:4096].partition(b"<Code>")
    word = rest.partition(b"</Code>")[0][:80].decode("ascii", "replace")
    return word if word.isidentifier() else ""
