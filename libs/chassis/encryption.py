"""Encryption at rest: what is looked up is a keyed hash, what is read again is encrypted.

HMAC-SHA256 (RFC 2104) and AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D). Each purpose
and tenant has a key of its own, derived by HKDF-SHA256 (RFC 5869): a key may encrypt 2^32 texts,
and so many are only those of one tenant and purpose. Hashes and encrypted texts name their key, so
that keys can be rotated.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cachetools import LRUCache
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.settings import ServiceSettings, parse_encryption_keys

DERIVED = "2"
"""The version of the format whose key is derived; version 1 names none (before version 0.2)."""
DERIVED_KEYS = 4096
"""How many derived keys are kept; another one costs 5 us."""


@dataclass(frozen=True, slots=True)
class SecretId:
    """Which secret an encrypted text is: it decrypts as no other. `tenant_id` '' for none's."""

    purpose: str
    tenant_id: str
    id: str

    def associated_data(self, version: str) -> bytes:
        """What the text is bound to."""
        if version != DERIVED:
            return f"{self.purpose}:{self.id}".encode()
        return f"{self.purpose}\0{self.tenant_id}\0{self.id}".encode()


class Keyring:
    """Hashes, encrypts and decrypts; the first key is used, any of them is understood."""

    def __init__(
        self, encryption_keys: Mapping[str, bytes], hash_keys: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """`encryption_keys` by their ids, `hash_keys` with the prefix of their hashes."""
        self._keys = encryption_keys
        self._hash_keys = hash_keys
        self.ciphers: LRUCache[tuple[str, str, str], AESGCM] = LRUCache(DERIVED_KEYS)
        """By encryption key, purpose and tenant."""
        self._derived: dict[str, tuple[bytes, ...]] = {}

    @classmethod
    def of(cls, settings: ServiceSettings) -> "Keyring":
        """That of a service."""
        keys = settings.encryption_keys
        encryption_keys = parse_encryption_keys(keys.get_secret_value()) if keys else {}
        return cls(encryption_keys, settings.all_hash_keys())

    @property
    def writes_as_0_1(self) -> bool:
        """Whether version 0.1 has to understand what is written: its hash key is the only one."""
        return [prefix for prefix, _ in self._hash_keys] == [""]

    @property
    def active(self) -> str:
        """The id of the key that encrypts. Raises StopIteration if there is none."""
        return next(iter(self._keys))

    def hash(self, purpose: str, value: str) -> str:
        """The keyed hash of a secret, `key-id.hex`; differs by purpose."""
        return self.hashes(purpose, value)[0]

    def hashes(self, purpose: str, value: str) -> list[str]:
        """What may be stored of a secret: its hash by every hash key, the first key's first."""
        text = f"{purpose}\0{value}".encode()
        return [
            prefix + hmac.new(key, text, hashlib.sha256).hexdigest()
            for prefix, key in self._hash_keys
        ]

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """32 bytes of every hash key for one purpose, the same in every replica: the first ones
        sign, any of them verifies.
        """
        if purpose not in self._derived:
            text = f"derive\0{purpose}".encode()
            self._derived[purpose] = tuple(
                hmac.new(key, text, hashlib.sha256).digest() for _, key in self._hash_keys
            )
        return self._derived[purpose]

    def encrypt(self, value: bytes, secret: SecretId) -> str:
        """`key-id.2.base64url` of the value; without the 2 as version 0.1 has it."""
        return self._encrypt(value, secret, "" if self.writes_as_0_1 else DERIVED)

    def _encrypt(self, value: bytes, secret: SecretId, version: str) -> str:
        nonce = os.urandom(12)
        cipher = self._cipher(self.active, version, secret)
        encrypted = nonce + cipher.encrypt(nonce, value, secret.associated_data(version))
        text = base64.urlsafe_b64encode(encrypted).decode()
        return ".".join(filter(None, (self.active, version, text)))

    def decrypt(self, encrypted: str, secret: SecretId) -> bytes:
        """The encrypted value. Raises KeyError for a key that is gone, InvalidTag for tampering."""
        name, _, rest = encrypted.partition(".")
        version, _, text = rest.rpartition(".")
        data = base64.urlsafe_b64decode(text)
        cipher = self._cipher(name, version, secret)
        return cipher.decrypt(data[:12], data[12:], secret.associated_data(version))

    def reencrypt(self, encrypted: str, secret: SecretId) -> str:
        """The same text under the key that encrypts now, derived for it."""
        return self._encrypt(self.decrypt(encrypted, secret), secret, DERIVED)

    def _cipher(self, name: str, version: str, secret: SecretId) -> AESGCM:
        key = self._keys[name]
        if version != DERIVED:
            return AESGCM(key)
        place = (name, secret.purpose, secret.tenant_id)
        cipher = self.ciphers.get(place)
        if cipher is None:
            info = f"tenantry\0{secret.purpose}\0{secret.tenant_id}".encode()
            derived = HKDF(SHA256(), length=32, salt=None, info=info).derive(key)
            cipher = self.ciphers[place] = AESGCM(derived)
        return cipher
