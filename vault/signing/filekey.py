"""A signing key in PEM form: in a file of mode 0600, or in an environment variable. The file is made, taken and retired here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vault.errors import Damaged, NotFound, Refused
from vault.files import read_key_file, store_error, write_new_file
from vault.signing.ed25519 import MAX_PEM_BYTES, PrivateKey, PublicKey

WHAT = "the key that signs the ledger"


class FileSigner:
    """A `Signer` whose key this process holds. `path`: its file, None where it came in the environment."""

    __slots__ = ("_key", "path", "place")

    def __init__(self, key: PrivateKey, place: str, path: Path | None = None) -> None:
        self._key = key
        self.place = place
        self.path = path

    def __repr__(self) -> str:
        return f"FileSigner({self.place})"

    @property
    def public(self) -> PublicKey:
        return self._key.public

    @property
    def public_pem(self) -> bytes:
        return self._key.public.pem

    @property
    def fingerprint(self) -> str:
        return self._key.public.fingerprint

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def read_signer(path: Path) -> FileSigner:
    """The key in a file. Raises NotFound, Refused when others may read it, Damaged, StoreError."""
    data = read_key_file(path, WHAT, MAX_PEM_BYTES + 1)
    try:
        key = PrivateKey.parse(data)
    except Damaged as error:
        raise Damaged(f"{path}: {error}; restore it from its backup") from None
    return FileSigner(key, f"the file {path}", path)


def create_signer(path: Path) -> FileSigner:
    """A new random key in a new file of mode 0600, durable. Raises Refused when there is one, StoreError."""
    key = PrivateKey.generate()
    try:
        write_new_file(path, key.pem())
    except FileExistsError:
        raise Refused(f"{path}: a key is there already; another one could not continue its ledger") from None
    except OSError as error:
        raise store_error(f"writing {WHAT}, {path}", error) from error
    return FileSigner(key, f"the file {path}", path)


def environment_signer(environ: Mapping[str, str], name: str) -> FileSigner:
    """The key in a variable: PEM, its line ends as they are or written as \\n. Raises NotFound, Damaged."""
    value = environ.get(name)
    if not value:
        raise NotFound(f"the environment variable {name}, which should hold {WHAT}, is not set")
    text = value if "\n" in value.strip() else value.replace("\\n", "\n")
    try:
        key = PrivateKey.parse(text.strip().encode("utf-8", "replace") + b"\n")
    except Damaged as error:
        raise Damaged(f"the environment variable {name} {error}") from None
    return FileSigner(key, f"the environment variable {name}")
