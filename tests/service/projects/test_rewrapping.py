"""Encryption keys are exchanged while the service runs: the first seals, all open, none is lost."""

import asyncio
import base64
from collections import Counter

import pytest
from chassis import key_rotation
from chassis.encryption import Keyring
from contracts import signing_keys as calls
from projects.rewrapping import rewrap
from projects.rpc import ROUTES
from service.projects.world import World
from support.owner import ENCRYPTION_KEYS, Owner
from support.waiting import until

SECOND = "k2:" + base64.b64encode(b"the-second-key-of-exactly-32-by!").decode()


def keyed(owner: Owner, encryption_keys: str) -> Owner:
    """The same service as a process with other encryption keys."""
    settings = owner.settings.model_copy(
        update={"encryption_keys": type(owner.settings.encryption_keys)(encryption_keys)}
    )
    return Owner(ROUTES, owner.pool, settings)


@pytest.fixture
async def clean(world: World) -> World:
    """No project of an earlier test: rewrapping knows no tenant."""
    await world.execute("DELETE FROM projects")
    return world


async def sealed_by(world: World) -> Counter[str]:
    rows = await world.owner.pool.fetch(
        "SELECT split_part(private_key, '.', 1) AS key FROM signing_keys"
        " WHERE private_key IS NOT NULL"
    )
    return Counter(row["key"] for row in rows)


async def signs(owner: Owner, tenant: str, project: str) -> bool:
    body = {"project_id": project, "claims": {"sub": "usr_1"}}
    return (await owner.call(calls.SIGN_TOKEN, tenant, body)).status == 200


async def test_the_first_key_seals_and_all_open(clean: World, tenant: str) -> None:
    old = await clean.new_project(tenant)
    both = keyed(clean.owner, f"{SECOND},{ENCRYPTION_KEYS}")
    assert await signs(both, tenant, old)
    await both.call(calls.ROTATE_SIGNING_KEY, tenant, {"force": True}, path={"id": old})
    assert await sealed_by(clean) == {"k1": 1, "k2": 1}


async def test_after_rewrapping_the_old_key_can_go(
    clean: World, tenant: str, other_tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 3)
    homes = [(each, await clean.new_project(each)) for each in (tenant, other_tenant) * 4]
    await clean.call(calls.ROTATE_SIGNING_KEY, tenant, {"force": True}, homes[0][1])
    both = Keyring(keyed(clean.owner, f"{SECOND},{ENCRYPTION_KEYS}").settings)
    async with clean.owner.pool.acquire() as conn:
        assert await rewrap(conn, both) == 16
        assert await rewrap(conn, both) == 0
    assert await sealed_by(clean) == {"k2": 16}
    alone = keyed(clean.owner, SECOND)
    assert all([await signs(alone, *home) for home in homes])


async def test_what_was_stopped_goes_on_where_it_was(
    clean: World, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = [await clean.new_project(tenant) for _ in range(3)]
    unknown = "k0." + "A" * 80
    await clean.execute(
        "UPDATE signing_keys SET private_key = $1 WHERE project_id = $2 AND status = 'next'",
        unknown,
        projects[-1],
    )
    both = Keyring(keyed(clean.owner, f"{SECOND},{ENCRYPTION_KEYS}").settings)
    monkeypatch.setattr(key_rotation, "BATCH", 1)
    async with clean.owner.pool.acquire() as conn:
        with pytest.raises(KeyError, match="k0"):
            await rewrap(conn, both)
    done = (await sealed_by(clean))["k2"]
    assert 4 <= done <= 5
    await clean.execute("DELETE FROM signing_keys WHERE private_key = $1", unknown)
    async with clean.owner.pool.acquire() as conn:
        assert await rewrap(conn, both) == 5 - done
    assert await sealed_by(clean) == {"k2": 5}


async def test_keys_that_rotate_meanwhile_are_neither_lost_nor_brought_back(
    clean: World, tenant: str
) -> None:
    projects = [await clean.new_project(tenant) for _ in range(10)]
    old, both = clean.owner, keyed(clean.owner, f"{SECOND},{ENCRYPTION_KEYS}")

    async def rotate(project: str) -> None:
        for owner in (old, both, old):
            path = {"id": project}
            rotated = await owner.call(calls.ROTATE_SIGNING_KEY, tenant, {"force": True}, path=path)
            assert rotated.status == 201
            assert await signs(both, tenant, project)

    async with clean.owner.pool.acquire() as conn:
        rotations = asyncio.gather(*map(rotate, projects))
        while not rotations.done():
            await rewrap(conn, both.keys)
        await rotations
        await rewrap(conn, both.keys)
    assert await sealed_by(clean) == {"k2": 20}
    alone = keyed(clean.owner, SECOND)
    assert all([await signs(alone, tenant, project) for project in projects])
    dead = await clean.owner.pool.fetchval(
        "SELECT count(*) FROM signing_keys WHERE status = 'retiring' AND private_key IS NULL"
    )
    assert dead == 30


async def test_a_row_that_is_held_is_waited_for_at_the_end(clean: World, tenant: str) -> None:
    project = await clean.new_project(tenant)
    both = Keyring(keyed(clean.owner, f"{SECOND},{ENCRYPTION_KEYS}").settings)
    async with clean.owner.pool.acquire() as conn, clean.owner.pool.acquire() as holder:
        held = holder.transaction()
        await held.start()
        await holder.execute("SELECT FROM signing_keys WHERE status = 'active' FOR UPDATE")
        rewrapped = asyncio.create_task(rewrap(conn, both))

        async def all_but_one() -> bool:
            return await sealed_by(clean) == {"k1": 1, "k2": 1}

        try:
            await until(all_but_one, 5)
            assert not rewrapped.done()
        finally:
            await held.rollback()
            count = await rewrapped
    assert count == 2
    assert await sealed_by(clean) == {"k2": 2}
    assert await signs(keyed(clean.owner, SECOND), tenant, project)
