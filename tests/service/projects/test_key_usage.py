"""The use of keys as edges report it: a time never moves back, a refusal is recorded once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import tenants as calls
from contracts.ids import new_id
from service.projects.client import ProjectsClient


async def test_a_refusal_is_recorded_once_a_minute_for_key_and_network(
    client: ProjectsClient, tenant: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))

    async def refuse(address: str | None) -> None:
        body = {"tenant_id": tenant, "key_id": key["id"], "code": "insufficient_scope"}
        reply = await client.call(
            calls.RECORD_REFUSAL, tenant, body, actor_id=key["id"], ip_address=address
        )
        assert reply.status == 204

    async def recorded() -> list[dict[str, Any]]:
        events = await client.events(tenant)
        return [each for each in events if each["type"] == "api_key.refused"]

    await asyncio.gather(*(refuse("203.0.113.7") for _ in range(10)))
    (only,) = await recorded()
    assert (only["subject"], only["actorid"]) == (key["id"], key["id"])
    assert only["data"]["code"] == "insufficient_scope"
    await refuse("203.0.113.8")
    await refuse("2001:db8::1")
    await refuse("2001:db8::ffff")
    await refuse(None)
    assert len(await recorded()) == 3
    await client.execute(
        "UPDATE refusals SET recorded_at = recorded_at - interval '1 minute' WHERE key_id = $1",
        key["id"],
    )
    await refuse("203.0.113.7")
    await refuse("203.0.113.7")
    assert len(await recorded()) == 4


async def test_a_refusal_of_a_key_that_is_not_the_tenants_is_not_recorded(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    key = await client.create_api_key(tenant, await client.create_project(tenant))
    for key_id in (key["id"], new_id("key")):
        body = {"tenant_id": other_tenant, "key_id": key_id, "code": "revoked"}
        assert (await client.call(calls.RECORD_REFUSAL, None, body)).status == 204
    assert await client.event_types(other_tenant) == []


async def test_the_last_use_never_moves_backwards(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    project = await client.create_project(tenant)
    first, second = [(await client.create_api_key(tenant, project))["id"] for _ in range(2)]
    now = datetime.now(UTC)
    early, late = [(now - timedelta(hours=hours)).isoformat() for hours in (2, 1)]

    async def use(*uses: tuple[str, str, str]) -> dict[str, str | None]:
        body = [{"key_id": k, "tenant_id": t, "used_at": at} for k, t, at in uses]
        assert (await client.call(calls.RECORD_USE, None, {"uses": body})).status == 204
        keys = await client.list_api_keys(tenant, project)
        return {each["id"]: each["last_used_at"] for each in keys}

    shown = late.replace("+00:00", "Z")
    assert await use((first, tenant, late), (first, tenant, early)) == {first: shown, second: None}
    assert (await use((first, tenant, early)))[first] == shown
    both = await use((second, tenant, late), (new_id("key"), tenant, late))
    assert both == {first: shown, second: shown}
    assert (await use((first, other_tenant, now.isoformat())))[first] == shown
    assert (await use()) == both
    types = await client.event_types(tenant)
    assert types == ["project.created", "api_key.created", "api_key.created"]


async def test_edges_that_report_together_do_not_deadlock(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    keys = [(await client.create_api_key(tenant, project))["id"] for _ in range(200)]
    now = datetime.now(UTC).isoformat()

    async def report(ids: list[str]) -> int:
        uses = [{"key_id": each, "tenant_id": tenant, "used_at": now} for each in ids]
        return (await client.call(calls.RECORD_USE, None, {"uses": uses})).status

    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = await client.pool.fetchval(deadlocks)
    statuses = await asyncio.gather(*(report(keys[:: 1 if n % 2 else -1]) for n in range(20)))
    assert set(statuses) == {204}
    assert await client.pool.fetchval(deadlocks) == before
    listed = await client.list_api_keys(tenant, project, limit=200)
    assert len(listed) == 200
    assert all(each["last_used_at"] for each in listed)
