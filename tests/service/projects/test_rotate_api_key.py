"""A rotated key has a new secret; the one before works until its overlap ends."""

import asyncio
from datetime import UTC, datetime, timedelta

from contracts import api_keys as calls
from contracts import tenants as tenant_calls
from service.projects.client import ProjectsClient


async def test_without_an_overlap_the_old_secret_ends_at_once(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    rotated = await client.call(calls.ROTATE_API_KEY, tenant, {}, project, key["id"])
    assert (rotated.status, rotated.body["id"]) == (201, key["id"])
    assert rotated.body["prefix"] != key["prefix"]
    assert (await client.find_credential(key["secret"])).body["status"] == "expired"
    found = (await client.find_credential(rotated.body["secret"])).body
    assert (found["status"], found["previous"]) == ("active", False)
    assert (await client.event_subjects(tenant))[-1] == ("api_key.rotated", key["id"])


async def test_in_the_overlap_both_work_and_the_old_one_is_marked(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    body = {"overlap": 3600}
    rotated = await client.call(calls.ROTATE_API_KEY, tenant, body, project, key["id"])
    ends = datetime.fromisoformat(rotated.body["previous_secret"]["expires_at"])
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    old, new = [(await client.find_credential(each["secret"])).body for each in (key, rotated.body)]
    assert (old["status"], old["previous"]) == ("active", True)
    assert datetime.fromisoformat(old["expires_at"]) == ends
    assert (new["status"], new["previous"], new["expires_at"]) == ("active", False, None)
    await client.execute("UPDATE api_keys SET previous_expires_at = now() WHERE id = $1", key["id"])
    assert (await client.find_credential(key["secret"])).body["status"] == "expired"
    assert (await client.find_credential(rotated.body["secret"])).body["status"] == "active"


async def test_the_key_shows_when_the_old_secret_was_still_used(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    use = {"key_id": key["id"], "tenant_id": tenant, "previous": True}

    async def used(at: datetime, **fields: bool) -> dict[str, str | None]:
        uses = [use | {"used_at": at.isoformat()} | fields]
        await client.call(tenant_calls.RECORD_USE, None, {"uses": uses})
        return dict((await client.list_api_keys(tenant, project))[0])

    assert (await used(datetime.now(UTC)))["previous_secret"] is None
    await client.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, project, key["id"])
    before, now = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)
    shown = (await client.list_api_keys(tenant, project))[0]["previous_secret"]
    assert shown["last_used_at"] is None
    # A use from before the rotation was one of a secret older still.
    assert (await used(before))["previous_secret"] == shown
    assert (await used(now, previous=False))["previous_secret"] == shown
    previous = (await used(now))["previous_secret"]
    assert previous == shown | {"last_used_at": now.isoformat().replace("+00:00", "Z")}
    await client.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, project, key["id"])
    repeated = (await client.list_api_keys(tenant, project))[0]["previous_secret"]
    assert repeated["last_used_at"] is None


async def test_a_second_rotation_ends_the_oldest_secret(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    secrets = [key["secret"]]
    for _ in range(2):
        body = {"overlap": 3600}
        rotated = await client.call(calls.ROTATE_API_KEY, tenant, body, project, key["id"])
        secrets.append(rotated.body["secret"])
    assert (await client.find_credential(secrets[0])).status == 404
    assert [(await client.find_credential(each)).body["previous"] for each in secrets[1:]] == [
        True,
        False,
    ]


async def test_rotations_at_the_same_time_leave_one_secret_that_works(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    rotated = await asyncio.gather(
        *(client.call(calls.ROTATE_API_KEY, tenant, {}, project, key["id"]) for _ in range(10))
    )
    found = [await client.find_credential(each.body["secret"]) for each in rotated]
    working = [each for each in found if each.status == 200 and each.body["status"] == "active"]
    assert len(working) == 1


async def test_a_key_never_comes_by_a_stronger_secret(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project, scopes=["users:read", "users:write"])
    refused = await client.call(
        calls.ROTATE_API_KEY,
        tenant,
        {},
        project,
        key["id"],
        scopes=("api_keys:write", "users:read"),
    )
    assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
    assert "users:write" in refused.body["detail"]
    assert (await client.find_credential(key["secret"])).body["status"] == "active"


async def test_a_revoked_key_is_refused_with_both_its_secrets(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    rotated = await client.call(calls.ROTATE_API_KEY, tenant, {"overlap": 60}, project, key["id"])
    await client.call(calls.REVOKE_API_KEY, tenant, None, project, key["id"])
    for secret in (key["secret"], rotated.body["secret"]):
        assert (await client.find_credential(secret)).body["status"] == "revoked"
    refused = await client.call(calls.ROTATE_API_KEY, tenant, {}, project, key["id"])
    assert (refused.status, refused.body["code"]) == (409, "key_not_active")
