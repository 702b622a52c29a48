"""Encryption at rest: a key for each purpose and tenant, and a text decrypts as itself alone."""

import base64
from contextlib import suppress

import pytest
from chassis import encryption
from chassis.encryption import Keyring, SecretId
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEYS = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}
SECRET = SecretId("signing_key", "ten_1", "sgk_1")
OTHERS = [
    SecretId("webhook", "ten_1", "sgk_1"),
    SecretId("signing_key", "ten_2", "sgk_1"),
    SecretId("signing_key", "ten_1", "sgk_2"),
    SecretId("signing_key", "", "ten_1\0sgk_1"),
]


def test_a_text_decrypts_as_itself_alone() -> None:
    keyring = Keyring(KEYS)
    encrypted = keyring.encrypt(b"private", SECRET)
    assert encrypted.startswith("k1.2.")
    assert keyring.decrypt(encrypted, SECRET) == b"private"
    for other in OTHERS:
        with pytest.raises(InvalidTag):
            keyring.decrypt(encrypted, other)
    # Not even where it is said to be of the version that had one key for all.
    with pytest.raises(InvalidTag):
        keyring.decrypt(encrypted.replace(".2.", "."), SECRET)
    with pytest.raises(KeyError, match="k2"):
        Keyring({"k1": KEYS["k1"]}).decrypt(
            Keyring({"k2": KEYS["k2"]}).encrypt(b"", SECRET), SECRET
        )


def test_each_purpose_and_tenant_has_a_key_of_its_own() -> None:
    keyring = Keyring(KEYS)
    for secret in (SECRET, *OTHERS, SECRET):
        keyring.encrypt(b"private", secret)
    used = set(keyring.ciphers)
    assert used == {("k1", each.purpose, each.tenant_id) for each in (SECRET, *OTHERS)}
    # What the derived keys encrypt, the key itself does not decrypt, nor one that it derives.
    text = base64.urlsafe_b64decode(keyring.encrypt(b"private", SECRET).rpartition(".")[2])
    data = SECRET.associated_data(encryption.DERIVED)
    ciphers = [AESGCM(KEYS["k1"]), *(keyring.ciphers[each] for each in used)]
    opened = 0
    for cipher in ciphers:
        with suppress(InvalidTag):
            opened += cipher.decrypt(text[:12], text[12:], data) == b"private"
    assert opened == 1


def test_few_derived_keys_are_kept_however_many_tenants_there_are() -> None:
    keyring = Keyring(KEYS)
    for n in range(encryption.DERIVED_KEYS + 10):
        keyring.encrypt(b"", SecretId("idempotency", f"ten_{n}", "key"))
    assert len(keyring.ciphers) == encryption.DERIVED_KEYS
