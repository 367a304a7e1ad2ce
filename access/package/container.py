"""Handing a sealed package out: as a folder, one `.tar`, or the `.tar` encrypted to a password. Bytes: `access/package/PACKAGE.md`.

What is there under the target's name is whole and durable. A kill leaves at most `ID.part` beside it, which the next attempt replaces.
Whatever else stands there or beside it is somebody's, and stays.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from access.package.cipher import Encryption, check_password, new_password
from access.package.seal import MANIFEST, SIGNATURE
from access.package.verifier.forms import TAR_END, read_header, tar_header
from vault.errors import NotFound, UsageError
from vault.files import FILE_MODE, FOLDER_MODE, Buffer, store_error, sync_folder, write_all

PIECE_BYTES: Final = 1024 * 1024

Progress = Callable[[int], None]
"""Told how many more bytes are written."""


class Form(enum.StrEnum):
    """`FOLDER`: `ID`. `TAR`: `ID.tar`. `ENCRYPTED`: `ID.tar.enc`, which `openssl enc -d` opens."""

    FOLDER = "folder"
    TAR = "tar"
    ENCRYPTED = "encrypted"

    def file_name(self, export: str) -> str:
        """What a package of this form is called."""
        return export + {"folder": "", "tar": ".tar", "encrypted": ".tar.enc"}[self.value]


_OTHERS: Final = (
    ".7z", ".avi", ".bz2", ".cab", ".gpg", ".gz", ".html", ".img", ".iso", ".json", ".m4v", ".mkv", ".mov", ".mp4", ".pdf", ".ps",
    ".rar", ".tbz", ".tgz", ".ts", ".txz", ".xz", ".zip", ".zst",
)  # fmt: skip
"""Endings of files that a package never is. A folder's name may have dots in it, so that only what people name files by is here."""


def form_named(output: Path) -> Form:
    """The form that an output's name asks for. Raises UsageError for a file of another kind; a folder that is there is none."""
    ending = output.suffix
    if ending in (".enc", ".tar"):
        return Form.ENCRYPTED if ending == ".enc" else Form.TAR
    if ending.lower() in _OTHERS and not output.is_dir():
        raise UsageError(
            f"{output}: a package is a folder, a .tar or an encrypted .tar.enc, never a {ending}; name one of those, or say --form"
        )
    return Form.FOLDER


@dataclass(frozen=True, slots=True)
class Delivered:
    """What stands at `path`, durable. `password`: the one that was made, to be shown once and kept nowhere; None where the caller
    gave one or none is needed."""

    path: Path
    size_bytes: int
    password: str | None = field(default=None, repr=False)


def deliver(
    package: Path,
    target: Path,
    form: Form,
    password: str | None = None,
    *,
    replace: bool = False,
    progress: Progress = lambda size: None,
) -> Delivered:
    """Put the sealed package at `target`; `package` itself stays. `password` is for the encrypted form only.

    `replace`: an attempt that was killed is repeated: this very package may stand at the target. Raises UsageError (a target that
    is taken too), NotFound for a package without its seal, StoreFull, StoreError.
    """
    if password is not None and form is not Form.ENCRYPTED:
        raise UsageError("only an encrypted package has a password")
    if not (package / SIGNATURE).is_file():
        raise NotFound(f"{package}: is not sealed yet")
    taken = os.path.lexists(target)
    if taken and not (replace and stands_at(target, form, package.name, _sha256(package / MANIFEST))):
        raise UsageError(f"{target}: is there already, and is not this package; move it away, or name another target")
    part = part_path(target, package.name)
    if taken and form is not Form.ENCRYPTED:
        # It got its name in one step, and nothing of it changes any more. An encrypted one is made anew, with a password that is known.
        _remove(part)
        sync_folder(target.absolute().parent)
        return Delivered(target, _size(target))
    made = new_password() if form is Form.ENCRYPTED and password is None else None
    secret = made or password
    if secret is not None:
        check_password(secret)
    try:
        _remove(part)
        if form is Form.FOLDER:
            size = _copy_folder(package, part, progress)
        else:
            size = _write_tar(package, part, None if secret is None else Encryption(secret), progress)
        if os.path.lexists(target) and not taken:
            raise UsageError(f"{target}: is there by now; move it away, or name another target")
        os.rename(part, target)
        sync_folder(target.absolute().parent)
    except OSError as error:
        raise store_error(f"writing the package {target}", error) from error
    return Delivered(target, size, made)


def part_path(target: Path, export: str) -> Path:
    """What a package is called beside its target before it is whole."""
    return target.with_name(f"{export}.part")


def stands_at(target: Path, form: Form, export: str, manifest_sha256: str) -> bool:
    """Whether what is at the target is this package, however newer its proofs are. Of an encrypted one its form is all that shows."""
    try:
        if target.is_symlink() or target.is_dir() != (form is Form.FOLDER):
            return False
        if form is Form.FOLDER:
            return _sha256(target / MANIFEST) == manifest_sha256
        with target.open("rb") as file:
            head = file.read(512)
        return head[:8] == b"Salted__" if form is Form.ENCRYPTED else read_header(head)[0].startswith(f"{export}/")
    except (OSError, ValueError, OverflowError):
        return False


def taken_away(target: Path, export: str) -> int:
    """What was being written at the target goes; how many bytes of the package stood there."""
    part = part_path(target, export)
    try:
        if part.is_dir() and not part.is_symlink():
            size = sum(path.lstat().st_size for path in part.rglob("*") if path.is_file())
            shutil.rmtree(part)
            return size
        size = part.lstat().st_size
        part.unlink()
    except OSError:
        return 0
    return size


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _size(path: Path) -> int:
    files = [path / name for name in package_files(path)] if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files)


def package_files(package: Path) -> list[str]:
    """Every file of a package by its path in it, in the order of a `.tar`. Raises OSError."""
    found = []
    for folder, _, names in os.walk(package):
        found += [(Path(folder) / name).relative_to(package).as_posix() for name in names]
    return sorted(found)


def _copy_folder(package: Path, part: Path, progress: Progress) -> int:
    """Names of the same bytes where the file system can, copies elsewhere."""
    os.mkdir(part, FOLDER_MODE)
    size, folders = 0, {part}
    for path in package_files(package):
        made = part / path
        made.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folders |= {parent for parent in made.parents if part in parent.parents}
        try:
            os.link(package / path, made)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            _copy(package / path, made)
        size += made.stat().st_size
        progress(made.stat().st_size)
    for folder in folders:
        sync_folder(folder)
    return size


def _copy(source: Path, target: Path) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        at = 0
        for piece in _pieces(source):
            at = write_all(fd, at, [piece])
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_tar(package: Path, part: Path, encryption: Encryption | None, progress: Progress) -> int:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        at = 0 if encryption is None else write_all(fd, 0, [encryption.header])
        for piece in _tar_pieces(package):
            at = write_all(fd, at, [piece if encryption is None else encryption.update(piece)])
            progress(len(piece))
        if encryption is not None:
            at = write_all(fd, at, [encryption.finish()])
        os.fsync(fd)
        return at
    finally:
        os.close(fd)


def _tar_pieces(package: Path) -> Iterator[Buffer]:
    custody = json.loads((package / "data" / "custody.json").read_bytes())
    time = custody["made_us"] // 1_000_000
    for path in package_files(package):
        size = (package / path).stat().st_size
        yield tar_header(f"{custody['export']}/{path}", size, time)
        done = 0
        for piece in _pieces(package / path):
            done += len(piece)
            yield piece
        if done != size:
            raise OSError(errno.EIO, f"{path} changed while it was packed")
        yield bytes(-size % 512)
    yield TAR_END


def _pieces(path: Path) -> Iterator[memoryview]:
    """A file's bytes in one buffer that is used again."""
    buffer = memoryview(bytearray(PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            yield buffer[:size]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
