"""The usage of API keys, reported to the projects service: last uses, and refused attempts."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem
from contracts.tenants import RECORD_REFUSAL, RECORD_USE

from edge.auth.principals import Principal
from edge.limits.refusal_limits import RefusalLimits
from edge.projects_client import ProjectsClient

log = structlog.get_logger()

BATCH_SIZE = 2_000
"""Uses reported at once."""
NO_TRACE = "00-00000000000000000000000000000001-0000000000000001-00"


class ApiKeyUsage:
    """Gathers uses until they are flushed: never a write per request."""

    def __init__(self, projects: ProjectsClient) -> None:
        self._projects = projects
        self._used: dict[tuple[str | None, bool], tuple[str | None, datetime]] = {}
        self.refusal_limits = RefusalLimits()
        self._reports: set[asyncio.Task[None]] = set()

    def record_refusal(
        self, principal: Principal, code: str, address: str | None, context: Context
    ) -> None:
        """Reports a refused attempt in the background, if it is one of those that are recorded."""
        key_id = principal.key_id
        if key_id is None or not self.refusal_limits.may_be_due(key_id, address):
            return
        body = {"tenant_id": principal.tenant_id, "key_id": key_id, "code": code}
        as_key = replace(
            context,
            tenant_id=principal.tenant_id,
            actor_type="api_key",
            actor_id=key_id,
        )
        task = asyncio.create_task(self._report_refusal(key_id, as_key, body))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report_refusal(self, key_id: str, context: Context, body: dict[str, Any]) -> None:
        if await self.refusal_limits.is_due(key_id, context.ip_address):
            await self._report(RECORD_REFUSAL, context, body)

    def record_use(self, tenant_id: str | None, key_id: str | None, *, previous: bool) -> None:
        """Notes that a key is used now, by the secret before its last rotation or not."""
        self._used[key_id, previous] = (tenant_id, datetime.now(UTC))

    async def flush(self) -> None:
        """Reports when keys were last used. What could not be reported is kept for next time."""
        used, self._used = list(self._used.items()), {}
        for start in range(0, len(used), BATCH_SIZE):
            uses = [
                {"key_id": key_id, "tenant_id": tenant_id, "used_at": at, "previous": previous}
                for (key_id, previous), (tenant_id, at) in used[start : start + BATCH_SIZE]
            ]
            context = Context(request_id="last-use", traceparent=NO_TRACE, deadline=time.time() + 2)
            if not await self._report(RECORD_USE, context, {"uses": uses}):
                self._used = {**dict(used[start:]), **self._used}
                return

    async def _report(self, call: Call, context: Context, body: dict[str, Any]) -> bool:
        """Whether the report arrived; if not, it may be sent again."""
        try:
            reply = await self._projects.call(call, context, orjson.dumps(body))
        except Problem as problem:
            log.warning("usage_not_reported", call=call.name, code=problem.code)
            return False
        return reply.status < 500
