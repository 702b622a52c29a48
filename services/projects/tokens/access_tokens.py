"""Access tokens for API keys: RFC 6749 4.4 `client_credentials`, EdDSA JWTs (RFC 8037).

Short-lived and stateless: no row is written. An edge verifies them alone, with the public key.
"""

import time
from typing import Any

import jwt
from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.request import Reply, Request, reply_to
from chassis.unit_of_work import read_only
from contracts.ids import new_id
from contracts.problems import Problem
from contracts.scopes import SCOPES, covers
from contracts.tenants import (
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    TOKEN_LIFETIME,
    TOKEN_TYPE,
    FoundCredential,
    IssueToken,
)

from projects.keys import credentials
from projects.tokens import token_keys


@read_only()
async def issue_token(conn: Connection, request: Request[IssueToken]) -> Reply:
    """A token with the requested scopes, or all of the key's; it never outlives the key."""
    if request.body.grant_type != "client_credentials":
        raise Problem(
            "unsupported_grant_type",
            "Use grant_type=client_credentials.",
            error="unsupported_grant_type",
        )
    found = await _authenticate(conn, request)
    scopes = _granted_scopes(found.scopes, request.body.scope)
    now = int(time.time())
    expires_at = now + TOKEN_LIFETIME
    if found.expires_at is not None:
        expires_at = min(expires_at, int(found.expires_at.timestamp()))
    if expires_at <= now:
        raise _invalid_client()
    claims = {
        "sub": found.key_id,
        "tid": found.tenant_id,
        "ver": found.secret_version - found.previous,
        "scope": " ".join(scopes),
    }
    return reply_to(request, await sign(conn, request.keyring, claims, expires_at))


async def sign(
    conn: Connection, keyring: Keyring, claims: dict[str, Any], expires_at: int
) -> dict[str, Any]:
    """The `AccessToken` with those claims, and with those that every token has.

    Raises Problem (503).
    """
    now = int(time.time())
    common = {
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "iat": now,
        "exp": expires_at,
        "jti": new_id("jti"),
    }
    kid, key = await token_keys.get_active(conn, keyring)
    headers = {"typ": TOKEN_TYPE, "kid": kid}
    return {
        "access_token": jwt.encode(claims | common, key, algorithm="EdDSA", headers=headers),
        "token_type": "Bearer",
        "expires_in": expires_at - now,
        "scope": claims["scope"],
    }


async def _authenticate(conn: Connection, request: Request[IssueToken]) -> FoundCredential:
    """The secret key with the client's id and secret, if it is active."""
    found = None
    if request.body.secret_sha256 is not None:
        found = await credentials.find_by_secret(conn, request.keyring, request.body.secret_sha256)
    if (
        found is None
        or found.key_id != request.body.client_id
        or (found.type, found.status, found.tenant_status) != ("secret", "active", "active")
    ):
        raise _invalid_client()
    return found


def _invalid_client() -> Problem:
    """The same answer, whatever is wrong with the key."""
    return Problem(
        "invalid_client",
        "Send the key's id and secret of a secret API key that is active.",
        error="invalid_client",
    )


def _granted_scopes(held: list[str], wanted: str | None) -> list[str]:
    """RFC 6749 3.2: a parameter without a value is treated as omitted."""
    if not wanted:
        return held
    scopes = list(dict.fromkeys(wanted.split()))
    missing = [scope for scope in scopes if scope not in SCOPES or not covers(held, scope)]
    if missing or not scopes:
        raise Problem(
            "invalid_scope",
            "Ask for scopes that the key holds, separated by spaces, or leave scope out.",
            error="invalid_scope",
        )
    return scopes
