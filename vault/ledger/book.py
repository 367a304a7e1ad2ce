"""The ledger's files while their lock is held: what is signed, what a crash left behind it, and writing the next batch.

A batch is written in this order, and is acknowledged behind the last step:

1. its lines, synced: from here on a crash keeps the entries
2. its nodes in the file of hashes, not synced: that file is made anew where it is wrong
3. the checkpoint over everything, synced

So whatever was acknowledged is under a checkpoint, and what stands behind the newest one was not. Its whole entries are kept (in
doubt, keep) and signed with the next batch; from the first one that is torn on, it is cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vault.clock import Clock
from vault.errors import Busy, Damaged, NotFound, StreamvaultError
from vault.files import FILE_MODE, make_folder, store_error, sync_folder, write_all, write_new_file
from vault.ledger.checkpoint import MAX_NOTE_BYTES, NOTE_LINES, Checkpoint, SignedCheckpoint, parse_note
from vault.ledger.entry import Kind
from vault.ledger.hashes import HashFile
from vault.ledger.journal import entries_from, entry_at, file_name, lines_of, log_files, month_of
from vault.ledger.merkle import extend, leaf_hash, peaks, root_of_peaks
from vault.ledger.signing import PREFIX, begins_with, origin_of, sign_checkpoint
from vault.ledger.succession import (
    MAX_STATEMENT_BYTES,
    MAX_STATEMENTS,
    SignedStatement,
    Succession,
    parse_succession,
    succession_of,
)
from vault.signing.ed25519 import MAX_PEM_BYTES, PublicKey
from vault.signing.keys import Keys
from vault.signing.signer import Signer
from vault.timebase import US

MAX_FILE_BYTES = 64 * 1024 * 1024
CHECKPOINTS = "checkpoints"
HASHES = "tree.hashes"
PUBLIC_KEY = "public.pem"
"""The key that signs now."""
KEYS = "keys"
"""The statements of succession, oldest first; none while the ledger's first key signs."""
WAIT_US = 30 * US
"""A process that was stopped while it held the lock must not stop the others without a word."""

_CHUNK = 4_096
_VERIFY = "run `streamvault ledger verify`"


@contextlib.contextmanager
def locked(folder: Path, clock: Clock) -> Iterator[None]:
    """Be the only one at the ledger's files, of all processes and threads. Raises Busy, StoreError."""
    try:
        make_folder(folder)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise store_error(f"opening the ledger {folder}", error) from error
    try:
        deadline_us = clock.mono_us() + WAIT_US
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.mono_us() > deadline_us:
                    raise Busy(f"{folder}: another process holds the ledger for over {WAIT_US // US} s") from None
                time.sleep(0.002)
        yield
    except OSError as error:
        raise store_error(f"using the ledger {folder}", error) from error
    finally:
        os.close(fd)


class Book:
    """Make it inside `locked`. `expected`: a checkpoint that this ledger is known to have had; nothing is changed without it.
    `signing`: with the private key that signs now. Without it what is signed is read, by the public key that lies here, and nothing
    is written before there is another (`vault.ledger.rotation`).

    Raises Damaged, NotFound and Refused for the key, StoreError, OSError.
    """

    def __init__(self, folder: Path, keys: Keys, expected: Checkpoint | None = None, *, signing: bool = True) -> None:
        self.folder = folder
        self.newest = newest_checkpoint(folder)
        self.signer: Signer | None = None
        self._told: set[str] = set()
        self.size, self._file, self._end_bytes = 0, "", 0
        if self.newest is not None:
            checkpoint = self.newest.checkpoint
            self.size, self._file, self._end_bytes = checkpoint.size, checkpoint.file, checkpoint.end_bytes
        if expected is not None and expected.size > self.size:
            raise Damaged(
                f"{folder}: the ledger was cut back: its newest checkpoint covers {self.size} entries, and there was one that "
                f"covered {expected.size}; {_VERIFY}"
            )
        self.succession = self._find_key(keys, signing)
        with HashFile(folder / HASHES) as hashes:
            self._prove_hashes(hashes)
            if expected is not None and hashes.root(expected.size) != expected.root:
                raise Damaged(f"{folder}: the ledger is another one than at entry {expected.size}: it was forked; {_VERIFY}")
            left = self._take_tail()
            self._peaks = peaks(hashes.node, self.size)
            if left:
                hashes.put(self.size, extend(self._peaks, self.size, left))
                self.size += len(left)

    @property
    def pending(self) -> list[SignedStatement]:
        """Statements of succession that no entry tells of yet: whoever wrote them was stopped there."""
        size = 0 if self.newest is None else self.newest.checkpoint.size
        return [one for one in self.succession.statements if one.statement.size >= size and one.note not in self._told]

    def adopt(self, succession: Succession, signer: Signer) -> None:
        """Sign with another key from here on."""
        self.succession, self.signer = succession, signer

    def write(self, lines: Sequence[bytes], time_us: int) -> SignedCheckpoint:
        """Append lines, each an entry with the next sequence, and everything not yet signed with them. Raises StoreFull, StoreError.

        Then nothing of it is there, unless taking it back failed too: a repetition is told by the entries' ids.
        """
        # A batch lies in one file.
        data = b"".join(line + b"\n" for line in lines)
        begins = not self._file or self._end_bytes + len(data) > MAX_FILE_BYTES
        name = file_name(self.size, time_us)
        begins = (begins or month_of(self._file) != month_of(name)) and bool(lines)
        name, offset = (name, 0) if begins else (self._file, self._end_bytes)
        found = list(self._peaks)
        made = extend(found, self.size, map(leaf_hash, lines))
        size = self.size + len(lines)
        assert self.signer is not None
        signed = sign_checkpoint(
            Checkpoint(self.succession.origin, size, root_of_peaks(found), name, offset + len(data)), self.signer
        )
        try:
            self._append_to(name, offset, data)
            with HashFile(self.folder / HASHES) as hashes:
                hashes.put(self.size, made)
            if self.newest is None:
                with contextlib.suppress(FileExistsError):
                    write_new_file(self.folder / PUBLIC_KEY, self.signer.public_pem)
            self._append_checkpoint(signed)
        except OSError as error:
            self._take_back(name, offset)
            raise store_error(f"appending {len(lines)} entries to the ledger {self.folder}", error) from error
        self.newest, self.size, self._file, self._end_bytes, self._peaks = signed, size, name, offset + len(data), found
        return signed

    def _find_key(self, keys: Keys, signing: bool) -> Succession:
        """The ledger's keys, and in `signer` the one that signs now, where it is to sign."""
        statements = read_statements(self.folder)
        if self.newest is None:
            if statements:
                raise Damaged(f"{self.folder / CHECKPOINTS}: is missing, and {KEYS} says that there were some; {_VERIFY}")
            if not signing:
                raise NotFound(f"the ledger {self.folder} has no entry yet, and so no key that signed one")
            self.signer = keys.begin()
            return succession_of(origin_of(self.signer.public), (), self.signer.public)
        origin = self.newest.checkpoint.origin
        try:
            if signing:
                wanted = statements[-1].statement.new.fingerprint if statements else origin.removeprefix(PREFIX)
                self.signer = keys.find(wanted)
                found = succession_of(origin, statements, None if statements else self.signer.public)
            else:
                found = succession_of(origin, statements, None if statements else first_public(self.folder, origin, keys))
            if not found.made(self.newest):
                raise Damaged("the newest checkpoint is not signed by the ledger's key of its time")
        except Damaged as error:
            raise Damaged(f"{self.folder}: {error}; {_VERIFY}") from None
        return found

    def _append_to(self, name: str, offset: int, data: bytes) -> None:
        fd = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            write_all(fd, offset, [data])
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if offset == 0:
            sync_folder(self.folder)

    def _append_checkpoint(self, signed: SignedCheckpoint) -> None:
        path = self.folder / CHECKPOINTS
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            before = os.fstat(fd).st_size
            try:
                write_all(fd, before, [signed.note.encode()])
                os.fdatasync(fd)
                if before == 0:
                    sync_folder(self.folder)
            except OSError:
                # Its entries are taken back, and what it signs would be missing.
                os.ftruncate(fd, before)
                raise
        finally:
            os.close(fd)

    def _take_back(self, name: str, offset: int) -> None:
        """After an error, under the lock still: nobody has seen any of it."""
        with contextlib.suppress(OSError):
            if offset:
                os.truncate(self.folder / name, offset)
            else:
                os.unlink(self.folder / name)
        with contextlib.suppress(OSError), HashFile(self.folder / HASHES) as hashes:
            hashes.cut(self.size)

    def _prove_hashes(self, hashes: HashFile) -> None:
        """Make the file of hashes lead to the newest checkpoint's root, anew from the entries where it does not."""
        if self.newest is None:
            hashes.cut(0)
            return
        checkpoint = self.newest.checkpoint
        with contextlib.suppress(EOFError):
            if hashes.root(checkpoint.size) == checkpoint.root:
                return
        self.remake_hashes(hashes)

    def remake_hashes(self, hashes: HashFile) -> None:
        """The file of hashes from the entries. Raises Damaged when these do not lead to the newest checkpoint's root."""
        assert self.newest is not None
        checkpoint = self.newest.checkpoint
        hashes.cut(0)
        found: list[bytes] = []
        for begin in range(0, checkpoint.size, _CHUNK):
            end = min(begin + _CHUNK, checkpoint.size)
            leaves = [leaf_hash(entry.line) for entry in entries_from(self.folder, begin, end)]
            hashes.put(begin, extend(found, begin, leaves))
        if root_of_peaks(found) != checkpoint.root:
            hashes.cut(0)
            raise Damaged(f"{self.folder}: the entries do not lead to the newest signed checkpoint; {_VERIFY}")

    def _take_tail(self) -> list[bytes]:
        """Leaf hashes of the whole entries behind the newest checkpoint; what is torn there is cut off, for good."""
        files = [file for file in log_files(self.folder) if file.path.name >= self._file]
        if self._file and (not files or files[0].path.name != self._file or files[0].path.stat().st_size < self._end_bytes):
            raise Damaged(f"{self.folder / self._file}: ends before byte {self._end_bytes}, which is signed; {_VERIFY}")
        if len(files) == bool(self._file) and (not files or files[0].path.stat().st_size == self._end_bytes):
            return []
        if len(files) > bool(self._file) + 1:
            raise Damaged(
                f"{self.folder}: several files of entries behind the newest checkpoint, which no crash leaves; {_VERIFY}"
            )
        leaves: list[bytes] = []
        for at, file in enumerate(files):
            end_bytes = self._end_bytes if file.path.name == self._file else 0
            torn = file.path.name != self._file and file.first != self.size + len(leaves)
            for line in lines_of(file.path, end_bytes) if not torn else ():
                try:
                    entry = entry_at(file.path, line, self.size + len(leaves))
                except Damaged:
                    torn = True
                    break
                leaves.append(leaf_hash(entry.line))
                if entry.kind == Kind.KEY:
                    self._told.add(str(entry.body.get("statement")))
                end_bytes = line.offset + len(line.raw) + 1
            if end_bytes:
                self._file, self._end_bytes = file.path.name, end_bytes
                os.truncate(file.path, end_bytes)
                _sync_file(file.path)
            else:
                torn = True
            if torn:
                for rest in files[at + bool(end_bytes) :]:
                    os.unlink(rest.path)
                break
        sync_folder(self.folder)
        return leaves


def newest_checkpoint(folder: Path) -> SignedCheckpoint | None:
    """The last whole note in the file of checkpoints; what is torn behind it is cut off. Its signature is not looked at.

    Raises Damaged, OSError.
    """
    path = folder / CHECKPOINTS
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(fd).st_size
        # Two notes: the last whole one, and a torn one behind it.
        begin = max(0, size - 2 * MAX_NOTE_BYTES)
        lines = os.pread(fd, size - begin, begin).decode("utf-8", "replace").splitlines(keepends=True)
        last = max((at for at, line in enumerate(lines) if line.startswith("\u2014 ") and line.endswith("\n")), default=-1)
        if last < 0 and begin == 0:
            os.ftruncate(fd, 0)
            return None
        signed = parse_note("".join(lines[max(0, last + 1 - NOTE_LINES) : last + 1]))
        if torn := "".join(lines[last + 1 :]):
            os.ftruncate(fd, size - len(torn.encode()))
    except StreamvaultError as error:
        raise Damaged(f"{path}: its end {error}; {_VERIFY}") from None
    finally:
        os.close(fd)
    return signed


def read_statements(folder: Path) -> tuple[SignedStatement, ...]:
    """The statements beside the checkpoints; their signatures are not looked at. Raises Damaged, OSError."""
    limit = MAX_STATEMENTS * MAX_STATEMENT_BYTES
    try:
        with (folder / KEYS).open("rb") as file:
            return parse_succession(file.read(limit + 1).decode("utf-8", "replace"))
    except FileNotFoundError:
        return ()
    except Damaged as error:
        raise Damaged(f"{folder / KEYS}: {error}; {_VERIFY}") from None


def first_public(folder: Path, origin: str, keys: Keys) -> PublicKey:
    """The key that the ledger's name is from, where no other followed it. Raises Damaged, OSError."""
    with contextlib.suppress(Damaged):
        if begins_with(origin, public := read_public(folder)):
            return public
    try:
        return keys.find(origin.removeprefix(PREFIX)).public
    except StreamvaultError:
        raise Damaged(
            f"{PUBLIC_KEY} is missing or not the key that the ledger {origin} began with, and its private key is not at hand either"
        ) from None


def read_public(folder: Path) -> PublicKey:
    """The key that lies beside the checkpoints. Raises Damaged, OSError."""
    try:
        with (folder / PUBLIC_KEY).open("rb") as file:
            return PublicKey.parse(file.read(MAX_PEM_BYTES + 1))
    except FileNotFoundError:
        raise Damaged(f"{PUBLIC_KEY} is missing") from None


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
