"""The access key of an object store: from the environment or from a file that only its owner may read; never shown.

What is done with it belongs to `vault.store.s3client`. It is read anew when the file changes, so that a key may be replaced
while the recorder runs.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vault.errors import ConfigError, NotFound, Refused
from vault.files import store_error

MAX_FILE_BYTES = 16 * 1024
MAX_CHARS = 8192
"""Session tokens are the long ones: a few kilobytes."""

ENVIRONMENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_FIELDS = ("access_key", "secret_key", "session_token")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What requests are signed with. Its repr shows nothing of it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class KeySource:
    """Where the key comes from: `path` where one is configured, else the environment. Safe for several threads."""

    __slots__ = ("_environment", "_path", "_seen")

    def __init__(self, path: Path | None, environment: Mapping[str, str] = os.environ) -> None:
        self._path = path
        self._environment = environment
        self._seen: tuple[tuple[int, int, int], AccessKey] | None = None

    def current(self) -> AccessKey:
        """The key as it is now. Raises ConfigError, NotFound, Refused when others may read the file, StoreError."""
        return self._from_environment() if self._path is None else self._from_file(self._path)

    def _from_environment(self) -> AccessKey:
        access, secret, token = (self._environment.get(name, "") for name in ENVIRONMENT)
        if not access or not secret:
            raise ConfigError(
                f"no access key for the object store: set {ENVIRONMENT[0]} and {ENVIRONMENT[1]} in the environment, "
                "or name a file of mode 0600 as store.credentials_file"
            )
        return _checked("the environment", {"access_key": access, "secret_key": secret, "session_token": token})

    def _from_file(self, path: Path) -> AccessKey:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"{path}: no such file; store.credentials_file names it as the access key's") from None
        except OSError as error:
            raise store_error(f"opening the access key {path}", error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{path}: is not a regular file; store.credentials_file names the access key's")
            if status.st_mode & 0o077:
                raise Refused(
                    f"{path}: the access key may be read by others (mode {stat.S_IMODE(status.st_mode):04o}); "
                    f"run `chmod 600 {path}`, and think of whom it was open to"
                )
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            seen = self._seen
            if seen is not None and seen[0] == version:
                return seen[1]
            data = os.read(fd, MAX_FILE_BYTES + 1)
        except OSError as error:
            raise store_error(f"reading the access key {path}", error) from error
        finally:
            os.close(fd)
        key = _parse(path, data)
        self._seen = (version, key)
        return key


def _parse(path: Path, data: bytes) -> AccessKey:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_FILE_BYTES} bytes; that is no access key")
    try:
        found = tomllib.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        # Without `from`, and without the parser's message: both may quote the secret.
        raise ConfigError(f"{path}: is not TOML; write access_key = '…' and secret_key = '…', a line each") from None
    if unknown := sorted(set(found) - set(_FIELDS)):
        raise ConfigError(f"{path}: unknown key {unknown[0][:40]!r}; known are {', '.join(_FIELDS)}")
    return _checked(str(path), found)


def _checked(where: str, found: Mapping[str, object]) -> AccessKey:
    values = []
    for name in _FIELDS:
        value = found.get(name, "")
        # Printable ASCII without spaces: it goes into a header.
        if not isinstance(value, str) or len(value) > MAX_CHARS or not all("!" <= character <= "~" for character in value):
            raise ConfigError(f"{where}: {name} must be text of printable ASCII without spaces")
        values.append(value)
    access, secret, token = values
    if not access or not secret:
        raise ConfigError(f"{where}: access_key and secret_key must both be given")
    return AccessKey(access, secret, token or None)
