"""Tokens with which the operator looks into one tenant, and acts there as the operator.

They end with the operator's key, with the tenant, and after 15 minutes. While the tenant is
suspended they read, and change nothing.
"""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import replace

import orjson
from cachetools import TTLCache
from contracts.context import Context
from contracts.problems import Problem, unauthenticated
from contracts.scopes import SCOPES
from contracts.tenants import GET_TENANT

from edge.auth.access_tokens import AccessToken
from edge.auth.principals import Principal
from edge.projects_client import ProjectsClient

CACHE_SECONDS = 5.0
CACHE_SIZE = 10_000
READ_SCOPES = tuple(scope for scope in SCOPES if scope.endswith(":read"))


class OperatorTokens:
    """Knows by fingerprints which tokens were asked for by an operator's key of now; new ones have
    the `fingerprint` of the first key.
    """

    def __init__(self, projects: ProjectsClient, operator_key_digests: Sequence[str]) -> None:
        self._fingerprints = [
            hmac.digest(each.encode(), b"operator token", hashlib.sha256).hex()
            for each in operator_key_digests
        ]
        self.fingerprint = self._fingerprints[0]
        self._projects = projects
        self._tenants: TTLCache[str, Principal] = TTLCache(CACHE_SIZE, CACHE_SECONDS)
        self._changes = 0

    def forget(self, tenant_id: str | None) -> None:
        """What is known of a tenant may have changed."""
        self._changes += 1
        if tenant_id is not None:
            self._tenants.pop(tenant_id, None)

    def forget_all(self) -> None:
        self._changes += 1
        self._tenants.clear()

    async def principal(self, token: AccessToken, context: Context) -> Principal:
        """The operator in that tenant. Raises Problem (401, 503)."""
        claims = token.claims
        given = claims.operator_key or ""
        is_ours = any(hmac.compare_digest(given, each) for each in self._fingerprints)
        if not is_ours or claims.exp <= time.time():
            raise unauthenticated()
        held = self._tenants.get(claims.tid) or await self._find_tenant(claims.tid, context)
        return replace(
            held,
            scopes=token.narrowed(held.scopes),
            credential="access_token",
            expires_at=token.expiry,
        )

    async def _find_tenant(self, tenant_id: str, context: Context) -> Principal:
        """What the operator may do there: `scopes`, and the quotas of the tenant."""
        changes = self._changes
        as_operator = replace(context, actor_type="operator")
        reply = await self._projects.call(GET_TENANT, as_operator, path={"id": tenant_id})
        if reply.status == 404:
            raise unauthenticated()
        if reply.status != 200:
            raise Problem("service_unavailable", "Try again soon.", retry_after=1)
        tenant = orjson.loads(reply.body)
        if tenant["status"] == "deleting":
            raise unauthenticated()
        scopes = ("*",) if tenant["status"] == "active" else READ_SCOPES
        held = Principal("operator", tenant_id, scopes=scopes, quotas=tenant["quotas"])
        # An answer that a change has overtaken serves this request, and no other.
        if changes == self._changes:
            self._tenants[tenant_id] = held
        return held
