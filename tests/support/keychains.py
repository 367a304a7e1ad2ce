"""Keys that follow each other, for tests: private keys that sign in memory, statements of any length, a key's own file."""

from __future__ import annotations

from vault.ledger.signing import origin_of
from vault.ledger.succession import How, SignedStatement, Statement, sign_statement
from vault.signing.ed25519 import PrivateKey
from vault.signing.filekey import FileSigner


def new_signer() -> FileSigner:
    return FileSigner(PrivateKey.generate(), "this test")


def statement(
    number: int, old: FileSigner, new: FileSigner, size: int, how: How = How.ROTATED, origin: str = "", **words: str
) -> SignedStatement:
    """Signed as it must be."""
    made = Statement(
        origin or origin_of(old.public), number, how, size, bytes([number]) * 32, old.public, new.public, 1_790_000_000_000_000,
        words.get("by", "operator@test"), words.get("why", "planned"),
    )  # fmt: skip
    return sign_statement(made, new, old if how is How.ROTATED else None)


def chain(*how: How) -> tuple[list[FileSigner], list[SignedStatement]]:
    """One key more than statements; each ends ten entries after the one before."""
    signers = [new_signer() for _ in range(len(how) + 1)]
    origin = origin_of(signers[0].public)
    statements = [
        statement(number, old, new, number * 10, one, origin)
        for number, (one, old, new) in enumerate(zip(how, signers[:-1], signers[1:], strict=True), 1)
    ]
    return signers, statements
