"""What can be seen after the load: a tenant's rows, trail and proof, and what webhooks delivered.

The services' own tables show which events are not consumed yet, and when each was published.
"""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiohttp import web
from chaos.stack import ProxiedStack
from chaos.workload import LIMITS
from chaos.writes import OWNER, Row, Write
from chassis import streams
from contracts.topology import SERVICE_NAMES, STREAM
from support.api import Api
from support.waiting import until
from support.webhook_receiver import webhook_receiver

QUIET_LIMIT = 90.0
REFUSED = 50
"""Of so many events one is answered by a 500 when it comes for the first time."""

_EVENTS_OF_WRITE = """
SELECT event_id, convert_from(payload, 'UTF8')::json->>'type' AS type, position,
       recorded_at::time, published_at::time
  FROM outbox WHERE convert_from(payload, 'UTF8')::json->>'requestid' ~ ('^w' || $1 || '[.]')
 ORDER BY position
"""


@dataclass(frozen=True)
class Snapshot:
    """One tenant as its own credential sees it. `trail` is in the order of `sequence`."""

    rows: dict[Row, str]
    trail: list[dict[str, Any]]
    total: int
    proof: dict[str, Any]


async def take_snapshot(api: Api) -> Snapshot:
    rows: dict[Row, str] = {}
    for kind in LIMITS:
        async for each in _all(api, f"/v1/admin/{kind}", kind):
            rows[kind, each["id"]] = each["description" if kind == "webhooks" else "name"]
    for organization in [row[1] for row in rows if row[0] == "organizations"]:
        async for each in _all(api, f"/v1/admin/organizations/{organization}/members", "members"):
            mark = OWNER if each["role"] == "owner" else each["permissions"][0]
            rows["members", f"{organization}/{each['user_id']}"] = mark
    trail = [event async for event in _trail(api)]
    page = await _get(api, "/v1/admin/audit?limit=1")
    proof = await _get(api, "/v1/admin/audit/proof")
    return Snapshot(rows, trail, page["pagination"]["total"], proof)


async def _get(api: Api, path: str) -> Any:
    answer = await api("GET", path)
    assert answer.status == 200, f"{path}: {answer.status} {answer.raw!r}"
    return answer.body


async def _all(api: Api, path: str, kind: str) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = await _get(api, f"{path}?limit=200" + (f"&cursor={cursor}" if cursor else ""))
        for each in page[kind]:
            yield each
        cursor = page["pagination"]["next_cursor"]


async def _trail(api: Api) -> AsyncIterator[dict[str, Any]]:
    page = {"next_after": 0, "has_more": True}
    while page["has_more"]:
        page = await _get(api, f"/v1/admin/events?limit=200&after={page['next_after']}")
        for each in page["events"]:
            yield each


@dataclass
class Deliveries:
    """`accepted` counts, for each path, how often each event id came and was accepted."""

    url: str = ""
    accepted: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    refused: set[tuple[str, str]] = field(default_factory=set)
    malformed: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(each.total() for each in self.accepted.values())

    @property
    def repeats(self) -> int:
        """Deliveries of what was accepted before."""
        return sum(each.total() - len(each) for each in self.accepted.values())

    def add(self, path: str, event: str, body: bytes) -> int:
        """Answers the status."""
        if json.loads(body)["id"] != event:
            self.malformed.append(f"{event} has the body {body[:200]!r}")
        if int(event[-4:], 36) % REFUSED == 0 and (path, event) not in self.refused:
            self.refused.add((path, event))
            return 500
        self.accepted[path][event] += 1
        return 204


@asynccontextmanager
async def counted_deliveries() -> AsyncIterator[Deliveries]:
    """A customer's endpoint for many webhooks, each with a path of its own."""
    async with webhook_receiver() as receiver:
        deliveries = Deliveries(receiver.url)

        async def answer(_: web.Request) -> web.StreamResponse:
            received = receiver.received.pop()
            event = received.headers["webhook-id"]
            return web.Response(status=deliveries.add(received.path, event, received.body))

        receiver.answer = answer
        yield deliveries


async def until_quiet(stack: ProxiedStack) -> None:
    """All that was recorded is published and consumed."""
    busy: dict[str, int] = {}

    async def is_quiet() -> bool:
        nonlocal busy
        busy = {name: count for name, count in (await _waiting(stack)).items() if count}
        return not busy

    await until(is_quiet, QUIET_LIMIT, why=lambda: busy)


async def _waiting(stack: ProxiedStack) -> dict[str, int]:
    """Outboxes first: what was published before is then seen at the consumers."""
    counts = {}
    unpublished = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
    for service in SERVICE_NAMES:
        ((counts[f"outbox of {service}"],),) = await _fetch(stack, service, unpublished)
    async with streams.connected(stack.servers.nats_url("admin")) as client:
        for name in SERVICE_NAMES:
            info = await client.jetstream().consumer_info(STREAM, name)
            counts[f"pending for {name}"] = info.num_pending or 0
            counts[f"unacked by {name}"] = info.num_ack_pending or 0
    return counts


async def find_events(stack: ProxiedStack, write: Write) -> list[str]:
    """A line for each event that the write recorded: when it was published, who consumed it."""
    lines = []
    for service in SERVICE_NAMES:
        for row in await _fetch(stack, service, _EVENTS_OF_WRITE, str(write.number)):
            consumed = "SELECT heard_at::time FROM inbox WHERE event_id = $1"
            by = [
                f"{consumer} {at[0][0]}"
                for consumer in ("audit", "webhooks")
                if (at := await _fetch(stack, consumer, consumed, row["event_id"]))
            ]
            lines.append(f"{dict(row)}, consumed by {', '.join(by) or 'nobody'}")
    return lines or ["no outbox has an event of it"]


async def find_dead_letters(stack: ProxiedStack) -> list[str]:
    """Events that a service gave up."""
    query = "SELECT event_id, subject, error, tries FROM dead_letters"
    return [
        f"{service}: {dict(row)}"
        for service in SERVICE_NAMES
        for row in await _fetch(stack, service, query)
    ]


async def _fetch(stack: ProxiedStack, service: str, query: str, *values: Any) -> list[Any]:
    conn = await asyncpg.connect(stack.servers.direct_database_url(service))
    try:
        return list(await conn.fetch(query, *values))
    finally:
        await conn.close()
