"""Who is calling: the operator, an API key, or an access token made for one.

A key is named by the SHA-256 of its secret; what the owner says of it is remembered for seconds and
forgotten at once when an event tells of a change.
"""

import hmac
import time
from collections.abc import Awaitable, Callable

import orjson
from cachetools import TTLCache
from contracts.context import Context
from contracts.problems import Problem
from contracts.secrets import digest, is_secret
from contracts.tenants import FIND_CREDENTIAL
from nats.aio.client import Client

from edge.access_tokens import AccessTokens
from edge.callers import Caller, Key, Presented, unauthenticated
from edge.key_use import KeyUse
from edge.projects import Projects

REMEMBER_SECONDS = 5.0
REMEMBERED = 50_000


async def _uncounted() -> None:
    """Of a stranger whom nobody counts."""


class Credentials:
    """Finds the caller of a request."""

    def __init__(self, operator_key: str) -> None:
        self._operator = digest(operator_key)
        self._projects = Projects()
        self._keys: TTLCache[str, Key] = TTLCache(REMEMBERED, REMEMBER_SECONDS)
        self._tokens = AccessTokens(self._projects)
        self._changes = 0
        self.use = KeyUse(self._projects)

    def connect(self, nats: Client) -> None:
        """Asks projects over this connection."""
        self._projects.nats = nats

    def forget_all(self) -> None:
        """After a lost connection: events may have been missed."""
        self._changes += 1
        self._keys.clear()

    def forget_tenant(self, tenant_id: str | None) -> None:
        """Whatever is known of a tenant's keys may have changed."""
        self._changes += 1
        for name in [n for n, key in self._keys.items() if key.caller.tenant_id == tenant_id]:
            self._keys.pop(name, None)

    async def find(
        self,
        presented: Presented,
        address: str | None,
        context: Context,
        stranger: Callable[[], Awaitable[None]] = _uncounted,
    ) -> Caller:
        """The caller who presents it. Raises Problem (401, 403, 503).

        `stranger` is awaited before anything is done for a credential not seen lately.
        """
        name = presented.digest
        if hmac.compare_digest(name, self._operator):
            return Caller("operator")
        key = self._keys.get(name)
        if key is not None:
            caller = key.caller
        else:
            token = self._tokens.get(presented)
            if token is None:
                await stranger()
            if token is None and is_secret(presented.value):
                key = await self._look_up(name, {"secret_sha256": name}, context)
                caller = key.caller
            else:
                token = token or await self._tokens.verify(presented, context)
                if token.expires_at <= time.time():
                    raise unauthenticated()
                key = self._keys.get(token.key_id)
                if key is None:
                    key = await self._look_up(token.key_id, {"key_id": token.key_id}, context)
                caller = token.caller(key)
        if key.refusal is not None or key.expires_at <= time.time():
            raise self._refusal(key, caller, address, context)
        self.use.used(key.caller.tenant_id, key.caller.key_id, previous=key.is_previous)
        return caller

    def _refusal(self, key: Key, caller: Caller, address: str | None, context: Context) -> Problem:
        """Of dead keys and suspended tenants; those of a tenant's own keys are recorded."""
        if key.refusal != "unknown":
            self.use.refused(caller, key.refusal or "expired", address, context)
        if key.refusal == "tenant_suspended":
            return Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")
        return unauthenticated()

    async def _look_up(self, name: str, body: dict[str, str], context: Context) -> Key:
        changes = self._changes
        reply = await self._projects.ask(FIND_CREDENTIAL, context, orjson.dumps(body))
        if reply.status == 404:
            raise unauthenticated()
        if reply.status != 200:
            raise Problem("service_unavailable", "Try again soon.", retry_after=1)
        key = Key.of(orjson.loads(reply.body))
        # An answer that a change has overtaken serves this request, and no other.
        if changes == self._changes:
            self._keys[name] = key
        return key
