"""Access tokens for the admin API, verified by the public keys of the projects service.

A token that was verified once is remembered: verifying a signature again costs no request.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
from cachetools import TTLCache
from contracts.context import Context
from contracts.scopes import covers
from contracts.tenants import TOKEN_KEYS

from edge.auth.principals import ApiKey, BearerCredential, Principal, unauthenticated
from edge.projects_client import ProjectsClient

CACHE_SIZE = 50_000
CACHE_SECONDS = 900
ISSUER = "tenantry"


@dataclass(slots=True)
class AccessToken:
    """An access token that was verified; `expires_at` in seconds since the epoch."""

    key_id: str
    scopes: tuple[str, ...]
    expires_at: float
    expiry: str
    _narrowed: tuple[ApiKey, Principal] | None = None

    def principal(self, key: ApiKey) -> Principal:
        """The key's principal, with no more scopes than the key has now."""
        if self._narrowed is None or self._narrowed[0] is not key:
            held = key.principal
            scopes = tuple(scope for scope in self.scopes if covers(held.scopes, scope))
            narrowed = replace(
                held, scopes=scopes, credential="access_token", expires_at=self.expiry
            )
            self._narrowed = key, narrowed
        return self._narrowed[1]


class AccessTokens:
    """Caches the tokens that were verified, and the public keys that verify them."""

    def __init__(self, projects: ProjectsClient) -> None:
        self._projects = projects
        self._verified: TTLCache[str, AccessToken] = TTLCache(CACHE_SIZE, CACHE_SECONDS)
        self._public_keys: dict[str, Any] = {}
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()

    def get(self, credential: BearerCredential) -> AccessToken | None:
        """A token that was verified before; it may have expired since."""
        return self._verified.get(credential.digest)

    async def verify(self, credential: BearerCredential, context: Context) -> AccessToken:
        """Verifies the signature and remembers the token. Raises Problem (401, 503)."""
        value = credential.value
        try:
            kid = jwt.get_unverified_header(value).get("kid")
            key = await self._public_key(str(kid), context)
            claims = jwt.decode(
                value,
                key,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "tid"], "verify_aud": False},
            )
            expires_at = claims["exp"]
            expiry = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            token = AccessToken(claims["sub"], tuple(claims["scope"].split()), expires_at, expiry)
        except (jwt.PyJWTError, KeyError, ValueError, OverflowError, AttributeError):
            raise unauthenticated() from None
        self._verified[credential.digest] = token
        return token

    async def _public_key(self, kid: str, context: Context) -> Any:
        """The public key of that id; an unknown one is fetched at most once a second."""
        if kid not in self._public_keys:
            async with self._fetching:  # requests that come meanwhile wait for the same answer
                await self._fetch(kid, context)
        return self._public_keys[kid]

    async def _fetch(self, kid: str, context: Context) -> None:
        if kid in self._public_keys or time.monotonic() - self._fetched_at <= 1:
            return
        self._fetched_at = time.monotonic()
        reply = await self._projects.call(TOKEN_KEYS, context)
        if reply.status == 200:
            keys = orjson.loads(reply.body)["keys"]
            self._public_keys = {each["kid"]: jwt.PyJWK(each).key for each in keys}
