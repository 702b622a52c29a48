"""A key with an end makes and rotates none that outlives it, whoever asks at its last moment."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts import api_keys as calls
from service.projects.client import ProjectsClient
from support.owner import Answer

SOON = timedelta(seconds=60)


def after(span: timedelta) -> str:
    return (datetime.now(UTC) + span).isoformat()


async def create_as(
    client: ProjectsClient, tenant: str, project: str, maker: dict[str, Any], **fields: Any
) -> Answer:
    version = fields.pop("secret_version", None)
    body = {"name": "made", "scopes": ["users:read"], **fields}
    return await client.call(
        calls.CREATE_API_KEY, tenant, body, project, actor_id=maker["id"], secret_version=version
    )


async def test_a_key_with_an_end_makes_none_that_outlives_it(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    maker = await client.create_api_key(tenant, project, expires_at=after(SOON))
    for expires_at in (None, after(SOON * 2)):
        refused = await create_as(client, tenant, project, maker, expires_at=expires_at)
        assert refused.status == 422
        assert refused.body["errors"][0]["field"] == "expires_at"
    made = await create_as(client, tenant, project, maker, expires_at=maker["expires_at"])
    assert (made.status, made.body["created_by"]) == (201, maker["id"])


async def test_a_key_with_an_end_gives_no_new_secret_to_a_key_that_outlives_it(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    maker = await client.create_api_key(tenant, project, expires_at=after(SOON))
    endless = await client.create_api_key(tenant, project)

    async def rotate(key: dict[str, Any]) -> int:
        path = (project, key["id"])
        return (
            await client.call(calls.ROTATE_API_KEY, tenant, {}, *path, actor_id=maker["id"])
        ).status

    assert await rotate(endless) == 422
    assert await rotate(maker) == 201, "its own end stays"


async def test_the_secret_before_a_rotation_makes_none_that_outlives_its_overlap(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    maker = await client.create_api_key(tenant, project)
    await client.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, project, maker["id"])
    assert (await create_as(client, tenant, project, maker, secret_version=1)).status == 422
    assert (await create_as(client, tenant, project, maker, secret_version=2)).status == 201
    short = after(SOON / 2)
    made = await create_as(client, tenant, project, maker, secret_version=1, expires_at=short)
    assert made.status == 201
    await client.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, project, maker["id"])
    gone = await create_as(client, tenant, project, maker, secret_version=1, expires_at=short)
    assert (gone.status, gone.body["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("change", ["status = 'revoked'", "expires_at = now()"])
async def test_a_key_that_has_ended_meanwhile_makes_none(
    client: ProjectsClient, tenant: str, change: str
) -> None:
    project = await client.create_project(tenant)
    maker = await client.create_api_key(tenant, project)
    await client.execute(f"UPDATE api_keys SET {change} WHERE id = $1", maker["id"])
    refused = await create_as(client, tenant, project, maker, expires_at=after(SOON))
    assert (refused.status, refused.body["code"]) == (401, "unauthenticated")


async def test_of_a_revocation_and_a_creation_at_once_no_key_is_left_behind(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    for _ in range(10):
        maker = await client.create_api_key(tenant, project)
        path, query = (project, maker["id"]), {"descendants": "true"}
        creations = [create_as(client, tenant, project, maker) for _ in range(5)]
        revoked, *made = await asyncio.gather(
            client.call(calls.REVOKE_API_KEY, tenant, None, *path, query=query), *creations
        )
        assert revoked.status == 204
        assert {each.status for each in made} <= {201, 401}
    listed = await client.list_api_keys(tenant, project, status="active", limit=200)
    assert listed == []
