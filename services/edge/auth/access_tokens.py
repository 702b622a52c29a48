"""Access tokens for the admin API, verified by the public keys of the projects service.

A token that was verified once is remembered as long as its key is published: verifying a signature
again costs no request.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import jwt
from cachetools import TTLCache
from contracts.context import Context
from contracts.operator_calls import OPERATOR_SUBJECT
from contracts.problems import unauthenticated
from contracts.scopes import covers
from contracts.tenants import TOKEN_AUDIENCE, TOKEN_ISSUER, TOKEN_LIFETIME, TOKEN_TYPE
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.auth.principals import ApiKey, BearerCredential, Principal
from edge.auth.token_keys import TokenKeys
from edge.projects_client import ProjectsClient

CACHE_SIZE = 50_000
CLOCK_LEEWAY = 10
"""Seconds by which the clocks of projects and of an edge may differ."""


class Claims(BaseModel):
    """What a token says that was signed; `ver` is the version of the key's secret. A token of the
    operator has `operator_key` in its place.
    """

    model_config = ConfigDict(strict=True)

    sub: str
    tid: str
    scope: str
    ver: int | None = None
    operator_key: str | None = None
    iat: int
    exp: int


@dataclass(slots=True)
class AccessToken:
    """An access token that was verified; `expires_at` in seconds since the epoch."""

    kid: str
    claims: Claims
    scopes: tuple[str, ...]
    expiry: str
    _narrowed: tuple[ApiKey, Principal] | None = None

    def principal(self, key: ApiKey) -> Principal:
        """The key's principal, with no more scopes than the key has now."""
        if self._narrowed is None or self._narrowed[0] is not key:
            held = key.principal
            narrowed = replace(
                held,
                scopes=self.narrowed(held.scopes),
                credential="access_token",
                expires_at=self.expiry,
                secret_version=self.claims.ver,
            )
            self._narrowed = key, narrowed
        return self._narrowed[1]

    def narrowed(self, held: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the token's scopes that are held."""
        own = (scope for scope in self.scopes if covers(held, scope))
        parts = (scope for scope in held if covers(self.scopes, scope))
        return tuple(dict.fromkeys((*own, *parts)))


class AccessTokens:
    """Caches the tokens that were verified."""

    def __init__(self, projects: ProjectsClient) -> None:
        self.keys = TokenKeys(projects)
        self._verified: TTLCache[str, AccessToken] = TTLCache(CACHE_SIZE, TOKEN_LIFETIME)

    def get(self, credential: BearerCredential) -> AccessToken | None:
        """A token that was verified before; it may have expired since."""
        token = self._verified.get(credential.digest)
        return token if token is not None and token.kid in self.keys else None

    async def verify(self, credential: BearerCredential, context: Context) -> AccessToken:
        """Verifies the signature and remembers the token. Raises Problem (401, 503)."""
        try:
            header = jwt.get_unverified_header(credential.value)
            kid = header["kid"]
            if not isinstance(kid, str):
                raise unauthenticated()
            key = await self.keys.get(kid, context)
            is_of_0_1 = self.keys.is_of_0_1(kid)
            if key is None or not (is_of_0_1 or header.get("typ") == TOKEN_TYPE):
                raise unauthenticated()
            token = _read(kid, _verify(credential.value, key, is_of_0_1), is_of_0_1)
        except (jwt.PyJWTError, KeyError, ValidationError, ValueError, OverflowError):
            raise unauthenticated() from None
        self._verified[credential.digest] = token
        return token


def _verify(value: str, key: Any, is_of_0_1: bool) -> dict[str, Any]:
    return jwt.decode(
        value,
        key,
        algorithms=["EdDSA"],
        issuer=TOKEN_ISSUER,
        audience=TOKEN_AUDIENCE,
        leeway=CLOCK_LEEWAY,  # the expiry is checked to the second at each use
        options={"require": ["exp", "iat"], "verify_aud": not is_of_0_1},
    )


def _read(kid: str, signed: dict[str, Any], is_of_0_1: bool) -> AccessToken:
    """Raises ValueError for a token that projects would not make."""
    claims = Claims.model_validate(signed)
    is_operators = claims.sub == OPERATOR_SUBJECT
    lacks_version = claims.ver is None and not (is_operators or is_of_0_1)
    if lacks_version or (claims.ver is not None and is_operators):
        raise ValueError
    if claims.exp - claims.iat > TOKEN_LIFETIME:
        raise ValueError
    expiry = datetime.fromtimestamp(claims.exp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AccessToken(kid, claims, tuple(claims.scope.split()), expiry)
