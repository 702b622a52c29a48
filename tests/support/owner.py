"""One service alone: its calls answered in this process, on a real migrated database.

The same validation and unit of work that serve NATS, and events made by the code that records them;
only the transport is left out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from audit.settings import AuditSettings
from chassis import migrations
from chassis.database import Pool, open_pool
from chassis.encryption import Keyring
from chassis.request import Reply, validate_request
from chassis.settings import ServiceSettings
from chassis.unit_of_work import Handler, UnitOfWork
from contracts.calls import Call
from contracts.context import Context
from contracts.events import event_subject
from contracts.ids import new_id
from contracts.lifecycle import LIFECYCLE_TYPES
from contracts.problems import Problem
from outbox.inbox import ReceivedEvent
from outbox.record import create_message
from tenantry.servers import Servers

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HASH_KEYS = "h1:aGFzaC1rZXktZm9yLXRlc3RzLW9ubHktMzItYnl0ZXMh"
CHECKPOINT_SEEDS = "s1:Y2hlY2twb2ludC1zZWVkLW9ubHktZm9yLXRlc3RzISE="
ENCRYPTION_KEYS = "k1:" + "a2V5LWZvci10ZXN0cy1vbmx5LW9mLTMyLWJ5dGVzISE="


@dataclass
class Answer:
    """What came back."""

    status: int
    body: Any
    reply: Reply


class Owner:
    """Calls a service as a tenant's API key would."""

    def __init__(
        self, handlers: Mapping[Call, Handler], pool: Pool, settings: ServiceSettings
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.keyring = Keyring.of(settings)
        self._unit_of_work = UnitOfWork(pool, self.keyring, lambda: None)
        self._handlers = handlers

    async def call(
        self,
        call: Call,
        tenant: str | None,
        body: Any = None,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
        **context: Any,
    ) -> Answer:
        """`context` overrides fields of `contracts.context.Context`."""
        circumstances = Context(
            **{
                "tenant_id": tenant,
                "actor_type": "api_key",
                "actor_id": "key_01jt7a3v9qf8mbd2m0q5k4h6xz",
                "scopes": ("*",),
                "request_id": new_id("req"),
                "traceparent": TRACE,
                "ip_address": "203.0.113.7",
                "user_agent": "tests",
                "path": path or {},
                "query": tuple((name, str(value)) for name, value in (query or {}).items()),
                "deadline": time.time() + 10,
                **context,
            }
        )
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        try:
            request = validate_request(call, circumstances, data, self.keyring)
            reply = await self._unit_of_work.run(self._handlers[call], request)
        except Problem as problem:
            body = problem.body(circumstances.request_id, circumstances.trace_id)
            reply = Reply(orjson.dumps(body), problem.status)
        is_json = bool(reply.body) and "Content-Type" not in reply.headers
        return Answer(reply.status, orjson.loads(reply.body) if is_json else None, reply)

    async def events(self, tenant: str) -> list[dict[str, Any]]:
        """What the outbox has of the tenant, in order."""
        rows = await self.pool.fetch(
            "SELECT payload FROM outbox WHERE tenant_id = $1 ORDER BY position", tenant
        )
        return [orjson.loads(row["payload"]) for row in rows]


def audit_settings(servers: Servers, **settings: Any) -> AuditSettings:
    """Of an audit service that signs."""
    return AuditSettings(
        database_url=servers.database_url("audit"),
        hash_keys=HASH_KEYS,
        **{"audit_checkpoint_seeds": CHECKPOINT_SEEDS, "audit_origin": "audit.test", **settings},
    )


@asynccontextmanager
async def owner_of(
    service: str,
    handlers: Mapping[Call, Handler],
    servers: Servers,
    kind: type[ServiceSettings] = ServiceSettings,
) -> AsyncIterator[Owner]:
    """The service on its migrated database."""
    await asyncio.to_thread(migrations.upgrade, service, servers.migration_url(service))
    settings = kind(
        database_url=servers.database_url(service),
        hash_keys=HASH_KEYS,
        encryption_keys=ENCRYPTION_KEYS,
    )
    pool = await open_pool(settings.database_url, 10)
    try:
        yield Owner(handlers, pool, settings)
    finally:
        await pool.close()


def heard(
    tenant: str,
    type: str,
    subject: str,
    data: dict[str, Any] | None = None,
    *,
    time: datetime | str = "2026-01-15T10:00:00Z",
    actor: tuple[str, str | None] = ("api_key", "key_01jt7a3v9qf8mbd2m0q5k4h6xz"),
    request_id: str = "req_1",
    ip_address: str | None = "203.0.113.7",
    user_agent: str | None = "tests",
) -> ReceivedEvent:
    """An event of the tenant."""
    event = {
        "specversion": "1.0",
        "id": new_id("evt"),
        "source": "tenantry/identity",
        "type": type,
        "subject": subject,
        "time": time if isinstance(time, str) else time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "tenantid": tenant,
        "actortype": actor[0],
        "actorid": actor[1],
        "requestid": request_id,
        "traceparent": TRACE,
        "data": data or {},
    }
    subject = event_subject("identity", type)
    return ReceivedEvent(event, subject, orjson.dumps(event), ip_address, user_agent)


def heard_lifecycle(tenant: str, type: str, data: dict[str, Any] | None = None) -> ReceivedEvent:
    """A message of projects to the other services."""
    context = Context(request_id="req_1", traceparent=TRACE, ip_address="203.0.113.9")
    message = LIFECYCLE_TYPES[type](**data or {})
    entry = create_message(context, message, "projects", tenant)
    return ReceivedEvent(
        orjson.loads(entry.payload),
        entry.subject,
        entry.payload,
        entry.ip_address,
        entry.user_agent,
    )
