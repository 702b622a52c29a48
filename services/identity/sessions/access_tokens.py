"""Access tokens of sessions, verified by the public keys of the session's project.

A key set is fetched every five seconds at most, or after a second for a key that it lacks: for that
long a revoked signing key is still accepted. While projects is away, the last key set is used.
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

from identity.projects_client import ProjectsClient

FRESH_SECONDS = 5.0
MISSING_KEY_SECONDS = 1.0
STALE_SECONDS = 300.0
"""As long as anybody may cache a key set."""
MAX_KEY_SETS = 10_000
MAX_VERIFIED = 50_000
_REQUIRED = ["iss", "sub", "sid", "tid", "pid", "aud", "iat", "exp", "jti"]


@dataclass(slots=True)
class _KeySet:
    """The keys of a project as of `fetched_at`."""

    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    fetched_at: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_outdated(self, kid: str) -> bool:
        """Whether to fetch the keys again before this one is looked up."""
        limit = FRESH_SECONDS if kid in self.keys else MISSING_KEY_SECONDS
        return time.monotonic() - self.fetched_at > limit


def decode_unverified(token: str) -> tuple[str, dict[str, Any]] | None:
    """The key's id and the claims, nothing of it verified; None for what is not a token."""
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
        return None
    return str(kid), claims


class AccessTokens:
    """Verifies signatures; a valid one is remembered as long as its key is published."""

    def __init__(self, projects: ProjectsClient) -> None:
        self._projects = projects
        self._key_sets: LRUCache[str, _KeySet] = LRUCache(MAX_KEY_SETS)
        self._verified: TTLCache[tuple[str, bytes], str] = TTLCache(MAX_VERIFIED, 60)

    async def is_signed(self, context: Context, project_id: str, kid: str, token: str) -> bool:
        """Whether a key of the project has signed it, for the project. Raises Problem (503)."""
        key = await self._get_key(context, project_id, kid)
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

    async def _get_key(self, context: Context, project_id: str, kid: str) -> jwt.PyJWK | None:
        key_set = self._key_sets.get(project_id)
        if key_set is None:
            key_set = self._key_sets[project_id] = _KeySet()
        if key_set.is_outdated(kid):
            async with key_set.lock:
                if key_set.is_outdated(kid):
                    await self._fetch(context, project_id, key_set)
        return key_set.keys.get(kid)

    async def _fetch(self, context: Context, project_id: str, key_set: _KeySet) -> None:
        try:
            key_set.keys = await self._projects.get_public_keys(context, project_id)
        except Problem:
            if time.monotonic() - key_set.fetched_at > STALE_SECONDS:
                raise
        else:
            key_set.fetched_at = time.monotonic()
