"""Rotation: keys are published ahead, rotations exclude each other, and signing never fails."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from contracts import projects as project_calls
from contracts import signing_keys as calls
from projects.signing import jwks, signing_keys
from service.projects.client import ProjectsClient


async def stored_statuses(client: ProjectsClient, project: str) -> Counter[str]:
    """How many keys of a project have each stored status."""
    rows = await client.pool.fetch("SELECT status FROM signing_keys WHERE project_id = $1", project)
    return Counter(row["status"] for row in rows)


async def age_keys(client: ProjectsClient, project: str, seconds: int) -> None:
    """Moves the keys of a project back in time."""
    await client.execute(
        "UPDATE signing_keys SET created_at = created_at - $2::interval WHERE project_id = $1",
        project,
        timedelta(seconds=seconds),
    )


async def signed_token(client: ProjectsClient, tenant: str, project: str) -> str:
    signed = await client.sign_token(tenant, project)
    assert signed.status == 200, signed.body
    return str(signed.body["token"])


async def test_a_key_is_published_before_it_signs(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    for _ in range(3):
        before = await client.published_keys(project)
        assert (await client.rotate_signing_key(tenant, project, force=True)).status == 201
        token = await signed_token(client, tenant, project)
        assert jwt.get_unverified_header(token)["kid"] in before


async def test_a_key_signs_no_sooner_than_every_cache_knows_it(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    found = await client.call(calls.GET_JWKS, None, None, project)
    assert found.reply.headers["Cache-Control"] == f"public, max-age={jwks.CACHE_SECONDS}"
    for aged, wait in ((0, jwks.CACHE_SECONDS), (jwks.CACHE_SECONDS - 5, 5)):
        await age_keys(client, project, aged)
        refused = await client.rotate_signing_key(tenant, project)
        assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
        earliest = refused.body["earliest_safe_activation"]
        assert earliest.endswith("Z")
        left = datetime.fromisoformat(earliest) - datetime.now(UTC)
        assert timedelta(seconds=max(wait - 10, 0)) < left <= timedelta(seconds=wait)
    await age_keys(client, project, 5)
    assert (await client.rotate_signing_key(tenant, project)).status == 201
    # The new next key begins its own wait.
    refused = await client.rotate_signing_key(tenant, project)
    assert refused.body["code"] == "rotation_too_soon"
    assert (await client.rotate_signing_key(tenant, project, force=True)).status == 201


async def test_a_refused_rotation_changes_nothing(client: ProjectsClient, tenant: str) -> None:
    project = await client.create_project(tenant)
    before = await client.published_keys(project), await client.event_types(tenant)
    assert (await client.rotate_signing_key(tenant, project)).status == 409
    assert (await client.published_keys(project), await client.event_types(tenant)) == before


@pytest.mark.parametrize(
    ("setting", "given", "grace"), [(None, None, 86_400), (600, None, 600), (600, 60, 60)]
)
async def test_the_grace_period_is_the_calls_or_else_the_projects(
    client: ProjectsClient, tenant: str, setting: int | None, given: int | None, grace: int
) -> None:
    project = await client.create_project(tenant)
    if setting is not None:
        body = {"settings": {"signing_key_grace_period": setting}}
        await client.call(project_calls.UPDATE_PROJECT, tenant, body, project)
    body = {} if given is None else {"grace_period": given}
    rotated = await client.rotate_signing_key(tenant, project, force=True, **body)
    event = (await client.events(tenant))[-1]["data"]
    activated = datetime.fromisoformat(rotated.body["activated_at"])
    span = datetime.fromisoformat(event["retires_at"]) - activated
    assert span == timedelta(seconds=grace)


async def test_a_changed_algorithm_comes_with_the_key_after_next(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    body = {"settings": {"signing_algorithm": "RS256"}}
    await client.call(project_calls.UPDATE_PROJECT, tenant, body, project)
    algorithms = []
    for _ in range(3):
        header = jwt.get_unverified_header(await signed_token(client, tenant, project))
        algorithms.append(header["alg"])
        await client.rotate_signing_key(tenant, project, force=True)
    assert algorithms == ["EdDSA", "EdDSA", "RS256"]


async def test_generating_an_rsa_key_does_not_block_the_event_loop(client: ProjectsClient) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    keyring = client.owner.keyring
    await signing_keys.generate_next_keys(
        keyring, "RS256", 1, tenant_id="ten_1", project_id="prj_1"
    )
    counting.cancel()
    assert turns > 50


async def test_a_thousand_rotations_at_once_leave_one_active_key(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    done = asyncio.Event()

    async def sign_all_along() -> set[str]:
        kids = set()
        while not done.is_set():
            token = await signed_token(client, tenant, project)
            kid = jwt.get_unverified_header(token)["kid"]
            kids.add(kid)
            public_jwk = await client.pool.fetchval(
                "SELECT public_jwk FROM signing_keys WHERE project_id = $1 AND id = $2",
                project,
                kid,
            )
            key = jwt.PyJWK(json.loads(public_jwk))
            jwt.decode(token, key, algorithms=["EdDSA"], audience=project, issuer=project)
        return kids

    signing = asyncio.create_task(sign_all_along())
    replies = await asyncio.gather(
        *(client.rotate_signing_key(tenant, project, force=True) for _ in range(1000))
    )
    done.set()
    used = await signing
    assert {each.status for each in replies} == {201}
    # Each rotation activated a key of its own, and no two the same.
    assert len({each.body["id"] for each in replies}) == 1000
    assert await stored_statuses(client, project) == {"active": 1, "next": 1, "retiring": 1000}
    assert (await client.event_types(tenant)).count("signing_key.rotated") == 1000
    assert used <= set(await client.published_keys(project))


async def test_a_thousand_unforced_rotations_at_once_make_one(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    await age_keys(client, project, jwks.CACHE_SECONDS)
    replies = await asyncio.gather(
        *(client.rotate_signing_key(tenant, project) for _ in range(1000))
    )
    codes = Counter(each.body.get("code", "rotated") for each in replies)
    assert codes == {"rotated": 1, "rotation_too_soon": 999}
    assert await stored_statuses(client, project) == {"active": 1, "next": 1, "retiring": 1}


async def test_the_key_set_never_grows_too_large_for_a_reply(
    client: ProjectsClient, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "MAX_RETIRING", 2)
    project = await client.create_project(tenant)
    for grace in (600, 300):
        body = {"force": True, "grace_period": grace}
        assert (await client.rotate_signing_key(tenant, project, **body)).status == 201
    refused = await client.rotate_signing_key(tenant, project, force=True)
    assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
    soonest = datetime.fromisoformat(refused.body["earliest_safe_activation"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < soonest <= timedelta(seconds=300)
    (some, _) = (await client.signing_keys_by_status(tenant, project))["retiring"]
    await client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, some)
    assert (await client.rotate_signing_key(tenant, project, force=True)).status == 201


async def test_revoking_the_active_key_activates_next_in_the_same_transaction(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    before = await client.signing_keys_by_status(tenant, project)
    done = asyncio.Event()

    async def sign_all_along() -> None:
        while not done.is_set():
            await signed_token(client, tenant, project)

    signing = asyncio.create_task(sign_all_along())
    for _ in range(20):
        keys = await client.signing_keys_by_status(tenant, project)
        (active,), (following,) = keys["active"], keys["next"]
        revoked = await client.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, active)
        assert revoked.status == 200
        after = await client.signing_keys_by_status(tenant, project)
        assert after["active"] == [following]
        assert active in after["revoked"]
        assert set(await client.published_keys(project)) == {following, *after["next"]}
    done.set()
    await signing
    after = await client.signing_keys_by_status(tenant, project)
    assert before["active"][0] in after["revoked"]
