"""The form of refresh tokens: `tnt_rt_<family><secret>`. Pure.

All tokens of a session share the family, 128 random bits; the secret, 192 more, is each one's own.
So an old token still tells its session, and one row does for however many there were.
"""

import secrets

_PREFIX = "tnt_rt_"
_FAMILY_BYTES, _FAMILY = 16, 22
_SECRET_BYTES, _SECRET = 24, 32


def new_family() -> str:
    """What the tokens of a new session have in common."""
    return secrets.token_urlsafe(_FAMILY_BYTES)


def new_token(family: str) -> str:
    """The next token of the family."""
    return f"{_PREFIX}{family}{secrets.token_urlsafe(_SECRET_BYTES)}"


def family_of(token: str) -> str | None:
    """The family of a token; None for what has not the form of one."""
    rest = token.removeprefix(_PREFIX)
    if len(token) != len(_PREFIX) + _FAMILY + _SECRET or rest == token or not token.isascii():
        return None
    return rest[:_FAMILY]
