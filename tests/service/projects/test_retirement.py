"""Scheduled retirement: to the instant in the key set, written down in the background."""

import asyncio
from datetime import UTC, datetime, timedelta

from contracts import signing_keys as calls
from projects import retirement
from service.projects.world import World
from support.waiting import until


async def published(world: World, project: str) -> set[str]:
    answer = await world.call(calls.GET_JWKS, None, None, project)
    return {each["kid"] for each in answer.body["keys"]}


async def rotated(world: World, tenant: str, project: str, grace: int) -> str:
    """Rotates; answers the key that is retiring now."""
    (active,) = (await world.signing_keys(tenant, project))["active"]
    body = {"force": True, "grace_period": grace}
    assert (await world.call(calls.ROTATE_SIGNING_KEY, tenant, body, project)).status == 201
    return active


async def statuses(world: World, project: str) -> dict[str, str]:
    """As they are stored."""
    rows = await world.owner.pool.fetch(
        "SELECT id, status FROM signing_keys WHERE project_id = $1", project
    )
    return {row["id"]: row["status"] for row in rows}


async def test_the_key_set_changes_exactly_at_the_end_of_the_grace_period(
    world: World, tenant: str
) -> None:
    project = await world.new_project(tenant)
    retiring = await rotated(world, tenant, project, 1)
    ends = datetime.fromisoformat((await world.owner.events(tenant))[-1]["data"]["retires_at"])
    last_seen = datetime.now(UTC)

    async def gone() -> bool:
        nonlocal last_seen
        asked = datetime.now(UTC)
        if retiring in await published(world, project):
            last_seen = asked
            return False
        return True

    await until(gone, 5)
    assert last_seen < ends <= datetime.now(UTC)
    assert ends - last_seen < timedelta(milliseconds=500)
    # Nothing had to write it down.
    assert (await statuses(world, project))[retiring] == "retiring"
    assert (await world.signing_keys(tenant, project))["retired"] == [retiring]


async def test_what_is_due_is_written_down_and_nothing_else(
    world: World, tenant: str, other_tenant: str
) -> None:
    homes = [(each, await world.new_project(each)) for each in (tenant, other_tenant)]
    due = [await rotated(world, *home, 0) for home in homes]
    later = [await rotated(world, *home, 60) for home in homes]
    shown = [await world.signing_keys(*home) for home in homes]
    sets = [await published(world, project) for _, project in homes]
    happened = await world.happened(tenant)
    assert await retirement.retire(world.owner.pool) >= 2
    for (_, project), old, new in zip(homes, due, later, strict=True):
        found = await statuses(world, project)
        assert (found[old], found[new]) == ("retired", "retiring")
        assert sorted(found.values()) == ["active", "next", "retired", "retiring"]
    assert [await world.signing_keys(*home) for home in homes] == shown
    assert [await published(world, project) for _, project in homes] == sets
    assert await world.happened(tenant) == happened
    assert await retirement.retire(world.owner.pool) == 0


async def test_more_than_a_batch_is_retired_at_once_by_several_replicas(
    world: World, tenant: str
) -> None:
    project = await world.new_project(tenant)
    await rotated(world, tenant, project, 0)
    await retirement.retire(world.owner.pool)
    count = 2 * retirement.BATCH + 1
    await world.execute(
        "INSERT INTO signing_keys SELECT tenant_id, project_id, 'sgk_' || n, algorithm, 'retiring',"
        " public_jwk, NULL, created_at, activated_at, now() FROM signing_keys,"
        " generate_series(1, $2) AS n WHERE project_id = $1 AND status = 'retired'",
        project,
        count,
    )
    done = await asyncio.gather(*(retirement.retire(world.owner.pool) for _ in range(3)))
    assert sum(done) == count
    assert "retiring" not in (await statuses(world, project)).values()


async def test_a_retired_key_cannot_be_revoked(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    key = await rotated(world, tenant, project, 0)
    await retirement.retire(world.owner.pool)
    refused = await world.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, key)
    assert (refused.status, refused.body["code"]) == (409, "key_not_active")
