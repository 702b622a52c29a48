"""The public keys that verify access tokens, as the projects service publishes them.

Fetched at the start, when projects announces a change, and for a key id that is not known; a next
key is published long before it signs. The edge holds nothing with which a token could be made.
"""

import asyncio
import time

import jwt
import orjson
import structlog
from contracts.context import Context
from contracts.problems import Problem
from contracts.tenants import TOKEN_KEY_RELEASE, TOKEN_KEYS
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.projects_client import ProjectsClient

log = structlog.get_logger()

UNKNOWN_SECONDS = 1.0
"""How often an unknown key id is looked for at most."""
NO_TRACE = "00-00000000000000000000000000000001-0000000000000001-00"


class TokenKeys:
    """The public keys by their id."""

    def __init__(self, projects: ProjectsClient) -> None:
        self._projects = projects
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._of_0_1: set[str] = set()
        self._looked_at = 0.0
        self._fetching = asyncio.Lock()

    def __contains__(self, kid: str) -> bool:
        return kid in self._keys

    def is_of_0_1(self, kid: str) -> bool:
        """Whether processes of version 0.1 sign by it, too."""
        return kid in self._of_0_1

    async def get(self, kid: str, context: Context) -> Ed25519PublicKey | None:
        """The key of that id. Raises Problem (503, 504) when an unknown one cannot be looked for.

        Whoever comes while it is looked for waits for the same answer.
        """
        if kid not in self._keys:
            async with self._fetching:
                now = time.monotonic()
                if kid not in self._keys and now - self._looked_at > UNKNOWN_SECONDS:
                    self._looked_at = now
                    await self._fetch(context)
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Fetches all keys; what is known stays known if that fails."""
        context = Context(request_id="token-keys", traceparent=NO_TRACE, deadline=time.time() + 2)
        try:
            async with self._fetching:
                await self._fetch(context)
        except Problem as problem:
            log.warning("token_keys_not_fetched", code=problem.code)

    async def _fetch(self, context: Context) -> None:
        reply = await self._projects.call(TOKEN_KEYS, context)
        if reply.status != 200:
            return
        published = orjson.loads(reply.body)["keys"]
        keys = {each["kid"]: jwt.PyJWK(each).key for each in published}
        self._of_0_1 = {each["kid"] for each in published if TOKEN_KEY_RELEASE in each}
        self._keys = {kid: key for kid, key in keys.items() if isinstance(key, Ed25519PublicKey)}
