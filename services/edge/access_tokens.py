"""Access tokens for the admin API: verified here by the owner's public keys, without a request."""

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

from edge.callers import Caller, Key, Presented, unauthenticated
from edge.projects import Projects

REMEMBERED = 50_000
REMEMBER_SECONDS = 900
ISSUER = "tenantry"


@dataclass(slots=True)
class AccessToken:
    """An access token that was verified; `expires_at` in seconds since the epoch."""

    key_id: str
    scopes: tuple[str, ...]
    expires_at: float
    expiry: str
    _of: tuple[Key, Caller] | None = None

    def caller(self, key: Key) -> Caller:
        """With no more scopes than the key has now."""
        if self._of is None or self._of[0] is not key:
            scopes = tuple(scope for scope in self.scopes if covers(key.caller.scopes, scope))
            narrowed = replace(
                key.caller, scopes=scopes, credential="access_token", expires_at=self.expiry
            )
            self._of = key, narrowed
        return self._of[1]


class AccessTokens:
    """Remembers those that it has verified, and the keys that verify."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._verified: TTLCache[str, AccessToken] = TTLCache(REMEMBERED, REMEMBER_SECONDS)
        self._keys: dict[str, Any] = {}
        self._keys_at = 0.0
        self._asking = asyncio.Lock()

    def get(self, presented: Presented) -> AccessToken | None:
        """One that was verified before; it may have expired since."""
        return self._verified.get(presented.digest)

    async def verify(self, presented: Presented, context: Context) -> AccessToken:
        """Verified by its signature, and remembered. Raises Problem (401, 503)."""
        value = presented.value
        try:
            kid = jwt.get_unverified_header(value).get("kid")
            key = await self._key(str(kid), context)
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
        self._verified[presented.digest] = token
        return token

    async def _key(self, kid: str, context: Context) -> Any:
        """The public key of that id; asked of the owner at most once a second."""
        if kid not in self._keys:
            async with self._asking:  # who comes meanwhile waits for the same answer
                await self._learn(kid, context)
        return self._keys[kid]

    async def _learn(self, kid: str, context: Context) -> None:
        if kid in self._keys or time.monotonic() - self._keys_at <= 1:
            return
        self._keys_at = time.monotonic()
        reply = await self._projects.ask(TOKEN_KEYS, context)
        if reply.status == 200:
            keys = orjson.loads(reply.body)["keys"]
            self._keys = {each["kid"]: jwt.PyJWK(each).key for each in keys}
