"""A signing key on a PKCS#11 token (OASIS PKCS #11 3.0 §2.3.14: CKM_EDDSA): found, made, used; it never leaves the token.

The one wrapper of `pkcs11`. One session a token and process: logging in is slow, and a token counts wrong PINs, so a PIN that was
refused is not tried again.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11 import exceptions as troubles
from pkcs11.util.ec import encode_named_curve_parameters

from vault.config import Signing
from vault.errors import Damaged, NotFound, Refused, StoreError, StreamvaultError
from vault.signing.ed25519 import KEY_BYTES, PublicKey

_T = TypeVar("_T")

_CURVE: Final = "1.3.101.112"
"""id-Ed25519 (RFC 8410 §3)."""

_LOCK = threading.RLock()
_SESSIONS: dict[tuple[str, str], pkcs11.Session] = {}
_PAIRS: dict[tuple[str, str], list[TokenSigner]] = {}
"""What was found in a session, so that a token far away is not searched at each signature."""
_REFUSED_PINS: dict[tuple[str, str], bytes] = {}


class TokenSigner:
    """A `Signer` whose key is on a token. `key_id`: the pair's CKA_ID."""

    __slots__ = ("_key_id", "_pin", "_settings", "place", "public")

    def __init__(self, settings: Signing, pin: str, public: PublicKey, key_id: bytes) -> None:
        self._settings = settings
        self._pin = pin
        self._key_id = key_id
        self.public = public
        self.place = f"the token {settings.token}"

    def __repr__(self) -> str:
        return f"TokenSigner({self.place})"

    @property
    def public_pem(self) -> bytes:
        return self.public.pem

    @property
    def fingerprint(self) -> str:
        return self.public.fingerprint

    def is_of(self, settings: Signing, pin: str) -> bool:
        """Whether it was found by these."""
        return (self._settings, self._pin) == (settings, pin)

    def sign(self, data: bytes) -> bytes:
        """Raises NotFound, Refused, StoreError; Damaged when what the token gives is no signature of its key."""

        def use(session: pkcs11.Session) -> bytes:
            key = session.get_key(
                object_class=ObjectClass.PRIVATE_KEY, label=self._settings.label, id=self._key_id, key_type=KeyType.EC_EDWARDS
            )
            made: bytes = key.sign(data, mechanism=Mechanism.EDDSA)  # type: ignore[attr-defined]  # the class of a key found is its stubs' secret
            return made

        signature = _with_session(self._settings, self._pin, "signing", use)
        if not self.public.made(signature, data):
            raise Damaged(f"{self.place} gave a signature that is not its key's; nothing was signed")
        return signature


def token_signers(settings: Signing, pin: str, wanted: str = "") -> list[TokenSigner]:
    """Every pair of the configured label, in the order of their ids; where one is known whose fingerprint begins with `wanted`, that
    one. Raises NotFound, Refused, StoreError."""
    where = settings.library, settings.token
    with _LOCK:
        for known in _PAIRS.get(where, ()) if wanted else ():
            if known.fingerprint.startswith(wanted) and known.is_of(settings, pin):
                return [known]

    def use(session: pkcs11.Session) -> list[TokenSigner]:
        wanted = {Attribute.LABEL: settings.label, Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
        usable = {key[Attribute.ID] for key in session.get_objects({**wanted, Attribute.CLASS: ObjectClass.PRIVATE_KEY})}
        found = {}
        for key in session.get_objects({**wanted, Attribute.CLASS: ObjectClass.PUBLIC_KEY}):
            if (key_id := key[Attribute.ID]) in usable:
                found[key_id] = TokenSigner(settings, pin, PublicKey(_point(key[Attribute.EC_POINT])), key_id)
        _PAIRS[where] = [found[key_id] for key_id in sorted(found)]
        return _PAIRS[where]

    return _with_session(settings, pin, "looking for the signing key", use)


def create_on_token(settings: Signing, pin: str) -> TokenSigner:
    """A new pair, which the token makes and keeps: sensitive, not extractable. Raises NotFound, Refused, StoreError."""

    def use(session: pkcs11.Session) -> TokenSigner:
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE)}
        key_id = secrets.token_bytes(16)
        public, _ = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True).generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=settings.label, id=key_id
        )
        return TokenSigner(settings, pin, PublicKey(_point(public[Attribute.EC_POINT])), key_id)

    return _with_session(settings, pin, "making the signing key", use, again=False)


def _point(value: bytes) -> bytes:
    """CKA_EC_POINT: a DER OCTET STRING by the standard, bare bytes by some tokens."""
    return value[2:] if len(value) == KEY_BYTES + 2 and value[:2] == b"\x04\x20" else value


def _with_session(settings: Signing, pin: str, doing: str, use: Callable[[pkcs11.Session], _T], *, again: bool = True) -> _T:
    """`use` with the token's session, which one thread has at a time; once more in a new one where `again`: a token may have
    been away."""
    where = settings.library, settings.token
    with _LOCK:
        for last in (False, True):
            try:
                session = _SESSIONS.get(where) or _open(settings, pin)
                _SESSIONS[where] = session
                return use(session)
            except StreamvaultError:
                raise
            except troubles.NoSuchKey:
                _PAIRS.pop(where, None)
                raise NotFound(f"the token {settings.token} has no such key any more") from None
            except (troubles.PKCS11Error, RuntimeError) as error:
                _PAIRS.pop(where, None)
                if (gone := _SESSIONS.pop(where, None)) is not None:
                    _close(gone)
                if last or not again:
                    raise StoreError(f"{doing} on the token {settings.token}: {_said(error)}") from None
    raise AssertionError


def _open(settings: Signing, pin: str) -> pkcs11.Session:
    where, digest = (settings.library, settings.token), hashlib.sha256(pin.encode("utf-8", "replace")).digest()
    if _REFUSED_PINS.get(where) == digest:
        raise Refused(
            f"the token {settings.token} refused this PIN before; it is not tried again, since wrong ones are counted"
        )
    try:
        return pkcs11.lib(settings.library).get_token(token_label=settings.token).open(user_pin=pin, rw=True)
    except troubles.NoSuchToken:
        raise NotFound(f"the library {settings.library} knows no token {settings.token}") from None
    except (troubles.PinIncorrect, troubles.PinInvalid, troubles.PinLenRange) as error:
        _REFUSED_PINS[where] = digest
        raise Refused(f"the token {settings.token} refuses the PIN: {_said(error)}") from None
    except (troubles.PinLocked, troubles.PinExpired) as error:
        raise Refused(f"the token {settings.token} lets nobody in: {_said(error)}; ask its security officer") from None


def _close(session: pkcs11.Session) -> None:
    try:
        session.close()
    except (troubles.PKCS11Error, RuntimeError):
        # It was broken already, which is why it is closed.
        return


def _said(error: Exception) -> str:
    """The library's return code is the exception's name; its text is often empty."""
    return f"{type(error).__name__} {error}".strip()[:200]
