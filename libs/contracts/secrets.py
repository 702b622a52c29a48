"""The form of API keys: `tnt_<live|test|pub>_<random base62><checksum>`.

Pure. 30 random characters carry 178 bits; the 6-character CRC-32 lets a mistyped or invented key
be refused without a look-up, and secret scanners recognise a real one.
"""

import hashlib
import secrets
import string
import zlib
from typing import Literal

KeyKind = Literal["live", "test", "pub"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 30
_CHECKSUM = 6
_SHOWN = 4


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def new_secret(kind: KeyKind) -> str:
    """A fresh key."""
    text = f"tnt_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return text + _checksum(text)


def is_secret(value: str) -> bool:
    """Whether the value is a key that we could have made: its form and its checksum."""
    head, _, tail = value.rpartition("_")
    return (
        head in ("tnt_live", "tnt_test", "tnt_pub")
        and len(tail) == _RANDOM + _CHECKSUM
        and tail.isascii()
        and tail.isalnum()
        and _checksum(value[:-_CHECKSUM]) == value[-_CHECKSUM:]
    )


def shown_prefix(secret: str) -> str:
    """What may be shown of a key: its kind and 4 of its 30 random characters."""
    return secret[: secret.rindex("_") + 1 + _SHOWN]


def digest(secret: str) -> str:
    """The SHA-256 by which an edge names a key, so that the key itself stays at the edge."""
    return hashlib.sha256(secret.encode()).hexdigest()
