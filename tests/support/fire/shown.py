"""What the product shows after the fire: rows, trail and proof; and whether it is quiet."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from chassis import streams
from contracts.topology import SERVICE_NAMES, STREAM
from tenantry.data_folder.secrets import SERVICES

from support.api import Api
from support.fire.changes import ENOUGH, OWNER
from support.fire.stack import CabledStack
from support.fire.writes import Row


@dataclass(frozen=True)
class Shown:
    """One tenant as its own credential sees it. `trail` is in the order of `sequence`."""

    rows: dict[Row, str]
    trail: list[dict[str, Any]]
    total: int
    proof: dict[str, Any]


async def shown(api: Api) -> Shown:
    rows = await rows_of(api)
    trail = [event async for event in _trail(api)]
    page = await _get(api, "/v1/admin/audit?limit=1")
    proof = await _get(api, "/v1/admin/audit/proof")
    return Shown(rows, trail, page["pagination"]["total"], proof)


async def rows_of(api: Api) -> dict[Row, str]:
    """Every row of the tenant with its mark."""
    rows: dict[Row, str] = {}
    for kind in ENOUGH:
        async for each in _all(api, f"/v1/admin/{kind}", kind):
            rows[kind, each["id"]] = each["description" if kind == "webhooks" else "name"]
    for organization in [row[1] for row in rows if row[0] == "organizations"]:
        async for each in _all(api, f"/v1/admin/organizations/{organization}/members", "members"):
            mark = OWNER if each["role"] == "owner" else each["permissions"][0]
            rows["members", f"{organization}/{each['user_id']}"] = mark
    return rows


async def _get(api: Api, path: str) -> Any:
    answer = await api("GET", path)
    assert answer.status == 200, f"{path}: {answer.status} {answer.raw!r}"
    return answer.body


async def _all(api: Api, path: str, kind: str) -> AsyncIterator[dict[str, Any]]:
    query = "?limit=200"
    while True:
        page = await _get(api, path + query)
        for each in page[kind]:
            yield each
        if (cursor := page["pagination"]["next_cursor"]) is None:
            return
        query = f"?limit=200&cursor={cursor}"


async def _trail(api: Api) -> AsyncIterator[dict[str, Any]]:
    after = 0
    while True:
        page = await _get(api, f"/v1/admin/events?limit=200&after={after}")
        for each in page["events"]:
            yield each
        if not page["has_more"]:
            return
        after = page["next_after"]


@dataclass
class Calm:
    """True when all that was recorded is published and taken; tells what is not."""

    counts: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not any(self.counts.values())

    def __repr__(self) -> str:
        return f"busy: { ({name: count for name, count in self.counts.items() if count}) }"


async def calm(stack: CabledStack) -> Calm:
    """Outboxes first: what was published before is then seen at the consumers."""
    seen = Calm()
    for service in SERVICES:
        conn = await asyncpg.connect(stack.servers.plain_database_url(service))
        try:
            seen.counts[f"outbox of {service}"] = await conn.fetchval(
                "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            )
        finally:
            await conn.close()
    async with streams.connected(stack.servers.nats_url("admin")) as client:
        for name in SERVICE_NAMES:
            info = await client.jetstream().consumer_info(STREAM, name)
            seen.counts[f"pending for {name}"] = info.num_pending or 0
            seen.counts[f"unacked by {name}"] = info.num_ack_pending or 0
    return seen
