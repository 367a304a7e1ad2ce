"""Where the signing key of a data folder is: looked for by its fingerprint in every place that the configuration knows.

So nothing has to be told which key is in use: the ledger says it, and the key is found where it is. A file's next key lies beside it
until the ledger names it (`NAME.next`), and then takes its name. Which key follows which is `vault.ledger.succession`'s.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vault.config import Signing
from vault.errors import Damaged, NotFound, Refused, StreamvaultError
from vault.files import read_key_file, store_error, sync_folder
from vault.signing.filekey import WHAT, FileSigner, create_signer, environment_signer, read_signer
from vault.signing.signer import Signer

NEXT = ".next"
PIN_VARIABLE = "STREAMVAULT_PKCS11_PIN"


@dataclass(frozen=True, slots=True)
class Keys:
    """`first`: the file that `init` makes, in the folder of keys; what `settings` name relatively lies in the folder above it.

    Cheap to make; nothing is kept in memory but a token's session.
    """

    first: Path
    settings: Signing = field(default_factory=Signing)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    """Shown by nothing: a key may be in it."""

    def find(self, fingerprint: str) -> Signer:
        """The key of this fingerprint, or of one that begins so.

        Raises NotFound when there is no key at all, Damaged when there are others only, and what the first place raised that
        could not be looked into.
        """
        trouble: StreamvaultError | None = None
        others: list[str] = []
        for found in self._all(fingerprint):
            if isinstance(found, StreamvaultError):
                trouble = trouble or found
            elif found.fingerprint.startswith(fingerprint):
                return found
            else:
                others.append(found.place)
        if trouble is not None:
            raise trouble
        if others:
            raise Damaged(
                f"the key {fingerprint[:16]}, which signs the ledger, is in none of its places; there is another one in {others[0]}; "
                "run `streamvault ledger verify`"
            )
        if self.settings.kind == "environment":
            raise NotFound(f"{WHAT} is missing: it is not in the environment variable {self.settings.environment}; set that")
        raise NotFound(f"{self._file}: {WHAT} is missing; restore it from its backup")

    def held(self) -> list[Signer]:
        """Every key that can be used now. What cannot be looked into is left out."""
        return [found for found in self._all() if not isinstance(found, StreamvaultError)]

    def begin(self) -> Signer:
        """The key of a ledger that begins, made where there is none. Raises as `find`, and StoreError."""
        if self.settings.kind == "environment":
            return environment_signer(self.environ, self.settings.environment)
        if self.settings.kind == "pkcs11":
            return self._on_token(())
        return read_signer(self._file) if self._file.exists() else create_signer(self._file)

    def succeed(self, known: Collection[str]) -> Signer:
        """The key that comes next, durable in its place; `known` are the fingerprints of those that were.

        One that was made by an attempt that was cut short, or beforehand by a person, is taken. Raises Refused when there is none
        and it cannot be made here, and what its place raises.
        """
        if self.settings.kind == "pkcs11":
            return self._on_token(known)
        if self.settings.kind == "environment":
            for name in (f"{self.settings.environment}_NEXT", self.settings.environment):
                with suppress(NotFound):
                    if (found := environment_signer(self.environ, name)).fingerprint not in known:
                        return found
            raise Refused(
                f"the next key must be in the environment variable {self.settings.environment}_NEXT, and another one than before; "
                "`openssl genpkey -algorithm ed25519` makes one"
            )
        for path in (self._file, self._next):
            if not os.path.lexists(path):
                return create_signer(path)
            there = _attempt(path)
            if isinstance(there, FileSigner) and there.fingerprint not in known:
                return there
        raise Refused(f"{self._next}: is no key that could be the next one; move it away")

    def retire(self, head: str, known: Collection[str], *, keep: bool) -> None:
        """Take the files of earlier keys away, or give them names under which none is looked for; then the key `head` takes its
        file's name. May be repeated. What is in the environment or on a token is left to its owner. Raises StoreError."""
        try:
            for file in self._files:
                following = file.with_name(file.name + NEXT)
                for path in (file, following):
                    # What a kill left of the making of one: it may hold the whole key.
                    path.with_name(f"{path.name}.new").unlink(missing_ok=True)
                    found = _fingerprint_in(path)
                    if found is not None and found != head and found in known:
                        if keep:
                            os.rename(path, file.with_name(f"{file.name}.{found[:16]}.old"))
                        elif path == following or _fingerprint_in(following) != head:
                            os.unlink(path)
                if _fingerprint_in(following) == head:
                    if os.path.lexists(file) and _fingerprint_in(file) is None:
                        # What cannot be read is kept: it may be a key all the same.
                        os.rename(file, file.with_name(f"{file.name}.unread.old"))
                    os.rename(following, file)
                if file.parent.is_dir():
                    sync_folder(file.parent)
        except OSError as error:
            raise store_error(f"putting the next key in the place of {self._file}", error) from error

    @property
    def old_files(self) -> list[Path]:
        """Files of earlier keys that were kept."""
        return sorted(path for file in self._files for path in file.parent.glob(f"{file.name}.*.old"))

    @property
    def _file(self) -> Path:
        return self._base / self.settings.file if self.settings.file else self.first

    @property
    def _next(self) -> Path:
        return self._file.with_name(self._file.name + NEXT)

    @property
    def _files(self) -> list[Path]:
        return list(dict.fromkeys([self._file, self.first]))

    @property
    def _base(self) -> Path:
        return self.first.parent.parent

    def _all(self, wanted: str = "") -> Iterator[Signer | StreamvaultError]:
        """Every key, and what kept from looking into a place that is there. `wanted`: the beginning of the fingerprint of one
        that is enough."""
        for file in self._files:
            for path in (file, file.with_name(file.name + NEXT)):
                if os.path.lexists(path):
                    yield _attempt(path)
        for name in (self.settings.environment, f"{self.settings.environment}_NEXT"):
            if self.environ.get(name):
                try:
                    yield environment_signer(self.environ, name)
                except StreamvaultError as error:
                    yield error
        if self.settings.library:
            # Imported where there is a token: it costs every other command its time.
            from vault.signing.token import token_signers

            try:
                yield from token_signers(self.settings, self._pin(), wanted)
            except StreamvaultError as error:
                yield error

    def _on_token(self, known: Collection[str]) -> Signer:
        from vault.signing.token import create_on_token, token_signers

        for found in token_signers(self.settings, self._pin()):
            if found.fingerprint not in known:
                return found
        return create_on_token(self.settings, self._pin())

    def _pin(self) -> str:
        """Raises NotFound, Refused when others may read its file, StoreError."""
        if self.settings.pin_file:
            what = "the PIN of the signing key's token"
            data = read_key_file(self._base / self.settings.pin_file, what, 1024)
            return data.decode("utf-8", "replace").strip()
        if pin := self.environ.get(PIN_VARIABLE):
            return pin
        raise NotFound(f"the token {self.settings.token} needs its PIN: in {PIN_VARIABLE}, or in the file of signing.pin_file")


def _attempt(path: Path) -> FileSigner | StreamvaultError:
    try:
        return read_signer(path)
    except StreamvaultError as error:
        return error


def _fingerprint_in(path: Path) -> str | None:
    """None where no key can be read: then it is not known to be an earlier one."""
    found = _attempt(path)
    return found.fingerprint if isinstance(found, FileSigner) else None
