"""The data folder: what lies where, its version, who may read it, and the lock that lets one supervisor in.

What is inside the files belongs to other modules; the default site is made by the registry's owner after `init`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vault.config import Config
from vault.errors import Busy, Damaged, NotFound, Refused, UsageError
from vault.files import FILE_MODE, make_folder, store_error, sync_folder, write_new_file
from vault.secrets import CredentialBox
from vault.signing.keys import Keys

VERSION = 1
"""Of the folder's layout. A later program reads older ones or says which program does."""

_FIRST_LINE = "streamvault data folder"
_OURS = frozenset({"VERSION", "streamvault.toml", "keys", "index", "ledger", "run", "spool", "store", "exports"})
_CONFIG = """\
# Configuration of this data folder. `streamvault config check` prints every key with its value, meaning and source.
"""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths of an existing data folder. Make it by `open` or `init`, which check it."""

    path: Path

    def holds(self, path: Path) -> bool:
        """Whether a file of that name would be inside: what is handed out has no place there, where it is taken for the engine's own
        and tidied, erased or read as what it is not."""
        return path.parent.resolve().is_relative_to(self.path.resolve())

    @property
    def config_file(self) -> Path:
        return self.path / "streamvault.toml"

    @property
    def key_file(self) -> Path:
        return self.path / "keys" / "credentials.key"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger"

    @property
    def ledger_key(self) -> Path:
        """Where the key is that signs the ledger, unless the configuration says another place; made with the first entry."""
        return self.path / "keys" / "ledger.key"

    def signing_keys(self, config: Config) -> Keys:
        """The places of the key that signs the ledger."""
        return Keys(self.ledger_key, config.signing)

    @property
    def index(self) -> Path:
        return self.path / "index"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def exports(self) -> Path:
        """Working folders of exports that are under way."""
        return self.path / "exports"

    def export_lock_file(self, export: str) -> Path:
        return self.run / f"export-{export}.lock"

    def store(self, config: Config) -> Path:
        """Folder of the local store; `store.path` may lead to another file system."""
        return self.path / config.store.path

    @classmethod
    def init(cls, path: Path, fill: Callable[[DataFolder], None] = lambda folder: None) -> DataFolder:
        """Make a data folder with its keys, durable; `fill` puts into it what else belongs there. VERSION is written last, so
        that an `init` that was cut short may be repeated. Raises UsageError when there is one or something else is in the folder, StoreError."""
        folder = cls(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = set(os.listdir(path))
            if "VERSION" in names:
                raise UsageError(f"{path}: is a data folder already; nothing was changed")
            if foreign := sorted(name for name in names if name.removesuffix(".new") not in _OURS):
                raise UsageError(f"{path}: is not empty ({foreign[0][:60]!r} is in it); name a new or an empty folder")
            path.chmod(0o700)
            for part in (folder.index, folder.spool, folder.run, folder.key_file.parent, path / "store"):
                make_folder(part)
            if not folder.key_file.exists():
                CredentialBox.create(folder.key_file)
            if not folder.config_file.exists():
                write_new_file(folder.config_file, _CONFIG.encode())
            fill(folder)
            write_new_file(path / "VERSION", f"{_FIRST_LINE}\n{VERSION}\n".encode())
            sync_folder(path.absolute().parent)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{path}: a file is in the way of the data folder, or two programs make it at once") from None
        except OSError as error:
            raise store_error(f"making the data folder {path}", error) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> DataFolder:
        """An existing data folder of this version that only its owner may enter.

        Raises NotFound when there is none, Refused for another version or when others may read it (it holds keys and
        footage: an error and not a warning, since nobody reads warnings of a service), Damaged, StoreError.
        """
        try:
            status = os.stat(path)
            with (path / "VERSION").open("rb") as file:
                text = file.read(200).decode("ascii", "replace")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{path}: is not a data folder; `streamvault --data {path} init` makes one") from None
        except OSError as error:
            raise store_error(f"opening the data folder {path}", error) from error
        first, _, rest = text.partition("\n")
        if first != _FIRST_LINE or not rest.strip().isdecimal():
            raise Damaged(f"{path / 'VERSION'}: is not what `init` writes; restore it from a backup")
        if int(rest) != VERSION:
            raise Refused(
                f"{path}: is a data folder of version {int(rest)}, and this program works on version {VERSION}; "
                f"use the streamvault that {'made' if int(rest) > VERSION else 'upgrades'} it"
            )
        if status.st_mode & 0o077:
            raise Refused(
                f"{path}: may be entered by others (mode {stat.S_IMODE(status.st_mode):04o}), and it holds keys; "
                f"run `chmod 700 {path}`"
            )
        return cls(path)

    def credentials(self) -> CredentialBox:
        """The box that opens the cameras' credentials. Raises NotFound, Refused, Damaged, StoreError."""
        return CredentialBox(self.key_file)

    def supervisor_lock(self) -> contextlib.AbstractContextManager[None]:
        """Be the one supervisor of this folder. Raises Busy, naming the process that is, StoreError."""
        return self._lock("supervisor.lock", "is recording into this data folder; stop it first")

    def retention_lock(self) -> contextlib.AbstractContextManager[None]:
        """Be the one who deletes from this folder's store. Raises Busy, naming the process that is, StoreError."""
        return self._lock("retention.lock", "is deleting what has expired here; try again when it is done")

    def export_lock(self, export: str) -> contextlib.AbstractContextManager[None]:
        """Be the one who works on this export. Raises Busy, naming the process that is, StoreError."""
        return self._lock(self.export_lock_file(export).name, f"is working on export {export}; wait for it, or end it")

    @contextlib.contextmanager
    def _lock(self, name: str, doing: str) -> Iterator[None]:
        """The kernel lets go of the lock when the process ends, however it ends; a child made by `spawn` does not inherit it."""
        path = self.run / name
        try:
            make_folder(self.run)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        except OSError as error:
            raise store_error(f"opening {path}", error) from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
                who = f"process {holder}" if holder.isdecimal() else "another process"
                raise Busy(f"{self.path}: {who} {doing}") from None
            # Who it is stands there for people only: a full disk must not keep retention from making room.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(fd)
            raise store_error(f"locking {path}", error) from error
        except BaseException:
            os.close(fd)
            raise
        try:
            yield
        finally:
            # The file stays: removing it would let two processes lock two files of one name.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
            os.close(fd)
