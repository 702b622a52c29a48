"""Access tokens of sessions, held against the public keys of the project that they name.

A key set is asked for every five seconds at most, or after a second for a key that it lacks: that
long a revoked signing key is still believed. While nobody answers the last one serves on.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cachetools import LRUCache, TTLCache
from contracts.context import Context
from contracts.problems import Problem

from identity.projects import Projects

FRESH_SECONDS = 5.0
UNKNOWN_SECONDS = 1.0
STALE_SECONDS = 300.0
"""As long as anybody may cache a key set."""
REMEMBERED_SETS = 10_000
REMEMBERED_TOKENS = 50_000
_REQUIRED = ["iss", "sub", "sid", "tid", "pid", "aud", "iat", "exp", "jti"]


@dataclass(slots=True)
class _KeySet:
    """The keys of a project as of `asked_at`."""

    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    asked_at: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def may_lack(self, kid: str) -> bool:
        """Whether it is time to ask again before this key is looked for."""
        limit = FRESH_SECONDS if kid in self.keys else UNKNOWN_SECONDS
        return time.monotonic() - self.asked_at > limit


def read(token: str) -> tuple[str, dict[str, Any]] | None:
    """The key's id and the claims, none of it believed yet; None for what is no token."""
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
        return None
    return str(kid), claims


class AccessTokens:
    """Verifies signatures; one that was good is remembered as long as its key is published."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._sets: LRUCache[str, _KeySet] = LRUCache(REMEMBERED_SETS)
        self._verified: TTLCache[tuple[str, bytes], str] = TTLCache(REMEMBERED_TOKENS, 60)

    async def is_signed(self, context: Context, project_id: str, kid: str, token: str) -> bool:
        """Whether a key of the project has signed it, for the project. Raises Problem (503)."""
        key = await self._key(context, project_id, kid)
        if key is None:
            return False
        name = (project_id, hashlib.sha256(token.encode()).digest())
        if self._verified.get(name) == kid:
            return True
        try:
            jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=project_id,
                issuer=project_id,
                # The caller tells expired tokens from forged ones.
                options={"require": _REQUIRED, "verify_exp": False},
            )
        except jwt.PyJWTError:
            return False
        self._verified[name] = kid
        return True

    async def _key(self, context: Context, project_id: str, kid: str) -> jwt.PyJWK | None:
        known = self._sets.get(project_id)
        if known is None:
            known = self._sets[project_id] = _KeySet()
        if known.may_lack(kid):
            async with known.lock:
                if known.may_lack(kid):
                    await self._ask(context, project_id, known)
        return known.keys.get(kid)

    async def _ask(self, context: Context, project_id: str, known: _KeySet) -> None:
        try:
            known.keys = await self._projects.keys(context, project_id)
        except Problem:
            if time.monotonic() - known.asked_at > STALE_SECONDS:
                raise
        else:
            known.asked_at = time.monotonic()
