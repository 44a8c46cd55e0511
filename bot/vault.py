"""Seals and opens secrets. The law of this room: it knows keys and bytes, and nothing of what they are for.

A sealed secret is bound to what it may be used with (its kind, owner, host, port, user): whoever can write the
database can neither move a box to another row nor point a password at a server of his own.
"""

import base64
import binascii
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, Self, SupportsIndex, TypedDict, Unpack, get_args
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Kind = Literal[
    "mailbox.password",
    "mailbox.oauth.microsoft",
    "mailbox.oauth.google",
    "mailbox.access",
    "oauth.client",
    "oauth.way",
    "mail.body",
    "mail.file",
    "door.mail",
    "case.file",
    "slack.bot",
    "key.check",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: 96 random bits serve 2**32 seals under one key
TOKEN_BYTES = 24  # 192 random bits; 128 would do
MAX_KEYS = 16
MAX_SETTING = 4096  # characters of the setting or its file
_FORMAT = 1  # of the associated data
_CHECK_TEXT = b"ally-mail-assistant"


class BadKey(ValueError):
    """SECRET_KEYS cannot be used; the message is one plain sentence for the operator, without any key in it."""


class Unopenable(Exception):
    """A box does not open: wrong key, or moved, or changed. The message never holds content."""


class LostKey(Unopenable):
    """A box was sealed with a key that is not at hand; `kind` is what lies in it."""

    def __init__(self, key: str, kind: Kind) -> None:
        super().__init__(f"This secret was sealed with the key {key}, which SECRET_KEYS does not hold.")
        self.kind = kind


class Binding(TypedDict):
    """What a sealed secret belongs to. `use`: what it may be used with (host, port, user; issuer, account)."""

    kind: Kind
    secret_id: UUID
    owner_id: UUID
    use: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret at rest: which key sealed it, the nonce (12 bytes), the box (cipher text and tag)."""

    key_id: str
    nonce: bytes = field(repr=False)
    box: bytes = field(repr=False)


class Secret:
    """Clear text in memory that does not print, log, pickle, copy or serialise itself."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The clear text, for the one place that needs it."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


class Vault:
    """Seals with the newest key, opens with any of them (AES-256-GCM). Safe to use from several threads."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys, newest first, 32 bytes each. Raises BadKey."""
        self._keys = {key_id(key): key for key in keys}
        if not self._keys:
            raise BadKey("SECRET_KEYS holds no key: make one with `python -m bot new-key`.")
        if len(self._keys) < len(keys):
            raise BadKey("SECRET_KEYS names the same key twice: leave one of them out.")
        if len(keys) > MAX_KEYS:
            raise BadKey(f"SECRET_KEYS holds more than {MAX_KEYS} keys: rotate, then drop the old ones.")
        if any(len(key) != KEY_BYTES for key in keys):
            raise BadKey("SECRET_KEYS holds a key that is not 32 bytes long: make one with `python -m bot new-key`.")

    @classmethod
    def from_setting(cls, setting: str) -> Self:
        """The vault of SECRET_KEYS: base64 keys of 32 bytes, newest first, between commas. Raises BadKey."""
        if len(setting) > MAX_SETTING:
            raise BadKey(f"SECRET_KEYS is longer than {MAX_SETTING} characters: it does not hold keys alone.")
        return cls([_decoded(word) for word in setting.replace(",", " ").split()])

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The vault of SECRET_KEYS_FILE: the same keys, between commas or one on a line. Raises BadKey."""
        try:
            with path.open(encoding="ascii") as file:
                setting = file.read(MAX_SETTING + 1)
        except (OSError, UnicodeDecodeError):
            raise BadKey(f"The keys (SECRET_KEYS or SECRET_KEYS_FILE) cannot be read from {path}.") from None
        return cls.from_setting(setting)

    @property
    def newest(self) -> str:
        """The id of the key that seals; rotation reseals every record with another one."""
        return next(iter(self._keys))

    @property
    def held(self) -> tuple[str, ...]:
        """The ids of all keys at hand, newest first."""
        return tuple(self._keys)

    def seal(self, clear: bytes, **binding: Unpack[Binding]) -> Sealed:
        """Seal `clear` so that it opens only with the same binding. Raises ValueError for an unknown kind."""
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(self.newest, nonce, AESGCM(self._keys[self.newest]).encrypt(nonce, clear, _associated(binding)))

    def open(self, sealed: Sealed, **binding: Unpack[Binding]) -> bytes:
        """The clear bytes. Raises Unopenable when binding or box is not the one that sealed it, LostKey without key."""
        bound = _associated(binding)
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise LostKey(sealed.key_id, binding["kind"])
        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.box, bound)
        except (InvalidTag, ValueError):
            raise Unopenable(
                "This secret does not open: it was changed, or is not used for what it was given."
            ) from None

    def reseal(self, sealed: Sealed, **binding: Unpack[Binding]) -> Sealed:
        """The same secret under the newest key; the very same box if it is there already. Raises Unopenable."""
        return sealed if sealed.key_id == self.newest else self.seal(self.open(sealed, **binding), **binding)

    def seal_check(self) -> Sealed:
        """The record by which a later start knows that it holds the right keys."""
        return self.seal(_CHECK_TEXT, **_CHECK)

    def opens_check(self, sealed: Sealed) -> bool:
        """Whether these keys open the check record; if not, the start must stop."""
        try:
            return self.open(sealed, **_CHECK) == _CHECK_TEXT
        except Unopenable:
            return False

    def subkey(self, label: str) -> bytes:
        """32 bytes for another purpose (signing forms), which tell nothing about the key. It changes with rotation."""
        info = f"ally-mail-assistant subkey {label}".encode()
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._keys[self.newest])


class Cover:
    """Hides texts in addresses of our own pages: nobody else reads or makes them (AES-256-GCM).

    For what may be lost without harm; a secret is sealed by the vault.
    """

    def __init__(self, key: bytes, label: str) -> None:
        """`label`: what was hidden under one is worth nothing under another."""
        info = f"ally-mail-assistant cover {label}".encode()
        self._box = AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(key))

    def hide(self, text: str) -> str:
        """The text, fit for an address; another one each time."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._box.encrypt(nonce, text.encode(), None)).decode("ascii")

    def read(self, hidden: str) -> str | None:
        """The text; None for what is not ours."""
        try:
            raw = base64.urlsafe_b64decode(hidden)
            # In its one spelling only: base64 passes over what stands behind its end.
            ours = base64.urlsafe_b64encode(raw).decode("ascii") == hidden
            return self._box.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode() if ours else None
        except (InvalidTag, ValueError):
            return None


_CHECK = Binding(kind="key.check", secret_id=UUID(int=0), owner_id=UUID(int=0), use={})


def new_key() -> str:
    """A fresh key as it stands in SECRET_KEYS."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


def key_id(key: bytes) -> str:
    """The name of a key: eight hex digits that do not give it away."""
    return hashlib.sha256(b"ally-mail-assistant key id\0" + key).hexdigest()[:8]


def token() -> tuple[str, str]:
    """A fresh one-time token: (clear, for the link; hash, for the database)."""
    clear = secrets.token_urlsafe(TOKEN_BYTES)
    while not clear[-1].isalnum():  # a link that ends in "_" or "-" is cut there by some phones
        clear = secrets.token_urlsafe(TOKEN_BYTES)
    return clear, token_hash(clear)


def token_hash(clear: str) -> str:
    """What is stored of a token: SHA-256 in hex. The token is random enough to need no salt."""
    return hashlib.sha256(clear.encode("utf-8")).hexdigest()


def _decoded(word: str) -> bytes:
    try:
        return base64.b64decode(word.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # `from None`: the cause would carry the word, which may be a key with a typing error
        raise BadKey(
            "SECRET_KEYS holds something that is not base64: make a key with `python -m bot new-key`."
        ) from None


def _associated(binding: Binding) -> bytes:
    if binding["kind"] not in KINDS:
        raise ValueError(f"no kind of secret: {binding['kind']}")
    record = {
        "version": _FORMAT,
        "kind": binding["kind"],
        "secret": str(binding["secret_id"]),
        "owner": str(binding["owner_id"]),
        "use": dict(binding["use"]),
    }
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
