"""What only the projects service can say: signatures, public keys of a project, a tenant's status.

Who asks holds a database connection meanwhile. So a service that is away is asked by one request
at a time, and all others are refused at once, until it answers again.
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

Asking = Callable[[Call, Context, bytes], Awaitable[Reply]]
"""`chassis.rpc.ask` of a connection."""

LONGEST_SECONDS = 1.0
AWAY_SECONDS = 1.0


class Projects:
    """Asks, and remembers for a second that nobody answered."""

    def __init__(self, request: Asking) -> None:
        self._ask = request
        self._away = False
        self._away_until = 0.0

    async def sign(
        self, context: Context, tenant_id: str, project_id: str, claims: Mapping[str, Any]
    ) -> SignedToken:
        """A token by the active key. Raises Problem: 404 no project, 403 tenant suspended, 503."""
        body = orjson.dumps({"project_id": project_id, "claims": claims})
        reply = await self._asked(SIGN_TOKEN, context, body, tenant_id=tenant_id)
        if reply.status == 404:
            raise not_found()
        if reply.status == 403:
            raise _suspended()
        return SignedToken.model_validate_json(_body(reply))

    async def keys(self, context: Context, project_id: str) -> dict[str, jwt.PyJWK]:
        """The public keys of a project by their ids; none if there is no such project."""
        reply = await self._asked(GET_JWKS, context, b"", path={"id": project_id})
        if reply.status == 404:
            return {}
        return {each["kid"]: jwt.PyJWK(each) for each in orjson.loads(_body(reply))["keys"]}

    async def has_tenant(self, context: Context, tenant_id: str) -> bool:
        """Whether there is such a tenant. Raises Problem: 403 it is suspended, 503."""
        path = {"id": tenant_id}
        reply = await self._asked(GET_TENANT, context, b"", tenant_id=tenant_id, path=path)
        if reply.status == 404:
            return False
        if Tenant.model_validate_json(_body(reply)).status == "suspended":
            raise _suspended()
        return True

    async def _asked(self, call: Call, context: Context, body: bytes, **fields: Any) -> Reply:
        now = time.monotonic()
        if now < self._away_until:
            raise unavailable("projects")
        if self._away:
            self._away_until = now + AWAY_SECONDS
        deadline = min(context.deadline, time.time() + LONGEST_SECONDS)
        circumstances = Context(
            **{
                "request_id": context.request_id,
                "traceparent": context.traceparent,
                "deadline": deadline,
                **fields,
            }
        )
        try:
            reply = await self._ask(call, circumstances, body)
        except Problem:
            # Whatever became of it, nothing has changed: no question writes.
            self._away, self._away_until = True, time.monotonic() + AWAY_SECONDS
            raise unavailable("projects") from None
        self._away, self._away_until = False, 0.0
        return reply


def _suspended() -> Problem:
    return Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")


def _body(reply: Reply) -> bytes:
    if reply.status != 200:
        raise unavailable("projects")
    return reply.body
