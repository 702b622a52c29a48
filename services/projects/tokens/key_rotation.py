"""Encrypts stored private keys again under the first encryption key: see `chassis.key_rotation`."""

from chassis.key_rotation import KeyRotation

from projects.tables import TOKEN_KEYS
from projects.tokens.token_keys import secret_id

reencrypt_secrets = KeyRotation(
    TOKEN_KEYS.c.private_key, {TOKEN_KEYS.c.id: ""}, lambda row: secret_id(row["id"])
)
