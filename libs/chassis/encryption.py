"""Encryption at rest: what is looked up is a keyed hash, what is read again is encrypted.

HMAC-SHA256 (RFC 2104) and AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D). An encrypted
text carries the id of its key, so that keys can be rotated.
"""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis.settings import ServiceSettings, decode_key


class Keyring:
    """Hashes, encrypts and decrypts; the first encryption key encrypts, any of them decrypts."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._hash_key = decode_key(settings.hash_key.get_secret_value())
        entries = settings.encryption_keys.get_secret_value().split(",")
        pairs = [entry.partition(":") for entry in entries]
        self._ciphers = {name: AESGCM(decode_key(key)) for name, _, key in pairs}
        self._active = pairs[0][0]
        self._derived: dict[str, bytes] = {}

    @property
    def active(self) -> str:
        """The id of the key that encrypts."""
        return self._active

    def hash(self, purpose: str, value: str) -> str:
        """The keyed hash of a secret, 64 hexadecimal digits; differs by purpose."""
        text = f"{purpose}\0{value}".encode()
        return hmac.new(self._hash_key, text, hashlib.sha256).hexdigest()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same in every replica."""
        if purpose not in self._derived:
            text = f"derive\0{purpose}".encode()
            self._derived[purpose] = hmac.new(self._hash_key, text, hashlib.sha256).digest()
        return self._derived[purpose]

    def encrypt(self, value: bytes, associated_data: str) -> str:
        """`key-id.base64url` of the value; decrypts only with the same `associated_data`."""
        nonce = os.urandom(12)
        encrypted = self._ciphers[self._active].encrypt(nonce, value, associated_data.encode())
        return f"{self._active}.{base64.urlsafe_b64encode(nonce + encrypted).decode()}"

    def decrypt(self, encrypted: str, associated_data: str) -> bytes:
        """The encrypted value. Raises KeyError for a key that is gone, InvalidTag for tampering."""
        name, _, text = encrypted.partition(".")
        data = base64.urlsafe_b64decode(text)
        return self._ciphers[name].decrypt(data[:12], data[12:], associated_data.encode())

    def reencrypt(self, encrypted: str, associated_data: str) -> str:
        """The same text under the key that encrypts now."""
        return self.encrypt(self.decrypt(encrypted, associated_data), associated_data)
