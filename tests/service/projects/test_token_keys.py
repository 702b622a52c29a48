"""The keys of access tokens: one pair whoever starts, published before use, sealed and rotated."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from chassis.encryption import Keyring, SecretId
from chassis.settings import parse_encryption_keys
from contracts import tenants as calls
from contracts.problems import Problem
from contracts.secrets import digest
from cryptography.exceptions import InvalidTag
from projects.tokens import token_keys
from projects.tokens.key_rotation import reencrypt_secrets
from service.projects.client import ProjectsClient
from service.projects.test_key_rotation import BOTH, SECOND
from support.owner import ENCRYPTION_KEYS


@pytest.fixture
async def fresh(client: ProjectsClient) -> ProjectsClient:
    """An installation that starts for the first time."""
    await client.execute("DELETE FROM token_keys")
    return client


async def maintain(client: ProjectsClient) -> list[str]:
    return await token_keys.maintain(client.pool, client.owner.keyring)


async def by_status(client: ProjectsClient) -> dict[str, str]:
    rows = await client.pool.fetch("SELECT id, status FROM token_keys")
    return {row["status"]: row["id"] for row in rows}


async def published(client: ProjectsClient) -> set[str]:
    return {each["kid"] for each in (await client.call(calls.TOKEN_KEYS, None)).body["keys"]}


async def rotate(client: ProjectsClient, *, leaked: bool = False) -> str:
    async with client.pool.acquire() as conn, conn.transaction():
        return await token_keys.rotate(conn, client.owner.keyring, leaked=leaked)


async def issue(client: ProjectsClient, key: dict[str, Any]) -> Any:
    body = {"grant_type": "client_credentials", "client_id": key["id"]}
    body["secret_sha256"] = digest(key["secret"])
    return await client.call(calls.ISSUE_TOKEN, None, body)


async def test_replicas_that_start_together_make_one_pair(fresh: ProjectsClient) -> None:
    found = await asyncio.gather(*(maintain(fresh) for _ in range(8)))
    assert set(await by_status(fresh)) == {"active", "next"}
    assert set(map(frozenset, found)) == {frozenset(await published(fresh))}
    assert set(await maintain(fresh)) == set(found[0])


async def test_without_keys_a_token_is_refused_for_now(fresh: ProjectsClient, tenant: str) -> None:
    key = await fresh.create_api_key(tenant, await fresh.create_project(tenant))
    assert (await issue(fresh, key)).status == 503
    await maintain(fresh)
    assert (await issue(fresh, key)).status == 200


async def test_a_rotation_uses_the_published_key_and_keeps_the_old_one_for_its_tokens(
    fresh: ProjectsClient, tenant: str
) -> None:
    key = await fresh.create_api_key(tenant, await fresh.create_project(tenant))
    await maintain(fresh)
    before = await by_status(fresh)
    with pytest.raises(Problem, match="rotation_too_soon"):
        await rotate(fresh)
    await fresh.execute("UPDATE token_keys SET created_at = created_at - interval '1 hour'")
    assert await rotate(fresh) == before["next"]
    after = await by_status(fresh)
    assert (after["active"], after["retiring"]) == (before["next"], before["active"])
    assert set(after.values()) == await published(fresh)
    signed = (await issue(fresh, key)).body["access_token"]
    assert jwt.get_unverified_header(signed)["kid"] == before["next"]
    row = await fresh.pool.fetchrow("SELECT * FROM token_keys WHERE status = 'retiring'")
    assert row["private_key"] is None, "it never signs again"
    lasts = row["retires_at"] - datetime.now(UTC)
    assert timedelta(minutes=15) < lasts < timedelta(minutes=20)
    await fresh.execute("UPDATE token_keys SET retires_at = now() WHERE status = 'retiring'")
    assert before["active"] not in await published(fresh)
    assert before["active"] not in await maintain(fresh)
    assert set(await by_status(fresh)) == {"active", "next"}


async def test_a_leaked_key_is_gone_at_once(fresh: ProjectsClient) -> None:
    await maintain(fresh)
    before = await by_status(fresh)
    assert await rotate(fresh, leaked=True) == before["next"]
    assert before["active"] not in await published(fresh)
    assert set(await by_status(fresh)) == {"active", "next"}


async def test_a_key_is_rotated_by_schedule_once_whoever_notices(fresh: ProjectsClient) -> None:
    await maintain(fresh)
    before = await by_status(fresh)
    past = token_keys.ROTATION + timedelta(seconds=1)
    await fresh.execute(
        "UPDATE token_keys SET created_at = created_at - $1::interval, "
        "activated_at = activated_at - $1::interval",
        past,
    )
    await asyncio.gather(*(maintain(fresh) for _ in range(5)))
    after = await by_status(fresh)
    assert (after["active"], after["retiring"]) == (before["next"], before["active"])


async def test_only_the_encryption_keys_of_projects_open_a_private_key(
    fresh: ProjectsClient,
) -> None:
    await maintain(fresh)
    row = await fresh.pool.fetchrow("SELECT id, private_key FROM token_keys WHERE status = 'next'")
    secret = token_keys.secret_id(row["id"])
    assert fresh.owner.keyring.decrypt(row["private_key"], secret)
    name = row["private_key"].partition(".")[0]
    foreign = Keyring(parse_encryption_keys(f"{name}:{SECOND.partition(':')[2]}"))
    with pytest.raises(InvalidTag):
        foreign.decrypt(row["private_key"], secret)
    with pytest.raises(InvalidTag):
        fresh.owner.keyring.decrypt(row["private_key"], SecretId("signing_key", "", row["id"]))


async def test_private_keys_move_to_another_encryption_key(
    fresh: ProjectsClient, tenant: str
) -> None:
    key = await fresh.create_api_key(tenant, await fresh.create_project(tenant))
    await maintain(fresh)
    both = Keyring(parse_encryption_keys(BOTH))
    async with fresh.pool.acquire() as conn:
        assert await reencrypt_secrets(conn, both) == 2
        assert await reencrypt_secrets(conn, both) == 0
        kid, private = await token_keys.get_active(conn, Keyring(parse_encryption_keys(SECOND)))
        back = Keyring(parse_encryption_keys(f"{ENCRYPTION_KEYS},{SECOND}"))
        assert await reencrypt_secrets(conn, back) == 2
    assert kid == (await by_status(fresh))["active"]
    assert private.public_key()
    assert (await issue(fresh, key)).status == 200
