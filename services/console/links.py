"""One-time links: a sealed credential that signs in once, within ten minutes."""

import secrets
import time

from chassis.encryption import Keyring, SecretId
from cryptography.exceptions import InvalidTag
from pydantic import BaseModel

LINK_SECONDS = 600
_LINK = SecretId("console_link", "", "")


class Link(BaseModel):
    """What the token of a link says. `nonce` is what can be used once."""

    credential: str
    nonce: str
    expires_at: float


def make_link_token(keyring: Keyring, credential: str) -> str:
    """The token of a link that signs in with the credential: letters that a URL may have."""
    nonce, expires_at = secrets.token_urlsafe(16), time.time() + LINK_SECONDS
    link = Link(credential=credential, nonce=nonce, expires_at=expires_at)
    return keyring.encrypt(link.model_dump_json().encode(), _LINK)


def read_link_token(keyring: Keyring, token: str) -> Link | None:
    """The link, if its time is not over; None for what is no token of one."""
    try:
        link = Link.model_validate_json(keyring.decrypt(token, _LINK))
    except (InvalidTag, KeyError, ValueError):
        return None
    return link if link.expires_at >= time.time() else None
