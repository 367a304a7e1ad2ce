"""The audit ledger of a data folder, for whoever records deeds in it or proves them.

How to use it::

    ledger = Ledger(folder.ledger, folder.signing_keys(config), clock)        # opens nothing; thread-safe; cheap
    receipt = ledger.append([NewEntry(Kind.EXPORT, actor, {"camera": 7}, {"purpose": ...})])    # durable when it returns
    proof = ledger.prove(receipt.sequences[0])

A deed that is also a change of the index (a hold, a doomed batch, a registry document) is not appended directly: its entry goes
into the outbox in the same transaction (`index.outbox`), so that neither is there without the other. A long list goes beside the
ledger (`vault.ledger.lists`) and its hash into the entry.

Any process may append. Every call reads the state from the files under their lock, so a process that was killed is no trouble to
the next one, and nobody has to be told of another's entries. Bytes: `vault/ledger/FORMAT.md`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.clock import Clock, SystemClock
from vault.errors import Damaged, NotFound, UsageError
from vault.files import store_error
from vault.ledger.book import HASHES, Book, locked, newest_checkpoint
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint
from vault.ledger.entry import Entry, NewEntry, encode_entry
from vault.ledger.hashes import HashFile
from vault.ledger.journal import entries_from
from vault.ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from vault.ledger.rotation import finish_rotation, replace_lost, rotate
from vault.ledger.succession import SignedStatement, Succession
from vault.signing.keys import Keys
from vault.signing.signer import Signer

MAX_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """`sequences`: where each entry stands, as they were given. `signed`: a checkpoint that covers them all."""

    sequences: tuple[int, ...]
    signed: SignedCheckpoint


@dataclass(frozen=True, slots=True)
class Proof:
    """That `entry` stands in the ledger that `signed` speaks of: the audit path of RFC 6962 §2.1.1, lowest first."""

    entry: Entry
    signed: SignedCheckpoint
    path: tuple[bytes, ...]


class Ledger:
    """See the module. Every method raises Busy when another process holds the files for long, Damaged, StoreError."""

    def __init__(self, folder: Path, keys: Keys | Path, clock: Clock | None = None) -> None:
        """`keys`: where its key is looked for; of a ledger outside a data folder the key's file will do."""
        self.folder = folder
        self.keys = Keys(keys) if isinstance(keys, Path) else keys
        self._clock = clock or SystemClock()

    def append(
        self, entries: Sequence[NewEntry], *, unless_since: int | None = None, expected: Checkpoint | None = None
    ) -> Receipt:
        """All of them or none, durable and signed when this returns.

        `unless_since`: an entry whose id stands at this sequence or later already is not appended again; its place is in the
        receipt all the same. `expected`: a checkpoint that the ledger had; one that was cut back or forked is left as it is.

        Raises UsageError, StoreFull (nothing of it is there), Damaged (run `ledger verify`), and what reading the key raises.
        """
        if not 0 < len(entries) <= MAX_BATCH:
            raise UsageError(f"{len(entries)} entries at once for the ledger; 1 to {MAX_BATCH}")
        with self._book(expected) as book:
            if book.pending:
                # Whoever let another key take over was stopped on the way. What he chose about the old one's file is not known.
                finish_rotation(book, self.keys, self._clock.now_us(), keep_old=True)
            known = self._ids(unless_since, book.size)
            now_us = self._clock.now_us()
            sequences: list[int] = []
            lines: list[bytes] = []
            for new in entries:
                sequence = known.setdefault(new.id, book.size + len(lines))
                sequences.append(sequence)
                if sequence == book.size + len(lines):
                    lines.append(encode_entry(new, sequence, now_us if new.at_us is None else new.at_us))
            # Entries that a crash left unsigned are signed here too.
            unsigned = book.newest is None or book.newest.checkpoint.size != book.size
            signed = book.write(lines, now_us) if lines or unsigned else book.newest
            assert signed is not None
            return Receipt(tuple(sequences), signed)

    def newest(self) -> SignedCheckpoint | None:
        """The newest checkpoint, its signature not looked at; None while there is no entry."""
        if not self.folder.is_dir():
            return None
        with locked(self.folder, self._clock):
            return newest_checkpoint(self.folder)

    def entries(self, first: int = 0) -> Iterator[Entry]:
        """The signed entries from sequence `first` on, those that were there at the call."""
        signed = self.newest()
        if signed is None:
            return
        try:
            yield from entries_from(self.folder, first, signed.checkpoint.size)
        except OSError as error:
            raise store_error(f"reading the ledger {self.folder}", error) from error

    def prove(self, sequence: int) -> Proof:
        """Raises NotFound for an entry that is not there or not signed yet. The private key need not be at hand."""
        with self._book(signing=False) as book, HashFile(self.folder / HASHES) as hashes:
            signed = book.newest
            if signed is None or not 0 <= sequence < signed.checkpoint.size:
                raise NotFound(f"there is no entry {sequence} in the ledger {self.folder}")
            entry = next(entries_from(self.folder, sequence, sequence + 1))
            for again in (False, True):
                if again:
                    # Below the root that a start looks at, the file of hashes may have lost a page to a power cut.
                    book.remake_hashes(hashes)
                with contextlib.suppress(EOFError):
                    path = inclusion_proof(hashes.node, sequence, signed.checkpoint.size)
                    if verify_inclusion(leaf_hash(entry.line), sequence, signed.checkpoint.size, path, signed.checkpoint.root):
                        return Proof(entry, signed, tuple(path))
        raise Damaged(f"entry {sequence} of the ledger {self.folder} is not the one that was signed; run `ledger verify`")

    def prove_growth(self, older: Checkpoint) -> tuple[SignedCheckpoint, tuple[bytes, ...]]:
        """The newest checkpoint, and the path that proves the ledger of `older` to be its beginning (RFC 6962 §2.1.2).

        Raises Damaged when it is not: the ledger was cut back or forked. The private key need not be at hand.
        """
        with self._book(older, signing=False) as book, HashFile(self.folder / HASHES) as hashes:
            signed = book.newest
            assert signed is not None
            newest = signed.checkpoint
            for again in (False, True):
                if again:
                    book.remake_hashes(hashes)
                with contextlib.suppress(EOFError):
                    path = consistency_proof(hashes.node, older.size, newest.size)
                    if verify_consistency(older.size, newest.size, older.root, newest.root, path):
                        return signed, tuple(path)
        raise Damaged(f"the ledger {self.folder} is another one than at entry {older.size}; run `ledger verify`")

    def signer(self) -> Signer:
        """The key that signs the ledger now, for what else is signed by it. Ask anew each time: another may take over."""
        with self._book() as book:
            assert book.signer is not None
            return book.signer

    def succession(self) -> Succession:
        """Its keys, every statement proven; `.note` is what goes along with whatever is to be verified elsewhere.

        The private key need not be at hand. Raises NotFound where there is no entry yet.
        """
        if self.newest() is None:
            raise NotFound(f"the ledger {self.folder} has no entry yet, and so no key that signed one")
        with self._book(signing=False) as book:
            return book.succession

    def rotate(self, by: str, why: str, *, keep_old: bool = False, expected: Checkpoint | None = None) -> SignedStatement:
        """Let the ledger go on under another key, made where the configuration says; the old key signs that it does.

        `keep_old`: do not take the old key's file away. May be repeated after a crash: the ledger goes on under the old key or
        the new one. Raises Refused for a ledger without an entry, UsageError, what the keys' places raise, StoreError.
        """
        with self._book(expected) as book:
            return rotate(book, self.keys, by, why, self._clock.now_us(), keep_old=keep_old)

    def replace_lost_key(self, by: str, why: str, *, expected: Checkpoint | None = None) -> SignedStatement:
        """As `rotate`, where the old key is lost and signs nothing any more: a break, which `verify` tells for good.

        Raises Refused where the old key is at hand.
        """
        with self._book(expected, signing=False) as book:
            return replace_lost(book, self.keys, by, why, self._clock.now_us())

    @contextlib.contextmanager
    def _book(self, expected: Checkpoint | None = None, *, signing: bool = True) -> Iterator[Book]:
        with locked(self.folder, self._clock):
            yield Book(self.folder, self.keys, expected, signing=signing)

    def _ids(self, since: int | None, size: int) -> dict[str, int]:
        if since is None or since >= size:
            return {}
        return {entry.id: entry.sequence for entry in entries_from(self.folder, since, size)}
