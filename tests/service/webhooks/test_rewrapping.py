"""Encryption keys are exchanged while webhooks are sent: no secret is lost, each still signs."""

import asyncio
import base64
from collections import Counter

import pytest
from chassis import key_rotation
from chassis.encryption import Keyring
from contracts import webhooks as calls
from service.webhooks.world import World
from support.owner import ENCRYPTION_KEYS
from support.waiting import until
from webhooks.rewrapping import rewrap
from webhooks.signature import shown_secret
from webhooks.webhooks import sealed_for

SECOND = "k2:" + base64.b64encode(b"the-second-key-of-exactly-32-by!").decode()
URL = "https://hooks.example.com"


def keyed(world: World, encryption_keys: str) -> Keyring:
    """The keys of a process with others in its environment."""
    settings = world.owner.settings
    secret = type(settings.encryption_keys)(encryption_keys)
    return Keyring(settings.model_copy(update={"encryption_keys": secret}))


@pytest.fixture
async def both(world: World) -> Keyring:
    """Both keys, the second first; no webhook of an earlier test, since it knows no tenant."""
    await world.owner.pool.execute("DELETE FROM webhooks")
    return keyed(world, f"{SECOND},{ENCRYPTION_KEYS}")


async def sealed(world: World) -> list[tuple[str, str]]:
    rows = await world.owner.pool.fetch("SELECT webhook_id, sealed FROM secrets")
    return [(row["webhook_id"], row["sealed"]) for row in rows]


async def sealed_by(world: World) -> Counter[str]:
    return Counter(text.partition(".")[0] for _, text in await sealed(world))


async def test_after_rewrapping_the_old_key_can_go(
    world: World, tenant: str, both: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 3)
    made = [await world.subscribe(tenant, URL) for _ in range(7)]
    path = {"id": made[0]["id"]}
    rotated = await world.call(calls.ROTATE_SECRET, tenant, None, path=path)
    assert await sealed_by(world) == {"k1": 8}
    async with world.owner.pool.acquire() as conn:
        assert await rewrap(conn, both) == 8
        assert await rewrap(conn, both) == 0
    assert await sealed_by(world) == {"k2": 8}
    alone = keyed(world, SECOND)
    opened = {
        shown_secret(alone.open(text, sealed_for(webhook))) for webhook, text in await sealed(world)
    }
    assert opened == {each["secret"] for each in made} | {rotated.body["secret"]}


async def test_secrets_that_rotate_meanwhile_are_neither_lost_nor_brought_back(
    world: World, tenant: str, both: Keyring
) -> None:
    made = [await world.subscribe(tenant, URL) for _ in range(10)]
    shown = {each["secret"] for each in made}

    async def rotate(webhook: str, *, remove: bool) -> None:
        path = {"id": webhook}
        for _ in range(3):
            rotated = await world.call(calls.ROTATE_SECRET, tenant, None, path=path)
            assert rotated.status == 200, rotated.body
            shown.add(rotated.body["secret"])
        if remove:
            assert (await world.call(calls.DELETE_WEBHOOK, tenant, None, path=path)).status == 204

    async with world.owner.pool.acquire() as conn:
        rotations = asyncio.gather(
            *(rotate(each["id"], remove=n < 3) for n, each in enumerate(made))
        )
        while not rotations.done():
            await rewrap(conn, both)
        await rotations
        await rewrap(conn, both)
    assert await sealed_by(world) == {"k2": 28}
    alone = keyed(world, SECOND)
    opened = {
        shown_secret(alone.open(text, sealed_for(hook))) for hook, text in await sealed(world)
    }
    assert len(opened) == 28
    assert opened < shown


async def test_a_row_that_is_held_is_waited_for_at_the_end(
    world: World, tenant: str, both: Keyring
) -> None:
    made = [await world.subscribe(tenant, URL) for _ in range(2)]
    async with world.owner.pool.acquire() as conn, world.owner.pool.acquire() as holder:
        held = holder.transaction()
        await held.start()
        query = "SELECT FROM secrets WHERE webhook_id = $1 FOR UPDATE"
        await holder.execute(query, made[0]["id"])
        rewrapped = asyncio.create_task(rewrap(conn, both))

        async def all_but_one() -> bool:
            return await sealed_by(world) == {"k1": 1, "k2": 1}

        try:
            await until(all_but_one, 5)
            assert not rewrapped.done()
        finally:
            await held.rollback()
            count = await rewrapped
    assert count == 2
    assert await sealed_by(world) == {"k2": 2}
