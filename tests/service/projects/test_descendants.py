"""A key is revoked with all that it made, however many that are, each with its event."""

from typing import Any

import pytest
from contracts import api_keys as calls
from contracts import tenants as tenant_calls
from projects.keys import descendants
from service.projects.client import ProjectsClient

ALL = {"descendants": "true"}


async def make(client: ProjectsClient, tenant: str, project: str, maker: str) -> str:
    body = {"name": "made", "scopes": ["users:read"]}
    made = await client.call(calls.CREATE_API_KEY, tenant, body, project, actor_id=maker)
    assert made.status == 201, made.body
    return str(made.body["id"])


async def statuses(client: ProjectsClient, tenant: str, project: str) -> dict[str, str]:
    listed = await client.list_api_keys(tenant, project, limit=200)
    return {each["id"]: each["status"] for each in listed}


async def revoke(client: ProjectsClient, tenant: str, project: str, key: str, **query: Any) -> None:
    revoked = await client.call(calls.REVOKE_API_KEY, tenant, None, project, key, query=query)
    assert revoked.status == 204, revoked.body


async def test_the_keys_that_a_key_made_and_theirs_are_revoked_with_it(
    client: ProjectsClient, tenant: str
) -> None:
    project, elsewhere = [await client.create_project(tenant) for _ in range(2)]
    root = (await client.create_api_key(tenant, project))["id"]
    child = await make(client, tenant, project, root)
    dead = await make(client, tenant, project, root)
    grandchildren = [await make(client, tenant, project, child) for _ in range(2)]
    grandchildren.append(await make(client, tenant, elsewhere, dead))
    sibling = (await client.create_api_key(tenant, project))["id"]
    await revoke(client, tenant, project, dead)
    before = len(await client.events(tenant))
    await revoke(client, tenant, project, root, **ALL)
    found = await statuses(client, tenant, project) | await statuses(client, tenant, elsewhere)
    assert {key for key, status in found.items() if status == "active"} == {sibling}
    told = (await client.event_subjects(tenant))[before:]
    assert told[0] == ("api_key.revoked", root)
    assert sorted(told[1:]) == sorted(("api_key.revoked", key) for key in (child, *grandchildren))


async def test_without_the_word_the_keys_that_it_made_stay(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    root = (await client.create_api_key(tenant, project))["id"]
    child = await make(client, tenant, project, root)
    await revoke(client, tenant, project, root)
    assert await statuses(client, tenant, project) == {root: "revoked", child: "active"}


async def test_what_a_leaked_root_key_made_goes_with_it(client: ProjectsClient) -> None:
    made = await client.create_tenant()
    tenant, leaked = made["tenant"]["id"], made["api_key"]["id"]
    project = await client.create_project(tenant)
    child = await make(client, tenant, project, leaked)
    await client.call_as_operator(tenant_calls.CREATE_ROOT_KEY, {}, tenant)
    revoked = await client.call_as_operator(
        tenant_calls.REVOKE_ROOT_KEY, None, tenant, leaked, query=ALL
    )
    assert revoked.status == 204
    assert await statuses(client, tenant, project) == {child: "revoked"}


async def test_more_than_a_batch_goes_in_steps_that_any_process_continues(
    client: ProjectsClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descendants, "BATCH", 3)
    project = await client.create_project(tenant)
    root = maker = (await client.create_api_key(tenant, project))["id"]
    for _ in range(10):  # each made by the one before
        maker = await make(client, tenant, project, maker)
    await revoke(client, tenant, project, root, **ALL)
    found = list((await statuses(client, tenant, project)).values())
    assert (found.count("revoked"), found.count("active")) == (1 + 3, 7)
    woken: list[None] = []
    await descendants.continue_revocation(client.pool, lambda: woken.append(None))
    assert set((await statuses(client, tenant, project)).values()) == {"revoked"}
    assert woken, "the events are published at once"
    types = await client.event_types(tenant)
    assert types.count("api_key.revoked") == 11
    assert await client.pool.fetchval("SELECT count(*) FROM key_revocations") == 0


async def test_ten_thousand_in_a_chain_cost_no_more_than_a_batch(
    client: ProjectsClient, tenant: str
) -> None:
    """A thief makes a key by a key by a key; the owner's request is answered all the same."""
    project = await client.create_project(tenant)
    root = (await client.create_api_key(tenant, project))["id"]
    await client.execute(
        """
        INSERT INTO api_keys (tenant_id, id, project_id, type, name, prefix, scopes, status,
            secret_hash, created_by, created_at)
        SELECT $1, 'key_' || n, $2, 'secret', 'chain', 'tnt', '{}', 'active', 'hash' || $1 || n,
            CASE n WHEN 1 THEN $3 ELSE 'key_' || (n - 1) END, now()
        FROM generate_series(1, 10000) AS n
        """,
        tenant,
        project,
        root,
    )
    await client.call(calls.REVOKE_API_KEY, tenant, None, project, root, query=ALL, deadline=2**40)
    await descendants.continue_revocation(client.pool, lambda: None)
    left = "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND status = 'active'"
    assert await client.pool.fetchval(left, tenant) == 0
