"""Scheduled retirement: to the instant in the key set, its status stored in the background."""

import asyncio
from datetime import UTC, datetime, timedelta

from projects.signing import key_retirement
from service.projects.client import ProjectsClient
from support.waiting import until


async def rotate(client: ProjectsClient, tenant: str, project: str, grace: int) -> str:
    """Rotates; returns the key that is retiring now."""
    (active,) = (await client.signing_keys_by_status(tenant, project))["active"]
    body = {"force": True, "grace_period": grace}
    assert (await client.rotate_signing_key(tenant, project, **body)).status == 201
    return active


async def stored_statuses(client: ProjectsClient, project: str) -> dict[str, str]:
    rows = await client.pool.fetch(
        "SELECT id, status FROM signing_keys WHERE project_id = $1", project
    )
    return {row["id"]: row["status"] for row in rows}


async def test_the_key_set_changes_exactly_at_the_end_of_the_grace_period(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    retiring = await rotate(client, tenant, project, 1)
    ends = datetime.fromisoformat((await client.events(tenant))[-1]["data"]["retires_at"])
    last_seen = datetime.now(UTC)

    async def is_retired() -> bool:
        nonlocal last_seen
        asked = datetime.now(UTC)
        if retiring in await client.published_keys(project):
            last_seen = asked
            return False
        return True

    await until(is_retired, 5)
    assert last_seen < ends <= datetime.now(UTC)
    assert ends - last_seen < timedelta(milliseconds=500)
    # No status had to be stored for that.
    assert (await stored_statuses(client, project))[retiring] == "retiring"
    assert (await client.signing_keys_by_status(tenant, project))["retired"] == [retiring]


async def test_the_status_of_due_keys_is_stored_and_no_other(
    client: ProjectsClient, tenant: str, other_tenant: str
) -> None:
    projects = [(each, await client.create_project(each)) for each in (tenant, other_tenant)]
    due = [await rotate(client, *each, 0) for each in projects]
    later = [await rotate(client, *each, 60) for each in projects]

    async def shown() -> list[object]:
        """What tenants see of it."""
        listed = [await client.signing_keys_by_status(*each) for each in projects]
        published = [await client.published_keys(project) for _, project in projects]
        return [listed, published, await client.event_types(tenant)]

    before = await shown()
    assert await key_retirement.retire_due_keys(client.pool) >= 2
    for (_, project), old, new in zip(projects, due, later, strict=True):
        found = await stored_statuses(client, project)
        assert (found[old], found[new]) == ("retired", "retiring")
        assert sorted(found.values()) == ["active", "next", "retired", "retiring"]
    assert await shown() == before
    assert await key_retirement.retire_due_keys(client.pool) == 0


async def test_more_than_a_batch_is_retired_at_once_by_several_replicas(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    await rotate(client, tenant, project, 0)
    await key_retirement.retire_due_keys(client.pool)
    count = 2 * key_retirement.BATCH + 1
    await client.execute(
        "INSERT INTO signing_keys SELECT tenant_id, project_id, 'sgk_' || n, algorithm, 'retiring',"
        " public_jwk, NULL, created_at, activated_at, now() FROM signing_keys,"
        " generate_series(1, $2) AS n WHERE project_id = $1 AND status = 'retired'",
        project,
        count,
    )
    done = await asyncio.gather(*(key_retirement.retire_due_keys(client.pool) for _ in range(3)))
    assert sum(done) == count
    assert "retiring" not in (await stored_statuses(client, project)).values()
