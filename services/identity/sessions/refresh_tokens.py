"""The form of refresh tokens: `tnt_rt_<family><secret>`. Pure.

All tokens of a session share the family, 128 random bits; the secret, 192 more, is each one's own.
So an old token still identifies its session, and one row is enough for any number of tokens.
"""

import secrets

from chassis.encryption import Keyring

_PREFIX = "tnt_rt_"
_FAMILY_BYTES, _FAMILY_LENGTH = 16, 22
_SECRET_BYTES, _SECRET_LENGTH = 24, 32


def create_family() -> str:
    """What the tokens of a new session have in common."""
    return secrets.token_urlsafe(_FAMILY_BYTES)


def create_token(family: str) -> str:
    """The next token of the family."""
    return f"{_PREFIX}{family}{secrets.token_urlsafe(_SECRET_BYTES)}"


def family_of(token: str) -> str | None:
    """The family of a token; None for what does not have the form of one."""
    rest = token.removeprefix(_PREFIX)
    length = len(_PREFIX) + _FAMILY_LENGTH + _SECRET_LENGTH
    if len(token) != length or rest == token or not token.isascii():
        return None
    return rest[:_FAMILY_LENGTH]


def family_hashes(keyring: Keyring, family: str) -> list[str]:
    """What is stored of a family, by the first hash key or an older one: it finds the session of a
    token.
    """
    return keyring.hashes("refresh_family", family)


def token_hashes(keyring: Keyring, token: str) -> list[str]:
    """What is stored of the newest token, by the first hash key or an older one."""
    return keyring.hashes("refresh_token", token)
