"""Rotations: prepared ahead, one at a time whatever the rush, and never noticed by who signs."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from contracts import projects as project_calls
from contracts import signing_keys as calls
from projects import key_set, signing_keys
from service.projects.world import World


async def rotate(world: World, tenant: str, project: str, **body: Any) -> Any:
    return await world.call(calls.ROTATE_SIGNING_KEY, tenant, body, project)


async def published(world: World, project: str) -> dict[str, Any]:
    answer = await world.call(calls.GET_JWKS, None, None, project)
    return {each["kid"]: each for each in answer.body["keys"]}


async def stored(world: World, project: str) -> Counter[str]:
    """All keys of a project by what is stored of their status, however many."""
    rows = await world.owner.pool.fetch(
        "SELECT status FROM signing_keys WHERE project_id = $1", project
    )
    return Counter(row["status"] for row in rows)


async def age(world: World, project: str, seconds: int) -> None:
    """Moves the keys of a project back in time."""
    span = timedelta(seconds=seconds)
    await world.execute(
        "UPDATE signing_keys SET created_at = created_at - $2::interval WHERE project_id = $1",
        project,
        span,
    )


async def signed(world: World, tenant: str, project: str) -> str:
    body = {"project_id": project, "claims": {"sub": "usr_1"}}
    answer = await world.call(calls.SIGN_TOKEN, tenant, body)
    assert answer.status == 200, answer.body
    return str(answer.body["token"])


async def test_a_key_is_published_before_it_signs(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    for _ in range(3):
        ahead = set(await published(world, project))
        assert (await rotate(world, tenant, project, force=True)).status == 201
        kid = jwt.get_unverified_header(await signed(world, tenant, project))["kid"]
        assert kid in ahead


async def test_a_key_signs_no_sooner_than_every_cache_knows_it(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    found = await world.call(calls.GET_JWKS, None, None, project)
    assert found.reply.headers["Cache-Control"] == f"public, max-age={key_set.CACHE_SECONDS}"
    await age(world, project, key_set.CACHE_SECONDS - 5)
    refused = await rotate(world, tenant, project)
    assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
    left = datetime.fromisoformat(refused.body["earliest_safe_activation"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=5)
    await age(world, project, 5)
    assert (await rotate(world, tenant, project)).status == 201
    # The fresh next key begins its own wait.
    assert (await rotate(world, tenant, project)).body["code"] == "rotation_too_soon"
    assert (await rotate(world, tenant, project, force=True)).status == 201


async def test_a_refused_rotation_changes_nothing(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    before, happened = await published(world, project), await world.happened(tenant)
    assert (await rotate(world, tenant, project)).status == 409
    assert await published(world, project) == before
    assert await world.happened(tenant) == happened


@pytest.mark.parametrize(
    ("setting", "call", "grace"), [(None, None, 86_400), (600, None, 600), (600, 60, 60)]
)
async def test_the_grace_period_is_the_calls_or_else_the_projects(
    world: World, tenant: str, setting: int | None, call: int | None, grace: int
) -> None:
    project = await world.new_project(tenant)
    if setting is not None:
        body = {"settings": {"signing_key_grace_period": setting}}
        await world.call(project_calls.UPDATE_PROJECT, tenant, body, project)
    body = {} if call is None else {"grace_period": call}
    rotated = await rotate(world, tenant, project, force=True, **body)
    event = (await world.owner.events(tenant))[-1]["data"]
    activated = datetime.fromisoformat(rotated.body["activated_at"])
    span = datetime.fromisoformat(event["retires_at"]) - activated
    assert span == timedelta(seconds=grace)


async def test_a_changed_algorithm_comes_with_the_key_after_next(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    body = {"settings": {"signing_algorithm": "RS256"}}
    await world.call(project_calls.UPDATE_PROJECT, tenant, body, project)
    algorithms = []
    for _ in range(3):
        header = jwt.get_unverified_header(await signed(world, tenant, project))
        algorithms.append(header["alg"])
        await rotate(world, tenant, project, force=True)
    assert algorithms == ["EdDSA", "EdDSA", "RS256"]


async def test_making_an_rsa_key_does_not_hold_up_the_loop(world: World) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await signing_keys.fresh(world.owner.keys, "RS256")
    turning.cancel()
    assert turns > 50


async def test_a_thousand_rotations_at_once_leave_one_active_key(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    done = asyncio.Event()

    async def sign_all_along() -> set[str]:
        kids = set()
        while not done.is_set():
            token = await signed(world, tenant, project)
            kid = jwt.get_unverified_header(token)["kid"]
            kids.add(kid)
            (row,) = await world.owner.pool.fetch(
                "SELECT public_jwk FROM signing_keys WHERE project_id = $1 AND id = $2",
                project,
                kid,
            )
            key = jwt.PyJWK(json.loads(row["public_jwk"]))
            jwt.decode(token, key, algorithms=["EdDSA"], audience=project, issuer=project)
        return kids

    signing = asyncio.create_task(sign_all_along())
    answers = await asyncio.gather(
        *(rotate(world, tenant, project, force=True) for _ in range(1000))
    )
    done.set()
    used = await signing
    assert {each.status for each in answers} == {201}
    # Each rotation activated a key of its own, and no two the same.
    assert len({each.body["id"] for each in answers}) == 1000
    assert await stored(world, project) == {"active": 1, "next": 1, "retiring": 1000}
    assert (await world.happened(tenant)).count("signing_key.rotated") == 1000
    assert used <= set(await published(world, project))


async def test_a_thousand_unforced_rotations_at_once_make_one(world: World, tenant: str) -> None:
    project = await world.new_project(tenant)
    await age(world, project, key_set.CACHE_SECONDS)
    answers = await asyncio.gather(*(rotate(world, tenant, project) for _ in range(1000)))
    codes = Counter(each.body.get("code", "rotated") for each in answers)
    assert codes == {"rotated": 1, "rotation_too_soon": 999}
    assert await stored(world, project) == {"active": 1, "next": 1, "retiring": 1}


async def test_the_key_set_never_grows_too_large_to_be_answered(
    world: World, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_set, "MOST_RETIRING", 2)
    project = await world.new_project(tenant)
    for grace in (600, 300):
        body = {"force": True, "grace_period": grace}
        assert (await rotate(world, tenant, project, **body)).status == 201
    refused = await rotate(world, tenant, project, force=True)
    assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
    soonest = datetime.fromisoformat(refused.body["earliest_safe_activation"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < soonest <= timedelta(seconds=300)
    (some, _) = (await world.signing_keys(tenant, project))["retiring"]
    await world.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, some)
    assert (await rotate(world, tenant, project, force=True)).status == 201


async def test_revoking_the_active_key_activates_next_in_the_same_transaction(
    world: World, tenant: str
) -> None:
    project = await world.new_project(tenant)
    before = await world.signing_keys(tenant, project)
    done = asyncio.Event()

    async def sign_all_along() -> None:
        while not done.is_set():
            await signed(world, tenant, project)

    signing = asyncio.create_task(sign_all_along())
    for _ in range(20):
        (active,) = (await world.signing_keys(tenant, project))["active"]
        (following,) = (await world.signing_keys(tenant, project))["next"]
        revoked = await world.call(calls.REVOKE_SIGNING_KEY, tenant, None, project, active)
        assert revoked.status == 200
        after = await world.signing_keys(tenant, project)
        assert after["active"] == [following]
        assert active in after["revoked"]
        assert set(await published(world, project)) == {following, *after["next"]}
    done.set()
    await signing
    assert before["active"][0] in (await world.signing_keys(tenant, project))["revoked"]
