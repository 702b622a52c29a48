"""Encryption keys are rotated while webhooks are in use: no secret is lost, each still signs."""

import asyncio
import base64
from collections import Counter

import pytest
from chassis import key_rotation
from chassis.encryption import Keyring, SecretId
from contracts import webhooks as calls
from service.webhooks.client import WebhooksClient
from support.owner import ENCRYPTION_KEYS
from support.waiting import until
from webhooks.endpoints.key_rotation import reencrypt_secrets
from webhooks.endpoints.secrets import secret_id
from webhooks.rules.signature import format_secret

SECOND = "k2:" + base64.b64encode(b"the-second-key-of-exactly-32-by!").decode()
URL = "https://hooks.example.com"


def keyring(client: WebhooksClient, encryption_keys: str) -> Keyring:
    """The keyring of a process with other keys in its environment."""
    settings = client.owner.settings
    secret = type(settings.encryption_keys)(encryption_keys)
    return Keyring.of(settings.model_copy(update={"encryption_keys": secret}))


@pytest.fixture
async def both(client: WebhooksClient) -> Keyring:
    """Both keys, the second first. No webhook of an earlier test is left: they would count too."""
    await client.pool.execute("DELETE FROM webhooks")
    return keyring(client, f"{SECOND},{ENCRYPTION_KEYS}")


async def encrypted_secrets(client: WebhooksClient) -> list[tuple[SecretId, str]]:
    rows = await client.pool.fetch("SELECT tenant_id, webhook_id, sealed FROM secrets")
    return [(secret_id(row["tenant_id"], row["webhook_id"]), row["sealed"]) for row in rows]


async def secrets_by_key(client: WebhooksClient) -> Counter[str]:
    return Counter(text.partition(".")[0] for _, text in await encrypted_secrets(client))


async def decrypted_secrets(client: WebhooksClient) -> set[str]:
    """All secrets, read by the second key alone."""
    alone = keyring(client, SECOND)
    return {
        format_secret(alone.decrypt(text, secret))
        for secret, text in await encrypted_secrets(client)
    }


async def test_after_the_rotation_the_old_key_can_go(
    client: WebhooksClient, tenant: str, both: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 3)
    webhooks = [await client.create_webhook(tenant, URL) for _ in range(7)]
    rotated = await client.call(calls.ROTATE_SECRET, tenant, None, webhooks[0]["id"])
    assert await secrets_by_key(client) == {"k1": 8}
    async with client.pool.acquire() as conn:
        assert await reencrypt_secrets(conn, both) == 8
        assert await reencrypt_secrets(conn, both) == 0
    assert await secrets_by_key(client) == {"k2": 8}
    shown = {each["secret"] for each in webhooks} | {rotated.body["secret"]}
    assert await decrypted_secrets(client) == shown


async def test_secrets_that_change_meanwhile_are_neither_lost_nor_restored(
    client: WebhooksClient, tenant: str, both: Keyring
) -> None:
    webhooks = [await client.create_webhook(tenant, URL) for _ in range(10)]
    shown = {each["secret"] for each in webhooks}

    async def rotate(webhook: str, *, delete: bool) -> None:
        for _ in range(3):
            rotated = await client.call(calls.ROTATE_SECRET, tenant, None, webhook)
            assert rotated.status == 200, rotated.body
            shown.add(rotated.body["secret"])
        if delete:
            deleted = await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook)
            assert deleted.status == 204

    async with client.pool.acquire() as conn:
        rotations = asyncio.gather(
            *(rotate(each["id"], delete=n < 3) for n, each in enumerate(webhooks))
        )
        while not rotations.done():
            await reencrypt_secrets(conn, both)
        await rotations
        await reencrypt_secrets(conn, both)
    assert await secrets_by_key(client) == {"k2": 28}
    decrypted = await decrypted_secrets(client)
    assert len(decrypted) == 28
    assert decrypted < shown


async def test_the_rotation_waits_for_a_locked_row_at_its_end(
    client: WebhooksClient, tenant: str, both: Keyring
) -> None:
    webhooks = [await client.create_webhook(tenant, URL) for _ in range(2)]
    async with client.pool.acquire() as conn, client.pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        query = "SELECT FROM secrets WHERE webhook_id = $1 FOR UPDATE"
        await other.execute(query, webhooks[0]["id"])
        rotation = asyncio.create_task(reencrypt_secrets(conn, both))

        async def all_but_one() -> bool:
            return await secrets_by_key(client) == {"k1": 1, "k2": 1}

        try:
            await until(all_but_one, 5)
            assert not rotation.done()
        finally:
            await transaction.rollback()
            count = await rotation
    assert count == 2
    assert await secrets_by_key(client) == {"k2": 2}
