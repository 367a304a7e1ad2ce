"""The configuration: strict TOML into frozen values. Each default stands at its field, with its bounds and its meaning.

What a value does belongs to whoever reads it; a key that nothing reads does not belong here. No secret stands in this file:
credentials of cameras are sealed in the registry, the object store's are in the environment or a file of their own.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vault.config_fields import flag as _flag
from vault.config_fields import nearest as _nearest
from vault.config_fields import number as _number
from vault.config_fields import read_section as _section
from vault.config_fields import shown as _shown
from vault.config_fields import text as _text
from vault.errors import ConfigError, UsageError
from vault.files import store_error
from vault.sizes import size_of
from vault.syslog import SyslogAddress

MAX_FILE_BYTES = 64 * 1024
MAX_LINE_BYTES = 4096
"""A configuration with more than these is some other file. The parser's time is the square of a dotted key's length."""

_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_PREFIX = re.compile(r"(?=.{1,200}$)[A-Za-z0-9_=+-][A-Za-z0-9_=+.-]*(?:/[A-Za-z0-9_=+-][A-Za-z0-9_=+.-]*)*/?")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")
_WEBHOOK = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:/[!-~]*)?")
_REGION = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Recording:
    """`[recording]`: how streams become segments."""

    segment_seconds: int = _number(60, 10, 600, "nominal length of a segment; it is cut at the next key frame")
    fragment_seconds: float = _number(1.0, 0.2, 1.0, "longest fragment: a killed process loses at most one")
    sweep_seconds: float = _number(1.0, 0.2, 2.0, "time between two sweeps over the sockets; longer costs less and lags more")
    sync_seconds: float = _number(5.0, 1.0, 10.0, "time between two syncs of the spool: a power cut loses at most this much")
    workers: int = _number(0, 0, 256, "recording processes; 0 is one per core")
    audio_wait_ms: int = _number(500, 0, 500, "longest wait of a cut for audio; later audio goes into the next segment")
    connect_timeout_seconds: float = _number(10.0, 1.0, 120.0, "longest wait for a camera to accept and to answer")
    tls_ca_file: str = _text("", "PEM file of the authorities that rtsps:// cameras are checked against; empty is the system's")
    spool_bytes: int = _number(
        0, 0, 2**60, "what may wait for the store; 0 is nine tenths of what the spool holds and is free there at the start"
    )
    silence_timeout_seconds: float = _number(10.0, 2.0, 300.0, "a camera that sends nothing for this long is connected anew")


@dataclass(frozen=True, slots=True)
class Retention:
    """`[retention]`: the least days each class is kept. The law's minimum is the lower bound; more is allowed."""

    key_days: int = _number(90, 90, 3650, "sites of class key: public areas and key units")
    general_days: int = _number(30, 30, 3650, "sites of class general: all others")
    viewing_days: int = _number(92, 92, 3650, "a unit's viewing room: three months, the longest of which have 92 days")
    time_zone: str = _text("Asia/Shanghai", "IANA name; a kept day ends when this zone's day does")
    run_minutes: int = _number(15, 1, 720, "time between two looks for what has expired")
    deletes_per_second: int = _number(
        2_000, 0, 1_000_000, "objects deleted a second at most, so that recording is served first; 0 is no limit"
    )

    def days(self, site_class: str) -> int:
        """Least days for a site class. Raises ConfigError for a class that is not known: nothing is guessed about keeping."""
        found = {"key": self.key_days, "general": self.general_days, "viewing": self.viewing_days}.get(site_class)
        if found is None:
            raise ConfigError(f"site class {site_class[:40]!r} is not known: it is one of key, general, viewing")
        return found

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone. Raises ConfigError where the host does not know it."""
        try:
            return zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                f"retention.time_zone: {self.time_zone[:80]!r} is not a time zone of this host: "
                "write an IANA name such as 'Asia/Shanghai', or install the tzdata package"
            ) from error


@dataclass(frozen=True, slots=True)
class Store:
    """`[store]`: where closed segments go."""

    kind: str = _text("local", "what kind of object store", ("local", "s3"))
    path: str = _text("store", "folder of the local store; a relative one is inside the data folder")
    endpoint: str = _text("", "s3: address of the server, as in https://s3.example:9000; its scheme decides about TLS")
    bucket: str = _text("", "s3: name of the bucket, which must exist")
    prefix: str = _text("", "s3: what every object's name begins with, so that several stores may share a bucket")
    region: str = _text("us-east-1", "s3: region that requests are signed for")
    tls_ca_file: str = _text(
        "",
        "s3: PEM file of the authorities the server is checked against, in the data folder if relative; empty is the system's",
    )
    credentials_file: str = _text(
        "", "s3: file of mode 0600 with access_key and secret_key, in the data folder if relative; empty is the environment"
    )
    object_lock: str = _text(
        "off",
        "s3: whether the bucket holds everyone to the least time to keep, and whether that may be taken back by who has the right",
        ("off", "governance", "compliance"),
    )
    unsigned_payload: bool = _flag(False, "s3: over plain HTTP to another machine, do not sign what is sent; saves CPU")
    timeout_seconds: float = _number(10.0, 0.5, 300.0, "s3: longest wait for the server's next move")
    request_seconds: float = _number(120.0, 1.0, 3600.0, "s3: longest time for one request as a whole")
    attempts: int = _number(3, 1, 10, "s3: how often a request is tried before its object is put aside")
    connections: int = _number(8, 1, 64, "s3: requests at a time")
    capacity: str = _text("", "how much it may hold, as in 400T, for forecasts; empty is the disk's size, of a bucket unknown")

    @property
    def capacity_bytes(self) -> int | None:
        """None where it is not told. Raises ConfigError."""
        try:
            return size_of(self.capacity) if self.capacity else None
        except UsageError as error:
            raise ConfigError(f"store.capacity: {error}") from error


@dataclass(frozen=True, slots=True)
class Index:
    """`[index]`: the LMDB environment."""

    map_bytes: int = _number(4 * 1024**3, 16 * 1024**2, 1024**4, "largest size of the index; 300 bytes a camera-minute")


@dataclass(frozen=True, slots=True)
class Alarms:
    """`[alarms]`: who is told of trouble, and when a camera's silence is trouble."""

    webhook: str = _text("", "address that each alarm's beginning and end is posted to as JSON; empty is nobody")
    webhook_token_file: str = _text(
        "", "file of mode 0600 with a token for the webhook, sent as a bearer token; in the data folder if relative"
    )
    syslog: str = _text("", "syslog receiver told of the same, as in tls://log.example:6514 (udp, tcp or tls); empty is nobody")
    tls_ca_file: str = _text(
        "", "PEM file of the authorities that both are checked against, in the data folder if relative; empty is the system's"
    )
    silent_seconds: float = _number(30.0, 10.0, 55.0, "a camera of which nothing is recorded for this long is an alarm")


@dataclass(frozen=True, slots=True)
class Metrics:
    """`[metrics]`: figures for Prometheus."""

    listen: str = _text("", "address that /metrics answers at while the recorder runs, as in 127.0.0.1:9465; empty is nowhere")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None when nothing listens. Raises ConfigError."""
        if not self.listen:
            return None
        match = _LISTEN.fullmatch(self.listen)
        if match is None or not 0 <= int(match[2]) < 65536:
            raise ConfigError(f"metrics.listen: {_shown(self.listen)} is not HOST:PORT, as in 127.0.0.1:9465")
        return match[1].strip("[]"), int(match[2])


@dataclass(frozen=True, slots=True)
class Access:
    """`[access]`: who may look at footage, where the rules leave it to the platform."""

    viewing_room: str = _text(
        "finding",
        "what becomes of a look by a unit whose viewing-room camera is missing or silent: refused, or a finding on record",
        ("finding", "refuse"),
    )
    host_terminal: bool = _flag(
        False,
        "whether this host's own command line is a declared terminal of every unit; else only of those that declared 127.0.0.1",
    )


@dataclass(frozen=True, slots=True)
class Signing:
    """`[signing]`: where the key lives that signs the ledger and packages. The key in use is found wherever it is of these
    places; `kind` is where `init` and `key rotate` make one."""

    kind: str = _text("file", "where a new key is made, or taken from", ("file", "environment", "pkcs11"))
    file: str = _text("", "the key's file of mode 0600, in the data folder if relative; empty is keys/ledger.key")
    environment: str = _text(
        "STREAMVAULT_SIGNING_KEY", "variable that holds the key as PEM; with _NEXT behind it, the next one"
    )
    library: str = _text("", "pkcs11: file of the token's library, as its maker names it")
    token: str = _text("", "pkcs11: label of the token")
    label: str = _text("streamvault-ledger", "pkcs11: label of the key pairs on it, of this installation alone")
    pin_file: str = _text(
        "", "pkcs11: file of mode 0600 with the PIN, in the data folder if relative; empty is STREAMVAULT_PKCS11_PIN"
    )


@dataclass(frozen=True, slots=True)
class Forward:
    """`[forward]`: who is sent each entry of the ledger. Files are in the data folder if relative."""

    address: str = _text("", "syslog receiver of the ledger, as in tls://log.example:6514 (tls or tcp); empty is nobody")
    tls_ca_file: str = _text("", "PEM file of the authorities that it is checked against; empty is the system's")
    tls_cert_file: str = _text("", "PEM file of the certificate that we show it; empty is none")
    tls_key_file: str = _text("", "file of mode 0600 with that certificate's key, in PEM")
    settle_seconds: int = _number(60, 10, 3600, "what it read and kept no longer than this before it went away is sent again")
    message_bytes: int = _number(8192, 2048, 131_072, "longest message; what is longer goes in parts")
    alarm_minutes: int = _number(15, 1, 1440, "an alarm once entries have waited for so long")


@dataclass(frozen=True, slots=True)
class Config:
    """All sections. `source` is the file it came from (None: defaults only), `given` the keys (`section.key`) set there."""

    recording: Recording = field(default_factory=Recording)
    retention: Retention = field(default_factory=Retention)
    store: Store = field(default_factory=Store)
    index: Index = field(default_factory=Index)
    alarms: Alarms = field(default_factory=Alarms)
    metrics: Metrics = field(default_factory=Metrics)
    access: Access = field(default_factory=Access)
    signing: Signing = field(default_factory=Signing)
    forward: Forward = field(default_factory=Forward)
    source: Path | None = None
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One value as `config check` prints it. `source` is the file's name or `default`."""

    key: str
    value: bool | int | float | str
    source: str
    doc: str


_SECTIONS: Mapping[str, type[Any]] = {
    "recording": Recording,
    "retention": Retention,
    "store": Store,
    "index": Index,
    "alarms": Alarms,
    "metrics": Metrics,
    "access": Access,
    "signing": Signing,
    "forward": Forward,
}


def load(path: Path | None) -> Config:
    """Read a configuration file; None gives the defaults. Raises ConfigError, StoreError when it cannot be read."""
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a configuration file") from None
    except OSError as error:
        raise store_error(f"reading the configuration {path}", error) from error
    return parse(data, path)


def parse(data: bytes, path: Path) -> Config:
    """The configuration in `data`; `path` is for messages. Raises ConfigError naming file and key, never another exception."""
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_FILE_BYTES} bytes; that is no configuration")
    if max(map(len, data.split(b"\n"))) > MAX_LINE_BYTES:
        raise ConfigError(f"{path}: has a line longer than {MAX_LINE_BYTES} bytes; that is no configuration")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except (tomllib.TOMLDecodeError, ValueError) as error:
        # ValueError: an integer of thousands of digits.
        raise ConfigError(f"{path}: is not TOML: {str(error)[:200]}") from error
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    sections: dict[str, Any] = {}
    given: set[str] = set()
    for name, table in document.items():
        kind = _SECTIONS.get(name)
        if kind is None:
            what = "section" if isinstance(table, dict) else "key"
            raise ConfigError(f"{path}: unknown {what} {_shown(name)}{_nearest(name, _SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} is a section: write [{name}] and its keys below")
        sections[name] = _section(path, name, kind, table)
        given.update(f"{name}.{key}" for key in table)
    config = Config(**sections, source=path, given=frozenset(given))
    try:
        _ = config.retention.zone, config.metrics.address, config.store.capacity_bytes
        if config.alarms.syslog:
            SyslogAddress.parse(config.alarms.syslog)
        if config.forward.address and SyslogAddress.parse(config.forward.address).transport == "udp":
            raise ConfigError("forward.address: UDP loses what nobody misses; write tls:// or tcp://")
        if config.alarms.webhook and not _WEBHOOK.fullmatch(config.alarms.webhook):
            raise ConfigError("alarms.webhook must be http:// or https:// HOST and a path, without a user or password in it")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if problem := _store_problem(config.store):
        raise ConfigError(f"{path}: {problem}")
    if bool(config.signing.library) != bool(config.signing.token) or (
        config.signing.kind == "pkcs11" and not config.signing.library
    ):
        raise ConfigError(f"{path}: signing.library and signing.token are set together, and kind = 'pkcs11' needs both")
    if config.recording.sweep_seconds > config.recording.silence_timeout_seconds / 2:
        raise ConfigError(f"{path}: recording.silence_timeout_seconds must be at least twice recording.sweep_seconds")
    return config


def describe(config: Config) -> list[ConfigLine]:
    """Every value in effect with where it came from, in the order of the sections."""
    lines = []
    for section, kind in _SECTIONS.items():
        values = getattr(config, section)
        for item in dataclasses.fields(kind):
            key = f"{section}.{item.name}"
            source = str(config.source) if key in config.given else "default"
            lines.append(ConfigLine(key, getattr(values, item.name), source, item.metadata["doc"]))
    return lines


def _store_problem(store: Store) -> str | None:
    """What does not fit together in `[store]`."""
    if store.kind != "s3":
        if store.object_lock != "off":
            return f"store.object_lock is for kind = 's3', and store.kind is {store.kind!r}"
        # A forgotten `kind` would record to the local disk what was meant for the bucket.
        meant = "endpoint" if store.endpoint else "bucket"
        return f"store.{meant} is for kind = 's3', and store.kind is {store.kind!r}" if store.endpoint or store.bucket else None
    if store.path != Store().path:
        return "store.path is for kind = 'local', and store.kind is 's3'"
    address = _ENDPOINT.fullmatch(store.endpoint)
    if address is None:
        return "store.endpoint must be the server's address alone, as in https://s3.example:9000: no user, path or query"
    if not _BUCKET.fullmatch(store.bucket):
        return "store.bucket must be 3 to 63 lower-case letters, digits, dots and hyphens, as S3 names buckets"
    if store.prefix and not _PREFIX.fullmatch(store.prefix):
        return "store.prefix must be letters, digits and _=+.- in parts between slashes, at most 200 characters"
    if not _REGION.fullmatch(store.region):
        return "store.region must be letters, digits, - and _"
    if store.request_seconds < store.timeout_seconds:
        return "store.request_seconds must be at least store.timeout_seconds"
    return None
