"""A disk that remembers what was not synced: every step of a run on real files is noted, and after a power cut the folder is made
anew in any state that the steps allow.

What POSIX promises and no more: bytes are there after an fsync of their file or a syncfs; names after an fsync of their folder or a
syncfs. Before that, each write to a file may have happened in part, whatever became of the ones before it; and of the changes of one
folder's names any first part. Only the functions of `os` that the engine uses are watched, and only below the watched folders.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vault.files import Syncfs

Draw = Callable[[int], int]
"""Any number from 0 to this one."""


@dataclass(eq=False)
class File:
    """`durable` bytes, and what was written since: (offset, bytes), or (size, None) for a new size."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for step in self.pending:
            self.durable = applied(self.durable, *step)
        self.pending.clear()

    def torn(self, draw: Draw) -> bytes:
        """One of the contents that a power cut may leave."""
        data = self.durable
        for offset, written in self.pending:
            if written is None:
                data = applied(data, offset, None) if draw(1) else data
            elif kept := draw(len(written)):
                data = applied(data, offset, written[:kept])
        return data


@dataclass(eq=False)
class Folder:
    """Names that are durable, names as they are, and the changes in between: a name and what it is then, None when gone."""

    durable: dict[str, Node] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[str, Node | None]] = field(default_factory=list)

    def change(self, name: str, node: Node | None) -> None:
        self.pending.append((name, node))
        put(self.names, name, node)

    def sync(self) -> None:
        self.durable = dict(self.names)
        self.pending.clear()

    def torn(self, draw: Draw) -> dict[str, Node]:
        names = dict(self.durable)
        for name, node in self.pending[: draw(len(self.pending))]:
            put(names, name, node)
        return names


Node = File | Folder


def put(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def applied(data: bytes, offset: int, written: bytes | None) -> bytes:
    if written is None:
        return data[:offset].ljust(offset, b"\0")
    return data[:offset].ljust(offset, b"\0") + written + data[offset + len(written) :]


class TornDisk:
    """The watched folders of one root; what is in them at the beginning is durable. `cut_after`: the how manieth change from
    now on is the one at which the power fails; None for no end."""

    def __init__(self, root: Path, watched: list[str]) -> None:
        self.root = root
        self.top = Folder()
        for name in watched:
            self.top.change(name, _as_it_is(root / name))
        self.top.sync()
        self.cut_after: int | None = None
        self._fds: dict[int, Node] = {}

    @property
    def is_cut(self) -> bool:
        return self.cut_after == 0

    def make_torn(self, root: Path, draw: Draw) -> None:
        """The watched folders as they may be after the power cut, in `root`, which is the disk's from here on."""
        files: dict[File, File] = {}
        self.top = self._torn(self.top, root, draw, files)
        self.let_go()
        self.root, self.cut_after = root, None

    def let_go(self) -> None:
        """The process has ended: its descriptors are closed, and with them its locks are gone."""
        for fd in list(self._fds):
            os.close(fd)

    def write_back(self) -> None:
        """Time has passed, and the kernel has written everything by itself."""
        _sync_all(self.top)

    def _torn(self, folder: Folder, path: Path, draw: Draw, files: dict[File, File]) -> Folder:
        made = Folder()
        for name, node in sorted(folder.torn(draw).items()):
            if isinstance(node, Folder):
                (path / name).mkdir(mode=0o700)
                made.names[name] = self._torn(node, path / name, draw, files)
                continue
            if node not in files:
                files[node] = File(node.torn(draw))
            # Hard links become copies: nothing of ours writes to a file under two names.
            made.names[name] = files[node]
            (path / name).write_bytes(files[node].durable)
            (path / name).chmod(0o600)
        made.durable = dict(made.names)
        return made

    def _place(self, path: Any) -> tuple[Folder, str] | None:
        """The folder and the name of a watched path; None for any other."""
        try:
            parts = Path(os.fspath(path)).relative_to(self.root).parts
        except (ValueError, TypeError):
            return None
        folder = self.top
        for part in parts[:-1]:
            node = folder.names.get(part)
            if not isinstance(node, Folder):
                return None
            folder = node
        return (folder, parts[-1]) if parts and (folder is not self.top or parts[-1] in self.top.names) else None

    def _count(self) -> None:
        """One more change: the one at which the power fails does not happen, nor any after it."""
        if self.cut_after is not None and self.cut_after > 0:
            self.cut_after -= 1
        if self.is_cut:
            raise OSError(errno.EIO, "the power is cut")

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Stand between the engine and `os`, until `patch` is undone."""

        def by_path(name: str, note: Callable[[Folder, str], None]) -> None:
            real = getattr(os, name)

            def call(path: Any, *rest: Any, **options: Any) -> Any:
                place = self._place(path)
                if place is not None:
                    self._count()
                result = real(path, *rest, **options)
                if place is not None:
                    note(*place)
                return result

            patch.setattr(os, name, call)

        def by_fd(name: str, note: Callable[..., None]) -> None:
            real = getattr(os, name)

            def call(fd: int, *rest: Any, **options: Any) -> Any:
                if fd in self._fds:
                    self._count()
                result = real(fd, *rest, **options)
                if fd in self._fds:
                    note(self._fds[fd], result, *rest)
                return result

            patch.setattr(os, name, call)

        def written(file: File, done: int, buffers: Any, offset: int) -> None:
            file.pending.append((offset, b"".join(bytes(one) for one in buffers)[:done]))

        by_path("mkdir", lambda folder, name: folder.change(name, Folder()))
        by_path("unlink", lambda folder, name: folder.change(name, None))
        by_path("rmdir", lambda folder, name: folder.change(name, None))
        by_fd("pwritev", written)
        by_fd("pwrite", lambda file, done, data, offset: file.pending.append((offset, bytes(data)[:done])))
        by_fd("ftruncate", lambda file, _, size: file.pending.append((size, None)))
        by_fd("fsync", lambda node, _: node.sync())
        by_fd("fdatasync", lambda node, _: node.sync())
        self._watch_names(patch)

        def sync_all(_: Syncfs, fd: int) -> None:
            self._count()
            self.write_back()

        patch.setattr(Syncfs, "__call__", sync_all)

    def _watch_names(self, patch: pytest.MonkeyPatch) -> None:
        real_open, real_close, real_link, real_rename = os.open, os.close, os.link, os.rename

        def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            place = self._place(path)
            is_new = place is not None and flags & os.O_CREAT and place[1] not in place[0].names
            if is_new:
                self._count()
            fd = real_open(path, flags, *rest, **options)
            self._fds.pop(fd, None)
            if place is not None:
                if is_new:
                    place[0].change(place[1], File())
                self._fds[fd] = place[0].names[place[1]]
            return fd

        def closed(fd: int) -> None:
            self._fds.pop(fd, None)
            real_close(fd)

        def moved(real: Callable[..., None], goes: bool) -> Callable[..., None]:
            def call(source: Any, target: Any, **options: Any) -> None:
                here, there = self._place(source), self._place(target)
                if here is None or there is None:
                    real(source, target, **options)
                    return
                self._count()
                real(source, target, **options)
                there[0].change(there[1], here[0].names[here[1]])
                if goes:
                    here[0].change(here[1], None)

            return call

        patch.setattr(os, "open", opened)
        patch.setattr(os, "close", closed)
        patch.setattr(os, "link", moved(real_link, False))
        patch.setattr(os, "rename", moved(real_rename, True))


def _sync_all(node: Node) -> None:
    node.sync()
    if isinstance(node, Folder):
        for one in node.names.values():
            _sync_all(one)


def _as_it_is(path: Path) -> Node:
    if not path.is_dir():
        return File(path.read_bytes())
    folder = Folder({one.name: _as_it_is(one) for one in path.iterdir()})
    folder.names = dict(folder.durable)
    return folder
