"""Authentication: a credential is the operator's, an API key, or an access token made for either.

A key is known by the SHA-256 of its secret. What the projects service says of it is cached for
seconds, and forgotten at once when an event says that it changed.
"""

import hmac
import time
from collections.abc import Awaitable, Callable

import orjson
from cachetools import TTLCache
from contracts.context import Context
from contracts.operator_calls import OPERATOR_SUBJECT
from contracts.problems import Problem, unauthenticated
from contracts.secrets import digest, is_secret
from contracts.tenants import FIND_CREDENTIAL
from nats.aio.client import Client

from edge.auth.access_tokens import AccessToken, AccessTokens
from edge.auth.api_key_usage import ApiKeyUsage
from edge.auth.operator_tokens import OperatorTokens
from edge.auth.principals import ApiKey, BearerCredential, Principal
from edge.projects_client import ProjectsClient

CACHE_SECONDS = 5.0
CACHE_SIZE = 50_000


async def _no_limit() -> None:
    """A look-up that is not counted."""


class Credentials:
    """Authenticates requests."""

    def __init__(self, operator_key: str, second_operator_key: str | None = None) -> None:
        """A second one of the operator is as good as the first, but makes no tokens."""
        self._operator = [digest(key) for key in (operator_key, second_operator_key) if key]
        self._projects = ProjectsClient()
        self._keys: TTLCache[str, ApiKey] = TTLCache(CACHE_SIZE, CACHE_SECONDS)
        self.tokens = AccessTokens(self._projects)
        self.operator_tokens = OperatorTokens(self._projects, self._operator)
        self._changes = 0
        self.usage = ApiKeyUsage(self._projects)

    def connect(self, nats: Client) -> None:
        """Calls projects over this connection."""
        self._projects.nats = nats

    def forget_all(self) -> None:
        """After a lost connection: events may have been missed."""
        self._changes += 1
        self._keys.clear()
        self.operator_tokens.forget_all()

    def forget_tenant(self, tenant_id: str | None) -> None:
        """Whatever is known of a tenant's keys may have changed."""
        self._changes += 1
        for name in [n for n, key in self._keys.items() if key.principal.tenant_id == tenant_id]:
            self._keys.pop(name, None)
        self.operator_tokens.forget(tenant_id)

    async def authenticate(
        self,
        credential: BearerCredential,
        address: str | None,
        context: Context,
        before_lookup: Callable[[], Awaitable[None]] = _no_limit,
    ) -> Principal:
        """The principal of the credential. Raises Problem (401, 403, 503).

        `before_lookup` is awaited before anything is done for a credential that is not cached.
        """
        name = credential.digest
        if any(hmac.compare_digest(name, each) for each in self._operator):
            return Principal("operator")
        key = self._keys.get(name)
        if key is not None:
            principal = key.principal
        else:
            token = self.tokens.get(credential)
            if token is None:
                await before_lookup()
            if token is None and is_secret(credential.value):
                key = await self._find_key(name, {"secret_sha256": name}, context)
                principal = key.principal
            else:
                token = token or await self.tokens.verify(credential, context)
                if token.claims.sub == OPERATOR_SUBJECT:
                    return await self.operator_tokens.principal(token, context)
                key = await self._key_of_token(token, context)
                principal = token.principal(key)
                key = key.of_version(token.claims.ver)
        if key.refusal is not None or key.expires_at <= time.time():
            raise self._refusal(key, principal, address, context)
        self.usage.record_use(
            key.principal.tenant_id, key.principal.key_id, previous=key.is_previous
        )
        return principal

    async def _key_of_token(self, token: AccessToken, context: Context) -> ApiKey:
        claims = token.claims
        if claims.exp <= time.time():
            raise unauthenticated()
        key = self._keys.get(claims.sub)
        if key is None:
            key = await self._find_key(claims.sub, {"key_id": claims.sub}, context)
        if key.principal.tenant_id != claims.tid:
            raise unauthenticated()
        return key

    def _refusal(
        self, key: ApiKey, principal: Principal, address: str | None, context: Context
    ) -> Problem:
        """The problem of a dead key or a suspended tenant; recorded if the key is a tenant's."""
        if key.refusal != "unknown":
            self.usage.record_refusal(principal, key.refusal or "expired", address, context)
        if key.refusal == "tenant_suspended":
            return Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")
        return unauthenticated()

    async def _find_key(self, name: str, body: dict[str, str], context: Context) -> ApiKey:
        changes = self._changes
        reply = await self._projects.call(FIND_CREDENTIAL, context, orjson.dumps(body))
        if reply.status == 404:
            raise unauthenticated()
        if reply.status != 200:
            raise Problem("service_unavailable", "Try again soon.", retry_after=1)
        key = ApiKey.from_found(orjson.loads(reply.body))
        # An answer that a change has overtaken serves this request, and no other.
        if changes == self._changes:
            self._keys[name] = key
        return key
