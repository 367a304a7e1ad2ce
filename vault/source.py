"""Where readers get a segment's bytes from: ranged reads of a file, of a stored object, or of bytes in memory.

What the bytes mean is in `vault.segment`; which store or spool they came from is known only to whoever opened the source.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vault.errors import Damaged, NotFound
from vault.files import read_error


class ByteSource(Protocol):
    """Bytes that can be read by range. Safe to read from several threads at once."""

    @property
    def size(self) -> int:
        """Length in bytes when it was opened; a file that is being recorded may have grown since."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; the caller owns them.

        Raises Damaged when there are not that many, StoreError when the medium or the store does not deliver.
        """
        ...


class OpenSource(ByteSource, Protocol):
    """A ByteSource that holds something open: close it, or use it in a `with`."""

    def close(self) -> None:
        """Let go. A second close is fine; a read after it is a mistake and raises ValueError or StoreError."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def _outside(name: str, offset: int, length: int, size: int) -> Damaged:
    return Damaged(f"{name}: wanted {length} bytes at {offset}, but it has {size}")


class BytesSource:
    """Bytes in memory."""

    __slots__ = ("_data", "_name")

    def __init__(self, data: bytes, name: str = "bytes in memory") -> None:
        self._data = data
        self._name = name

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > len(self._data):
            raise _outside(self._name, offset, length, len(self._data))
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FileSource:
    """A local file. It stays readable after its name is gone: deletion does not cut a read short."""

    __slots__ = ("_fd", "_name", "_size")

    def __init__(self, path: Path) -> None:
        """Open for reading. Raises NotFound, Damaged when it is not a regular file, StoreError; Unreadable, as each read may."""
        self._fd = -1
        self._name = str(path)
        try:
            # O_NONBLOCK: a FIFO under this name must not hang us; it means nothing for a regular file.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"{path}: no such file") from None
        except OSError as error:
            raise read_error(f"opening {path}", error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(f"{path}: is not a regular file; something else wrote here, look at it by hand")
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._size = status.st_size

    @property
    def size(self) -> int:
        return self._size

    @property
    def modified_us(self) -> int:
        """When it was last written, by the file system."""
        return os.fstat(self._fd).st_mtime_ns // 1000

    def fileno(self) -> int:
        """The descriptor, for `sendfile`; it stays ours."""
        return self._fd

    def refresh(self) -> int:
        """Look at the length again, for a file that is being recorded; returns the new `size`."""
        self._size = os.fstat(self._fd).st_size
        return self._size

    def forget(self) -> None:
        """Let the next read ask the medium, not memory."""
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise _outside(self._name, offset, length, self._size)
        if offset + length > self._size:
            # Refused before the read: a hostile length must not make us reserve memory for it.
            raise _outside(self._name, offset, length, self._size)
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    raise _outside(self._name, offset, length, offset + len(data))
                data += more
        except OSError as error:
            raise read_error(f"reading {length} bytes at {offset} of {self._name}", error) from error
        return data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer that the caller owns and uses again. Errors as `read`."""
        done = 0
        try:
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
                if count == 0:
                    raise _outside(self._name, offset, len(buffer), offset + done)
                done += count
        except OSError as error:
            raise read_error(f"reading {len(buffer)} bytes at {offset} of {self._name}", error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A source that was forgotten is a bug, but it must not run the process out of descriptors.
        self.close()
