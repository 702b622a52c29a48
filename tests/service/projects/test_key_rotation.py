"""Encryption keys change while the service runs: the first encrypts, all decrypt, none is lost."""

import asyncio
import base64
from collections import Counter

import pytest
from chassis import key_rotation
from chassis.encryption import Keyring
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from projects.rpc import HANDLERS
from projects.signing.key_material import secret_id
from projects.signing.key_rotation import reencrypt_secrets
from service.projects.client import ProjectsClient
from support.owner import ENCRYPTION_KEYS, Owner
from support.waiting import until

SECOND = "k2:" + base64.b64encode(b"the-second-key-of-exactly-32-by!").decode()
BOTH = f"{SECOND},{ENCRYPTION_KEYS}"


def client_with(client: ProjectsClient, encryption_keys: str) -> ProjectsClient:
    """The same service as a process with other encryption keys."""
    settings = client.owner.settings
    secret = type(settings.encryption_keys)(encryption_keys)
    settings = settings.model_copy(update={"encryption_keys": secret})
    return ProjectsClient(Owner(HANDLERS, client.pool, settings))


def keyring_with(client: ProjectsClient, encryption_keys: str) -> Keyring:
    return client_with(client, encryption_keys).owner.keyring


@pytest.fixture
async def empty(client: ProjectsClient) -> ProjectsClient:
    """No project of an earlier test: the rotation is of all tenants."""
    await client.execute("DELETE FROM projects")
    return client


async def count_by_key(client: ProjectsClient) -> Counter[str]:
    """How many private keys each encryption key has encrypted."""
    rows = await client.pool.fetch(
        "SELECT split_part(private_key, '.', 1) AS key FROM signing_keys"
        " WHERE private_key IS NOT NULL"
    )
    return Counter(row["key"] for row in rows)


async def signs(client: ProjectsClient, tenant: str, project: str) -> bool:
    return (await client.sign_token(tenant, project)).status == 200


async def test_the_first_key_encrypts_and_all_decrypt(empty: ProjectsClient, tenant: str) -> None:
    project = await empty.create_project(tenant)
    both = client_with(empty, BOTH)
    assert await signs(both, tenant, project)
    await both.rotate_signing_key(tenant, project, force=True)
    assert await count_by_key(empty) == {"k1": 1, "k2": 1}


async def test_after_the_rotation_the_old_key_can_be_removed(
    empty: ProjectsClient, tenant: str, other_tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 3)
    projects = [(each, await empty.create_project(each)) for each in (tenant, other_tenant) * 4]
    await empty.rotate_signing_key(*projects[0], force=True)
    both = keyring_with(empty, BOTH)
    async with empty.pool.acquire() as conn:
        assert await reencrypt_secrets(conn, both) == 16
        assert await reencrypt_secrets(conn, both) == 0
    assert await count_by_key(empty) == {"k2": 16}
    alone = client_with(empty, SECOND)
    assert all([await signs(alone, *each) for each in projects])


async def test_a_rotation_that_was_stopped_continues_where_it_was(
    empty: ProjectsClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = [await empty.create_project(tenant) for _ in range(3)]
    unknown = "k0." + "A" * 80
    await empty.execute(
        "UPDATE signing_keys SET private_key = $1 WHERE project_id = $2 AND status = 'next'",
        unknown,
        projects[-1],
    )
    both = keyring_with(empty, BOTH)
    monkeypatch.setattr(key_rotation, "BATCH", 1)
    async with empty.pool.acquire() as conn:
        with pytest.raises(KeyError, match="k0"):
            await reencrypt_secrets(conn, both)
    done = (await count_by_key(empty))["k2"]
    assert 4 <= done <= 5
    await empty.execute("DELETE FROM signing_keys WHERE private_key = $1", unknown)
    async with empty.pool.acquire() as conn:
        assert await reencrypt_secrets(conn, both) == 5 - done
    assert await count_by_key(empty) == {"k2": 5}


async def test_signing_keys_that_rotate_meanwhile_are_neither_lost_nor_restored(
    empty: ProjectsClient, tenant: str
) -> None:
    projects = [await empty.create_project(tenant) for _ in range(10)]
    both = client_with(empty, BOTH)

    async def rotate(project: str) -> None:
        for client in (empty, both, empty):
            rotated = await client.rotate_signing_key(tenant, project, force=True)
            assert rotated.status == 201
            assert await signs(both, tenant, project)

    async with empty.pool.acquire() as conn:
        rotations = asyncio.gather(*map(rotate, projects))
        while not rotations.done():
            await reencrypt_secrets(conn, both.owner.keyring)
        await rotations
        await reencrypt_secrets(conn, both.owner.keyring)
    assert await count_by_key(empty) == {"k2": 20}
    alone = client_with(empty, SECOND)
    assert all([await signs(alone, tenant, project) for project in projects])
    erased = await empty.pool.fetchval(
        "SELECT count(*) FROM signing_keys WHERE status = 'retiring' AND private_key IS NULL"
    )
    assert erased == 30


async def test_what_no_derived_key_has_encrypted_is_moved_to_one(
    empty: ProjectsClient, tenant: str
) -> None:
    """As version 0.1 encrypted it: by the encryption key itself, of the same id."""
    project = await empty.create_project(tenant)
    keyring = empty.owner.keyring
    cipher = AESGCM(base64.b64decode(ENCRYPTION_KEYS.partition(":")[2]))
    for row in await empty.pool.fetch("SELECT id, private_key FROM signing_keys"):
        private = keyring.decrypt(row["private_key"], secret_id(tenant, row["id"]))
        sealed = bytes(12) + cipher.encrypt(bytes(12), private, f"signing_key:{row['id']}".encode())
        older = f"k1.{base64.urlsafe_b64encode(sealed).decode()}"
        await empty.execute(
            "UPDATE signing_keys SET private_key = $1 WHERE id = $2", older, row["id"]
        )
    assert await signs(empty, tenant, project), "it decrypts as it is"
    async with empty.pool.acquire() as conn:
        assert await reencrypt_secrets(conn, keyring) == 2
        assert await reencrypt_secrets(conn, keyring) == 0
    moved = "SELECT count(*) FROM signing_keys WHERE private_key LIKE 'k1.2.%'"
    assert await empty.pool.fetchval(moved) == 2
    assert await signs(empty, tenant, project)


async def test_a_locked_row_is_waited_for_at_the_end(empty: ProjectsClient, tenant: str) -> None:
    project = await empty.create_project(tenant)
    async with empty.pool.acquire() as conn, empty.pool.acquire() as other:
        lock = other.transaction()
        await lock.start()
        await other.execute("SELECT FROM signing_keys WHERE status = 'active' FOR UPDATE")
        rotation = asyncio.create_task(reencrypt_secrets(conn, keyring_with(empty, BOTH)))

        async def all_but_one() -> bool:
            return await count_by_key(empty) == {"k1": 1, "k2": 1}

        try:
            await until(all_but_one, 5)
            assert not rotation.done()
        finally:
            await lock.rollback()
            count = await rotation
    assert count == 2
    assert await count_by_key(empty) == {"k2": 2}
    assert await signs(client_with(empty, SECOND), tenant, project)
