"""The use of keys, told to their owner: when last, and of dead ones that somebody still tries."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from cachetools import TTLCache
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem
from contracts.tenants import RECORD_REFUSAL, RECORD_USE

from edge.callers import Caller
from edge.projects import Projects

log = structlog.get_logger()

FLUSHED = 2_000
"""Uses told at once."""
REFUSALS = 50_000
NO_TRACE = "00-00000000000000000000000000000001-0000000000000001-00"


class KeyUse:
    """Gathers uses until they are flushed: never a write per request."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._used: dict[tuple[str | None, bool], tuple[str | None, datetime]] = {}
        self._refused: TTLCache[Hashable, bool] = TTLCache(REFUSALS, 60)
        self._telling: set[asyncio.Task[bool]] = set()

    def refused(self, caller: Caller, code: str, address: str | None, context: Context) -> None:
        """Has the use of a dead or under-scoped key recorded, once a minute for key and address."""
        name = (caller.key_id, address)
        if name in self._refused or caller.key_id is None:
            return
        self._refused[name] = True
        body = {"tenant_id": caller.tenant_id, "key_id": caller.key_id, "code": code}
        told = replace(
            context, tenant_id=caller.tenant_id, actor_type="api_key", actor_id=caller.key_id
        )
        task = asyncio.create_task(self._tell(RECORD_REFUSAL, told, body))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def used(self, tenant_id: str | None, key_id: str | None, *, previous: bool) -> None:
        """Notes that a key was used just now, by the secret before its last rotation or not."""
        self._used[key_id, previous] = (tenant_id, datetime.now(UTC))

    async def flush(self) -> None:
        """Tells the owner when keys were last used: gathered, never a write per request.

        What could not be told is kept for the next time.
        """
        used, self._used = list(self._used.items()), {}
        for start in range(0, len(used), FLUSHED):
            uses = [
                {"key_id": key_id, "tenant_id": tenant_id, "used_at": at, "previous": previous}
                for (key_id, previous), (tenant_id, at) in used[start : start + FLUSHED]
            ]
            context = Context(request_id="last-use", traceparent=NO_TRACE, deadline=time.time() + 2)
            if not await self._tell(RECORD_USE, context, {"uses": uses}):
                self._used = {**dict(used[start:]), **self._used}
                return

    async def _tell(self, call: Call, context: Context, body: dict[str, Any]) -> bool:
        """Whether the owner has heard it; if not, it may be told again."""
        try:
            reply = await self._projects.ask(call, context, orjson.dumps(body))
        except Problem as problem:
            log.warning("not_told", call=call.name, code=problem.code)
            return False
        return reply.status < 500
