"""Checking a whole ledger: each entry against the tree, the tree against every checkpoint that anybody kept. Only reads.

What tells an edited entry from the one that was signed is the file of hashes, as far as it leads to a signed root. Where that
file is no witness, the checkpoints are: what was changed lies between the last that agrees and the first that does not.
"""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vault.errors import Damaged, NotFound
from vault.files import store_error
from vault.ledger.book import CHECKPOINTS, HASHES, KEYS, PUBLIC_KEY
from vault.ledger.checkpoint import Checkpoint, SignedCheckpoint, parse_note, split_notes
from vault.ledger.entry import Entry, Kind
from vault.ledger.hashes import HashFile, leaves_of
from vault.ledger.journal import log_files
from vault.ledger.lists import read_list
from vault.ledger.merkle import extend, leaf_hash, root_of_peaks
from vault.ledger.scan import Order
from vault.ledger.succession import Succession
from vault.ledger.verify_keys import (
    Told,
    Trust,
    breaks_in,
    find_succession,
    is_statement,
    outside_span,
    trust_in,
    untold,
    wrong_beside,
)
from vault.signing.keys import Keys

MAX_FINDINGS = 100
_CHUNK = 4_096

Progress = Callable[[str, int], None]
"""Told the step's name and how many entries it has seen so far."""


class What(enum.StrEnum):
    """What is wrong."""

    EDITED = "edited"
    REMOVED = "removed"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FORKED = "forked"
    CHECKPOINT = "checkpoint"
    """One that cannot be read, or that this ledger's key did not sign."""
    HASHES = "hashes"
    """The file of hashes is wrong; the entries may be right, and then the next append makes it anew."""
    LIST = "list"
    """A list that an entry names is missing or was changed."""
    SUCCESSION = "succession"
    """The statements of succession lack one, or hold one that is forged, moved or told of nowhere; or they lead to no trusted key;
    or the public key beside them is another."""
    BREAK = "break"
    """A key was replaced without the old one's signature, and nobody said that the new one is trusted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`first` and `last`: the entries that it is about, both included; None where it is about none. `where`: a file or place."""

    what: What
    first: int | None
    last: int | None
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint, or a statement of succession, that was kept outside the ledger's folder. `where`: the place, for people."""

    where: str
    note: str


@dataclass(slots=True)
class Report:
    """`entries`: how many are signed; `unsigned`: whole ones behind them, which a crash leaves and the next append signs."""

    entries: int = 0
    unsigned: int = 0
    checkpoints: int = 0
    findings: list[Finding] = field(default_factory=list)
    succession: Succession | None = None
    """The ledger's keys, as far as they are proven."""
    trust: Trust | None = None
    """Which key all this was verified against, and whose word that is. None where there is nothing to verify."""

    def add(self, what: What, first: int | None, last: int | None, where: str, message: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(what, first, last, where, message))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A checkpoint and where it was found. `own`: in the ledger's folder."""

    signed: SignedCheckpoint
    where: str
    own: bool

    @property
    def checkpoint(self) -> Checkpoint:
        return self.signed.checkpoint


def verify(
    folder: Path,
    keys: Keys,
    anchors: Sequence[Anchor] = (),
    progress: Progress = lambda step, seen: None,
    trusted: Collection[str] = (),
) -> Report:
    """Everything that can be told of the ledger in `folder`. `anchors` must have been read before this is called, or a ledger
    that grows meanwhile would look cut back. No private key is needed. With fingerprints `trusted` these alone are, a break behind
    which one of them signs is accepted, and no private key is looked for; else what is at hand of `keys` is trusted; and where
    nothing is, the ledger's own word for its key, which the report says. Raises StoreError, Damaged where no key is there at all."""
    work = _Verification(folder, keys, progress, trusted)
    try:
        work.run(anchors)
    except OSError as error:
        raise store_error(f"verifying the ledger {folder}", error) from error
    return work.report


class _Verification:
    def __init__(self, folder: Path, keys: Keys, progress: Progress, trusted: Collection[str]) -> None:
        self._folder = folder
        self._keys = keys
        self._progress = progress
        self._trusted = trusted
        self._told: Told = {}
        self._succession: Succession
        self.report = Report()

    def run(self, anchors: Sequence[Anchor]) -> None:
        """Fill the report."""
        kept = sorted(self._kept(anchors), key=lambda one: one.checkpoint.size)
        self.report.checkpoints = len(kept)
        own = [one for one in kept if one.own]
        if not own and (kept or log_files(self._folder)):
            self.report.add(What.CHECKPOINT, None, None, CHECKPOINTS, "there is no checkpoint beside the entries")
        # The newest of all, and the newest of its own: whatever the file of hashes leads to makes it a witness.
        for one in dict.fromkeys([*kept[-1:], *own[-1:]]):
            if self._succession.made(one.signed) and self._leads_to(one.checkpoint):
                with HashFile(self._folder / HASHES, write=False) as hashes:
                    self._entries(hashes, one.checkpoint.size, one.checkpoint.size)
                    self._compare(hashes, one.checkpoint.size, kept, trusted=True)
                    self._compare_statements(hashes, one.checkpoint.size)
                return
        if kept:
            self.report.add(
                What.HASHES, None, None, HASHES, "it does not lead to a signed checkpoint; the next append makes it anew"
            )
        size = kept[-1].checkpoint.size if kept else 0
        with tempfile.TemporaryDirectory(prefix="streamvault-") as scratch, HashFile(Path(scratch) / HASHES) as hashes:
            count = self._rehash(hashes, size)
            self._entries(None, 0, size)
            self._compare(hashes, count, kept, trusted=False)
            self._compare_statements(hashes, count)

    def _kept(self, anchors: Sequence[Anchor]) -> Iterator[_Kept]:
        """Every checkpoint that can be read. Of those beside the entries each must name the key of its time, and the first and last
        that a key signed are looked at for their signature; the others only when they disagree."""
        statements = [anchor for anchor in anchors if is_statement(anchor.note)]
        found = [(anchor.note, anchor.where, False) for anchor in anchors if anchor not in statements]
        try:
            text = (self._folder / CHECKPOINTS).read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            text = ""
        notes, torn = split_notes(text)
        # A torn end is what a crash leaves of a note that was never acknowledged.
        if len(torn) > len(notes[-1]) if notes else bool(torn):
            self.report.add(What.CHECKPOINT, None, None, CHECKPOINTS, "bytes behind its last checkpoint are none")
        found += [(note, f"{CHECKPOINTS}, number {at}", True) for at, note in enumerate(notes)]
        kept: list[_Kept] = []
        for note, where, own in found:
            try:
                kept.append(_Kept(parse_note(note), where, own))
            except Damaged as error:
                self.report.add(What.CHECKPOINT, None, None, where, f"it {error}")
        self._find_keys([one.checkpoint.origin for one in kept if one.own][-1:], statements)
        yield from self._signed(kept)

    def _find_keys(self, origin: Sequence[str], kept: Sequence[Anchor]) -> None:
        held = [] if self._trusted else self._keys.held()
        self._succession, wrong = find_succession(self._folder, held, self._trusted, origin)
        self.report.succession = self._succession
        self.report.trust, _ = trust_in(self._succession, held, self._trusted)
        for message in wrong:
            self.report.add(What.SUCCESSION, None, None, KEYS, message)
        for message in breaks_in(self._succession, self._trusted):
            self.report.add(What.BREAK, None, None, KEYS, message)
        known = {one.note for one in self._succession.statements}
        for anchor in kept:
            if anchor.note not in known:
                message = "a statement of succession that was kept here is not among the ledger's"
                self.report.add(What.SUCCESSION, None, None, anchor.where, message)

    def _signed(self, kept: Sequence[_Kept]) -> Iterator[_Kept]:
        """Those that the key of their time signed, as far as is looked."""
        own = [one for one in kept if one.own]
        keys = [self._succession.key_at(one.checkpoint.size) for one in own]
        ends = {id(one) for at, one in enumerate(own) if not 0 < at < len(own) - 1 or len({*keys[at - 1 : at + 2]}) > 1}
        for one in kept:
            thorough = not one.own or id(one) in ends
            if self._succession.made(one.signed) if thorough else self._succession.is_named(one.signed):
                yield one
            else:
                message = outside_span(self._succession, one.signed) or "the ledger's key did not sign it"
                self.report.add(What.CHECKPOINT, None, None, one.where, message)

    def _leads_to(self, checkpoint: Checkpoint) -> bool:
        """Whether the file of hashes is right in each of its nodes, up to this checkpoint's root."""
        found: list[bytes] = []
        try:
            with HashFile(self._folder / HASHES, write=False) as hashes:
                for first, last in _chunks(checkpoint.size):
                    span = hashes.span(first, last)
                    if b"".join(extend(found, first, leaves_of(span, first, last))) != span:
                        return False
                    self._progress("hashes", last)
        except (EOFError, FileNotFoundError):
            return False
        return root_of_peaks(found) == checkpoint.root

    def _rehash(self, hashes: HashFile, size: int) -> int:
        """A file of hashes from the entries, as far as they are in order; how far that is."""
        found: list[bytes] = []
        leaves: list[bytes] = []
        order = Order()
        done = 0
        for entry in order.in_place(self._folder):
            if entry.sequence != done + len(leaves) or entry.sequence >= size:
                break
            leaves.append(leaf_hash(entry.line))
            if len(leaves) == _CHUNK:
                hashes.put(done, extend(found, done, leaves))
                done += len(leaves)
                leaves.clear()
        hashes.put(done, extend(found, done, leaves))
        return done + len(leaves)

    def _entries(self, hashes: HashFile | None, known: int, size: int) -> None:
        """Every line: its form, its place, its hash against the first `known` of `hashes`, and the list that it names."""
        order = Order()
        edited: list[int] = []
        first, leaves = 0, list[bytes]()
        for entry in order.in_place(self._folder):
            at = entry.sequence
            if at >= size:
                self.report.unsigned += 1
                continue
            if hashes is not None and at < known:
                if not first <= at < first + len(leaves):
                    first = at - at % _CHUNK
                    last = min(first + _CHUNK, known)
                    leaves = leaves_of(hashes.span(first, last), first, last)
                    self._progress("entries", at)
                if leaf_hash(entry.line) != leaves[at - first]:
                    edited.append(at)
            if entry.kind == Kind.KEY:
                self._told[at] = entry.body.get("statement")
            if "list" in entry.body:
                self._list(entry)
        self.report.entries = min(size, order.expected)
        for sequence, message in untold(self._succession, self._told, self.report.entries):
            self.report.add(What.SUCCESSION, sequence, sequence, KEYS, message)
        if size and (told := wrong_beside(self._folder, self._succession, self._told)) is not None:
            self.report.add(What.SUCCESSION, None, None, PUBLIC_KEY, told)
        for at in edited[:MAX_FINDINGS]:
            self.report.add(What.EDITED, at, at, self._file_of(at), f"entry {at} is not the one that was signed")
        for at, line in order.replaced:
            if at < size:
                self.report.add(What.EDITED, at, at, line.where, f"entry {at} is no entry any more")
        self._say_order(order, size)

    def _say_order(self, order: Order, size: int) -> None:
        if order.expected < size:
            order.missing.append((order.expected, size, self._file_of(size)))
        for first, last, file in order.lacking():
            if first >= order.expected:
                self.report.add(What.TRUNCATED, first, last - 1, file, f"{_span(first, last)}: cut off")
            elif first < size:
                self.report.add(What.REMOVED, first, last - 1, file, f"{_span(first, last)}: nowhere in the ledger")
        for line in order.strays:
            if line.entry is None:
                self.report.add(What.EDITED, None, None, line.where, "bytes between the entries that are none")
            elif line.sequence < size or not size:
                self.report.add(
                    What.REORDERED, line.sequence, line.sequence, line.where, f"entry {line.sequence} stands out of its place"
                )

    def _compare(self, hashes: HashFile, count: int, kept: Sequence[_Kept], *, trusted: bool) -> None:
        """Every checkpoint against the tree of `count` leaves, the smallest first; the first that disagrees says what is wrong."""
        agreed = 0
        for one in kept:
            size, where = one.checkpoint.size, one.where
            if size > count:
                if trusted or not one.own:
                    self.report.add(
                        What.TRUNCATED,
                        count,
                        size - 1,
                        where,
                        f"it covers {size} entries, and there are {count} that lead to it",
                    )
                    return
            elif hashes.root(size) == one.checkpoint.root:
                agreed = size
            elif not self._succession.made(one.signed):
                self.report.add(What.CHECKPOINT, None, None, where, "the ledger's key did not sign it")
            else:
                what = What.EDITED if one.own and not trusted else What.FORKED
                self.report.add(
                    what, agreed, size - 1, where,
                    f"it speaks of another ledger: they part at one of the {_span(agreed, size)}",
                )  # fmt: skip
                return

    def _compare_statements(self, hashes: HashFile, count: int) -> None:
        for one in self._succession.statements:
            size = one.statement.size
            if size <= count and hashes.root(size) != one.statement.root:
                message = f"statement of succession {one.statement.number} speaks of another ledger at entry {size}"
                self.report.add(What.SUCCESSION, None, None, KEYS, message)

    def _list(self, entry: Entry) -> None:
        reference = entry.body["list"]
        name = reference.get("sha256") if isinstance(reference, dict) else None
        if not isinstance(name, str):
            return
        try:
            read_list(self._folder, name)
        except (Damaged, NotFound) as error:
            self.report.add(What.LIST, entry.sequence, entry.sequence, f"lists/{name[:2]}/{name}.gz"[:100], str(error))

    def _file_of(self, sequence: int) -> str:
        names = [file.path.name for file in log_files(self._folder) if file.first <= sequence]
        return names[-1] if names else str(self._folder)


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    for first in range(0, size, _CHUNK):
        yield first, min(first + _CHUNK, size)


def _span(first: int, last: int) -> str:
    return f"entry {first}" if last == first + 1 else f"entries {first} to {last - 1}"
