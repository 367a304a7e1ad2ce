"""Reading a package, whatever form it has, into sizes, hashes and texts; and telling where its form is wrong.

Memory is bounded: of media and pages nothing is kept. Links are not followed, devices are not opened. Only the standard library of
Python 3.8 may be used here: see `access.package.bundle`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO

from access.package.verifier.forms import (
    MAX_FILES,
    NAME,
    PIECE_BYTES,
    TAR_END,
    File,
    Findings,
    is_text,
    read_header,
)

_DECRYPT = ("openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-md", "sha256", "-pass", "stdin", "-in")
MAX_HOLE_BYTES = 64 * 1024 * 1024
"""A file may claim a size that no disk has, and hashing nothing takes as long as hashing something."""
_NO_FOLLOWING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Reading:
    """`files`: by path in the package. `root` and `time`: what each name in a .tar begins with, and its seconds; empty and -1 of a folder."""

    def __init__(self, findings: Findings, password: Callable[[], str], progress: Callable[[int], None]) -> None:
        """`password`: asked for only where one is needed. `progress`: told how many more bytes were read."""
        self.files: dict[str, File] = {}
        self.root, self.time = "", -1
        self._note = findings.note
        self._password = password
        self._progress = progress
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))

    def read(self, path: str) -> bool:
        """Whether it was read to its end; where it was not, a finding says why."""
        with self._pool:
            try:
                if os.path.isdir(path):
                    return self._folder(path)
                if not stat.S_ISREG(os.stat(path).st_mode):
                    self._note("special", "", "neither a folder nor a plain file")
                    return False
                with open(path, "rb", buffering=0) as file:
                    encrypted = file.read(8) == b"Salted__"
                    file.seek(0)
                    return self._decrypted(path) if encrypted else self._tar(file)
            except OSError as error:
                self._note("unread", "", f"it cannot be read: {error.strerror}")
                return False

    def _folder(self, root: str) -> bool:
        paths: list[str] = []
        folders: list[str] = []
        pending = [""]
        while pending:
            folder = pending.pop()
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    path = folder + entry.name
                    if len(paths) + len(folders) >= MAX_FILES:
                        self._note("extra", path, f"there are more than {MAX_FILES} files")
                        return False
                    if not NAME.fullmatch(path):
                        self._note("name", path, "no package has a file of such a name")
                    elif entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
                        self._note("special", path, "it is a link or a device, not a plain file")
                    elif entry.is_dir():
                        folders.append(path + "/")
                        pending.append(path + "/")
                    else:
                        paths.append(path)
        used = {path[: at + 1] for path in paths for at, char in enumerate(path) if char == "/"}
        for folder in folders:
            if folder not in used:
                self._note("extra", folder, "a folder in which nothing of the package is")
        whole = True
        paths.sort()
        for at, file in enumerate(self._pool.map(lambda path: self._file(os.path.join(root, path), path), paths)):
            if file is None:
                whole = False
            else:
                self.files[paths[at]] = file
        return whole

    def _file(self, where: str, path: str) -> File | None:
        try:
            # A link or a pipe that took the file's place meanwhile is neither followed nor waited for.
            with os.fdopen(os.open(where, os.O_RDONLY | _NO_FOLLOWING), "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(0, "it is no plain file")
                if status.st_size > MAX_HOLE_BYTES and getattr(status, "st_blocks", status.st_size) * 512 < status.st_size // 8:
                    return File(status.st_size, "not looked at, because most of it is a hole", None)
                keep = is_text(path, status.st_size)
                digest, size, kept = hashlib.sha256(), 0, bytearray()
                buffer = memoryview(bytearray(min(PIECE_BYTES, status.st_size + 1)))
                count = file.readinto(buffer)
                # A file that grows while it is read must not keep us for ever.
                while count and size <= status.st_size:
                    digest.update(buffer[:count])
                    size += count
                    if keep:
                        kept += buffer[:count]
                    self._progress(count)
                    count = file.readinto(buffer)
                return File(size, digest.hexdigest(), bytes(kept) if keep else None)
        except OSError as error:
            self._note("unread", path, f"it cannot be read: {error.strerror}")
            return None

    def _decrypted(self, path: str) -> bool:
        secret = self._password().encode("utf-8", "surrogateescape") + b"\n"
        pipe = subprocess.PIPE
        try:
            run = subprocess.Popen([*_DECRYPT, os.path.abspath(path)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        except OSError as error:
            self._note("openssl", "", f"the command openssl cannot be run: {error.strerror}")
            return False
        with run:
            assert run.stdin
            assert run.stdout
            with suppress(BrokenPipeError), run.stdin:
                run.stdin.write(secret)
            whole = self._tar(run.stdout, "password", "this password does not open it")
            run.stdout.close()
        if whole and run.returncode != 0:
            self._note("container", "", "it cannot be decrypted to its end: bytes were changed or cut off there")
            return False
        return whole

    def _tar(
        self, stream: IO[bytes], kind: str = "container", why: str = "it is no package, or its first bytes were changed"
    ) -> bool:
        """`kind` and `why`: what is said where even the first header is not one."""
        at, before = 0, ""
        while True:
            block = _take(stream, 512)
            if block == TAR_END[:512]:
                break
            try:
                name, size, time = read_header(block)
            except (ValueError, OverflowError):
                if at == 0:
                    self._note(kind, "", why)
                elif len(block) < 512:
                    self._note("container", "", f"it is cut off at byte {at + len(block)}, behind {before}")
                else:
                    self._note("container", "", f"byte {at}: the header behind {before} was changed")
                return False
            root, _, path = name.partition("/")
            if not before:
                self.root, self.time = root, time
            if root != self.root or time != self.time or not NAME.fullmatch(path):
                self._note("name", name, f"byte {at}: its header does not belong to this package")
                return False
            if path in self.files or len(self.files) >= MAX_FILES:
                self._note("duplicate", path, f"byte {at}: it is there already")
                return False
            if path < before:
                self._note("order", path, f"byte {at}: it stands behind {before}")
            before = path
            at += 512
            file = self._member(stream, path, size)
            padding = _take(stream, -size % 512)
            if file.size != size or len(padding) != -size % 512:
                self._note("container", path, f"it is cut off at byte {at + file.size + len(padding)}, within this file")
                return False
            if padding.strip(b"\0"):
                self._note("container", path, f"byte {at + size}: bytes behind this file were changed")
            self.files[path] = file
            at += size + len(padding)
        rest = _take(stream, 513)
        if rest != TAR_END[:512]:
            self._note("container", "", f"byte {at + 512}: it does not end there as a package does")
        return True

    def _member(self, stream: IO[bytes], path: str, size: int) -> File:
        """The bytes of one file; fewer where the stream ends. One piece is hashed while the next is read."""
        keep = is_text(path, size)
        digest, done, kept, hashing = hashlib.sha256(), 0, bytearray(), None
        while done < size:
            piece = stream.read(min(size - done, PIECE_BYTES))
            if hashing:
                hashing.result()
            if not piece:
                break
            hashing = self._pool.submit(digest.update, piece)
            done += len(piece)
            if keep:
                kept += piece
            self._progress(len(piece))
        if hashing:
            hashing.result()
        return File(done, digest.hexdigest(), bytes(kept) if keep else None)


def _take(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, fewer at the stream's end."""
    data = b""
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            break
        data += piece
    return data
