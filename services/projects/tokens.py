"""Access tokens for API keys: RFC 6749 4.4 `client_credentials`, EdDSA JWTs (RFC 8037).

Short-lived and stateless: no row is written. An edge verifies them alone, with the public key.
"""

import hashlib
import time
from functools import lru_cache
from typing import Any

import jwt
from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.request import Reply, Request, reply_to
from contracts.ids import new_id
from contracts.problems import Problem
from contracts.scopes import SCOPES, covers
from contracts.tenants import IssueToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from projects import api_keys
from projects.credentials import BY_HASH

ISSUER = "tenantry"
LIFETIME = 900


@lru_cache(maxsize=4)
def _signer(seed: bytes) -> tuple[Ed25519PrivateKey, str]:
    """The key of this installation and its id."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    return key, hashlib.sha256(public).hexdigest()[:16]


def _of(keys: Keyring) -> tuple[Ed25519PrivateKey, str]:
    return _signer(keys.derive("access-token"))


async def public_keys(_: Connection, request: Request) -> Reply:
    key, kid = _of(request.keys)
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return reply_to(request, {"keys": [jwk | {"kid": kid, "use": "sig", "alg": "EdDSA"}]})


async def issue(conn: Connection, request: Request[IssueToken]) -> Reply:
    """A token with the scopes asked for, or all that the key holds; it never outlives the key."""
    if request.body.grant_type != "client_credentials":
        raise Problem(
            "unsupported_grant_type",
            "Use grant_type=client_credentials.",
            error="unsupported_grant_type",
        )
    row = None
    if request.body.secret_sha256 is not None:
        row = await BY_HASH.fetch_one(
            conn, hash=api_keys.hashed(request.keys, request.body.secret_sha256)
        )
    if (
        row is None
        or row["key_id"] != request.body.client_id
        or (row["type"], row["status"], row["tenant_status"]) != ("secret", "active", "active")
    ):
        raise _invalid_client()
    scopes = _scopes(row["scopes"], request.body.scope)
    now = int(time.time())
    expires_at = now + LIFETIME
    if row["expires_at"] is not None:
        expires_at = min(expires_at, int(row["expires_at"].timestamp()))
    if expires_at <= now:
        raise _invalid_client()
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": row["key_id"],
        "tid": row["tenant_id"],
        "scope": " ".join(scopes),
        "iat": now,
        "exp": expires_at,
        "jti": new_id("jti"),
    }
    key, kid = _of(request.keys)
    value = {
        "access_token": jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid}),
        "token_type": "Bearer",
        "expires_in": expires_at - now,
        "scope": claims["scope"],
    }
    return reply_to(request, value)


def _invalid_client() -> Problem:
    """One and the same answer, whatever is wrong with the key."""
    return Problem(
        "invalid_client",
        "Send the key's id and secret of a secret API key that is active.",
        error="invalid_client",
    )


def _scopes(held: list[str], wanted: str | None) -> list[str]:
    """RFC 6749 3.2: a parameter without a value is one that was left out."""
    if not wanted:
        return held
    scopes = list(dict.fromkeys(wanted.split()))
    lacking = [scope for scope in scopes if scope not in SCOPES or not covers(held, scope)]
    if lacking or not scopes:
        raise Problem(
            "invalid_scope",
            "Ask for scopes that the key holds, separated by spaces, or leave scope out.",
            error="invalid_scope",
        )
    return scopes
