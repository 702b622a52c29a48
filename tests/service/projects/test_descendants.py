"""A key is revoked with all that it made, however many that are, each with its event."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from contracts import api_keys as calls
from contracts import projects as project_calls
from contracts import tenants as tenant_calls
from contracts.ids import new_id
from contracts.secrets import digest
from outbox.cascade import STEP_SECONDS, Cascades
from projects.cascade_steps import STEPS
from projects.keys import descendants
from service.projects.client import ProjectsClient

ALL = {"descendants": "true"}
MANY = 1_000


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


async def make_chain(client: ProjectsClient, tenant: str, project: str, root: str) -> str:
    """Ten keys, each made by the one before; returns the secret of the last."""
    made = {"id": root, "secret": ""}
    for _ in range(10):
        body = {"name": "made", "scopes": ["users:read"]}
        answer = await client.call(calls.CREATE_API_KEY, tenant, body, project, actor_id=made["id"])
        made = dict(answer.body)
    return made["secret"]


async def count_stored_active(client: ProjectsClient, tenant: str) -> Any:
    return await client.pool.fetchval(
        "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND status = 'active'", tenant
    )


async def test_more_than_a_batch_is_revoked_at_once_and_its_events_come_in_steps(
    client: ProjectsClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descendants, "BATCH", 3)
    monkeypatch.setattr(descendants, "MAKER_COST", 1)
    project = await client.create_project(tenant)
    root = (await client.create_api_key(tenant, project))["id"]
    last = await make_chain(client, tenant, project, root)
    sibling = await client.create_api_key(tenant, project)
    await client.pool.execute("UPDATE api_keys SET created_by = NULL WHERE id = $1", sibling["id"])
    await revoke(client, tenant, project, root, **ALL)
    assert await count_stored_active(client, tenant) == 8, "this is to be looked at meanwhile"
    found = await statuses(client, tenant, project)
    assert [key for key, status in found.items() if status == "active"] == [sibling["id"]]
    assert len(await client.list_api_keys(tenant, project, status="active")) == 1
    path, query = (tenant, None, project), {"dry_run": "true"}
    preview = await client.call(project_calls.DELETE_PROJECT, *path, query=query)
    assert preview.body["would_delete"]["api_keys"] == 1
    assert (await client.call_as_operator(tenant_calls.CREATE_ROOT_KEY, {}, tenant)).status == 201
    query = {"status": "active"}
    roots = await client.call_as_operator(tenant_calls.LIST_ROOT_KEYS, None, tenant, query=query)
    assert roots.body["pagination"]["total"] == 1, "who has neither project nor maker stays"
    refused = (await client.find_credential(last)).body
    assert refused["status"] == "revoked"
    verified = await client.call(calls.VERIFY_API_KEY, tenant, {"secret_sha256": digest(last)})
    assert (verified.body["valid"], verified.body["code"]) == (False, "revoked")
    path = (tenant, None, project, refused["key_id"])
    assert (await client.call(calls.REVOKE_API_KEY, *path)).status == 404
    more = await client.call(
        calls.CREATE_API_KEY,
        tenant,
        {"name": "made", "scopes": ["users:read"]},
        project,
        actor_id=refused["key_id"],
    )
    assert more.status == 401
    assert (await client.find_credential(sibling["secret"])).body["status"] == "active"
    woken: list[None] = []
    await Cascades(client.pool, STEPS, lambda: woken.append(None)).run()
    assert await count_stored_active(client, tenant) == 2
    assert woken, "the events are published at once"
    told = [subject for type_, subject in await client.event_subjects(tenant) if "revoked" in type_]
    assert sorted(told) == sorted(found.keys() - {sibling["id"]}), "each once"
    assert told == sorted(told), "makers before what they made"
    assert await client.pool.fetchval("SELECT count(*) FROM cascades") == 0


async def insert_keys(
    client: ProjectsClient, tenant: str, project: str, makers: Sequence[int | str]
) -> list[str]:
    """A key for each maker: the number of an earlier one, or an identifier."""
    ids = [new_id("key") for _ in makers]
    now = datetime.now(UTC)
    row = {"tenant_id": tenant, "project_id": project, "type": "secret", "name": "made"}
    row |= {"prefix": "tnt_test_", "scopes": [], "status": "active", "created_at": now}
    async with client.pool.acquire() as conn:
        await conn.copy_records_to_table(
            "api_keys",
            columns=[*row, "id", "secret_hash", "created_by"],
            records=[
                (*row.values(), id_, id_, maker if isinstance(maker, str) else ids[maker])
                for id_, maker in zip(ids, makers, strict=True)
            ],
        )
    return ids


@pytest.mark.parametrize("shape", ["a chain", "pairs"])
async def test_however_they_descend_a_step_costs_no_more_than_a_batch(
    client: ProjectsClient, tenant: str, shape: str
) -> None:
    """A thief makes a key by a key by a key; the owner's request is answered all the same."""
    project = await client.create_project(tenant)
    root = (await client.create_api_key(tenant, project))["id"]
    makers: list[int | str] = [root, *range(MANY - 1)]
    if shape == "pairs":
        makers = [number - 1 if number % 2 else root for number in range(MANY)]
    ids = await insert_keys(client, tenant, project, makers)
    async with asyncio.timeout(1.8):
        await revoke(client, tenant, project, root, **ALL)
    last = {"key_id": ids[-1]}
    found = await client.call(tenant_calls.FIND_CREDENTIAL, None, last)
    assert found.body["status"] == "revoked"
    cascades = Cascades(client.pool, STEPS, lambda: None)
    slowest = 0.0
    while True:
        began = time.monotonic()
        if not await cascades.step():
            break
        slowest = max(slowest, time.monotonic() - began)
    assert await count_stored_active(client, tenant) == 0
    assert slowest < STEP_SECONDS
    assert (await client.event_types(tenant)).count("api_key.revoked") == MANY + 1
