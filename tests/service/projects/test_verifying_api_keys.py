"""Verification for a customer's own backend: a reason for each refusal, and never a write."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from contracts import api_keys as key_calls
from contracts import tenants as calls
from contracts.secrets import digest, new_secret
from projects.rpc import ROUTES
from service.projects.world import World
from support.owner import Owner


@pytest.fixture
async def reading(world: World) -> AsyncIterator[World]:
    """The same service on connections that cannot write."""
    read_only = {"default_transaction_read_only": "on"}
    url = world.owner.settings.database_url
    async with asyncpg.create_pool(url, min_size=0, server_settings=read_only) as pool:
        yield World(Owner(ROUTES, pool, world.owner.settings))


async def verdict(world: World, tenant: str, secret: str, *scopes: str) -> dict[str, Any]:
    body = {"secret_sha256": digest(secret), "scopes": list(scopes)}
    return dict((await world.call(key_calls.VERIFY_API_KEY, tenant, body)).body)


async def test_every_reason_is_told_without_a_write(
    world: World, reading: World, tenant: str
) -> None:
    project = await world.new_project(tenant)
    key, dead, old = [await world.new_key(tenant, project) for _ in range(3)]
    await world.call(key_calls.REVOKE_API_KEY, tenant, None, project, dead["id"])
    await world.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", old["id"])
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reading.new_project(tenant)
    for secret, scopes, code in (
        (key["secret"], ("users:read",), "valid"),
        (key["secret"], ("users:write",), "insufficient_scope"),
        (dead["secret"], (), "revoked"),
        (old["secret"], (), "expired"),
        (new_secret("live"), (), "not_found"),
    ):
        said = await verdict(reading, tenant, secret, *scopes)
        assert (said["code"], said["valid"]) == (code, code == "valid")


async def test_callers_are_found_and_tokens_made_without_a_write(
    world: World, reading: World, tenant: str
) -> None:
    key = await world.new_key(tenant, await world.new_project(tenant))
    assert (await reading.find(key["secret"])).status == 200
    form = {"grant_type": "client_credentials", "client_id": key["id"]}
    body = form | {"secret_sha256": digest(key["secret"])}
    assert (await reading.call(calls.ISSUE_TOKEN, None, body)).status == 200


async def test_a_publishable_key_verifies_and_holds_no_scope(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    key = await world.new_key(tenant, project, type="publishable", scopes=[])
    assert key["secret"].startswith("tnt_pub_")
    assert (await verdict(world, tenant, key["secret"]))["code"] == "valid"
    refused = await verdict(world, tenant, key["secret"], "users:read")
    assert refused["code"] == "insufficient_scope"
    assert (await world.find(key["secret"])).body["type"] == "publishable"


async def test_both_secrets_of_a_rotated_key_verify_in_the_overlap(
    world: World, tenant: str
) -> None:
    project = await world.new_project(tenant)
    key = await world.new_key(tenant, project)
    body = {"overlap": 60}
    rotated = await world.call(key_calls.ROTATE_API_KEY, tenant, body, project, key["id"])
    for secret in (key["secret"], rotated.body["secret"]):
        assert (await verdict(world, tenant, secret))["code"] == "valid"
    await world.execute("UPDATE api_keys SET previous_expires_at = now() WHERE id = $1", key["id"])
    assert (await verdict(world, tenant, key["secret"]))["code"] == "expired"
    assert (await verdict(world, tenant, rotated.body["secret"]))["code"] == "valid"


async def test_edges_that_flush_together_get_in_nobodys_way(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    keys = [(await world.new_key(tenant, project))["id"] for _ in range(200)]
    now = datetime.now(UTC).isoformat()

    async def flush(ids: list[str]) -> int:
        uses = [{"key_id": each, "tenant_id": tenant, "used_at": now} for each in ids]
        return (await world.call(calls.RECORD_USE, None, {"uses": uses})).status

    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = await world.owner.pool.fetchval(deadlocks)
    told = await asyncio.gather(*(flush(keys[:: 1 if n % 2 else -1]) for n in range(20)))
    assert set(told) == {204}
    assert await world.owner.pool.fetchval(deadlocks) == before
    listed = await world.keys(tenant, project, limit=200)
    assert len(listed) == 200
    assert all(each["last_used_at"] for each in listed)
