"""Calls the projects service: it signs tokens, publishes keys and knows whether a tenant is active.

Whoever calls it holds no database connection, but one of the process's places for calls (see
`chassis.rpc.server`). A circuit breaker protects these: while projects does not answer, one request
a second tries it and all others are refused at once, so that identity still answers other calls.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jwt
import orjson
from chassis.request import Reply
from chassis.rpc.client import unavailable
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem, not_found
from contracts.signing_keys import GET_JWKS, SIGN_TOKEN, SignedToken
from contracts.tenants import GET_TENANT, Tenant

CallService = Callable[[Call, Context, bytes], Awaitable[Reply]]
"""`chassis.rpc.client.call_service` of a connection."""

TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 1.0


class ProjectsClient:
    """The calls that identity needs. Each raises Problem (503) if projects does not answer."""

    def __init__(self, call_service: CallService) -> None:
        self._call_service = call_service
        self._retry_at: float | None = None

    async def sign_token(
        self, context: Context, tenant_id: str, project_id: str, claims: Mapping[str, Any]
    ) -> SignedToken:
        """A token signed by the project's active key.

        Raises Problem: 404 there is no such project, 403 the tenant is suspended.
        """
        body = orjson.dumps({"project_id": project_id, "claims": claims})
        reply = await self._call(SIGN_TOKEN, context, body, tenant_id=tenant_id)
        if reply.status == 404:
            raise not_found()
        if reply.status == 403:
            raise _suspended()
        return SignedToken.model_validate_json(_body(reply))

    async def get_public_keys(self, context: Context, project_id: str) -> dict[str, jwt.PyJWK]:
        """The public keys of a project by their ids; none if there is no such project."""
        reply = await self._call(GET_JWKS, context, b"", path={"id": project_id})
        if reply.status == 404:
            return {}
        return {each["kid"]: jwt.PyJWK(each) for each in orjson.loads(_body(reply))["keys"]}

    async def tenant_exists(self, context: Context, tenant_id: str) -> bool:
        """Whether there is such a tenant. Raises Problem: 403 it is suspended."""
        path = {"id": tenant_id}
        reply = await self._call(GET_TENANT, context, b"", tenant_id=tenant_id, path=path)
        if reply.status == 404:
            return False
        if Tenant.model_validate_json(_body(reply)).status == "suspended":
            raise _suspended()
        return True

    async def _call(self, call: Call, context: Context, body: bytes, **fields: Any) -> Reply:
        if self._retry_at is not None:
            now = time.monotonic()
            if now < self._retry_at:
                raise unavailable("projects")
            self._retry_at = now + RETRY_SECONDS  # this request tries, the others do not wait
        deadline = min(context.deadline, time.time() + TIMEOUT_SECONDS)
        own_context = Context(
            **{
                "request_id": context.request_id,
                "traceparent": context.traceparent,
                "deadline": deadline,
                **fields,
            }
        )
        try:
            reply = await self._call_service(call, own_context, body)
        except Problem:
            # No call changes anything there, so it does not matter whether this one was processed.
            self._retry_at = time.monotonic() + RETRY_SECONDS
            raise unavailable("projects") from None
        self._retry_at = None
        return reply


def _suspended() -> Problem:
    return Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")


def _body(reply: Reply) -> bytes:
    if reply.status != 200:
        raise unavailable("projects")
    return reply.body
