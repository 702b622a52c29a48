"""However much depends on it, what is deleted, suspended or revoked is so at once for every reader;
the rest follows in steps, each with its events, whoever is killed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from promises.many_parts import Parts
from support.api import Answer, Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until

pytestmark = pytest.mark.alone


DEADLINE = 2.0
QUIET = 1.0
"""Seconds for another tenant's request meanwhile: it waits for none of it."""


@pytest.fixture(scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("size")


@pytest.fixture(scope="module")
async def large_stack(folder: Path) -> AsyncIterator[Stack]:
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def api(large_stack: Stack, http: ClientSession) -> Api:
    return await new_tenant(http, large_stack.url, large_stack.ready["operator_key"])


@pytest.fixture
async def neighbour(large_stack: Stack, http: ClientSession) -> Api:
    return await new_tenant(http, large_stack.url, large_stack.ready["operator_key"])


@pytest.fixture
async def parts(folder: Path, api: Api) -> AsyncIterator[Parts]:
    found = await Parts.connect(folder, api.tenant)
    yield found
    await found.close()


@pytest.fixture
async def of_projects(folder: Path, api: Api) -> AsyncIterator[Parts]:
    found = await Parts.connect(folder, api.tenant, "projects")
    yield found
    await found.close()


async def timely(api: Api, method: str, path: str, body: object = None) -> Answer:
    began = time.monotonic()
    answer = await api(method, path, body)
    assert time.monotonic() - began < DEADLINE, (method, path)
    assert answer.status < 500, answer.raw
    return answer


async def wait_for_the_rest(parts: Parts, neighbour: Api) -> None:
    """While the steps are done, another tenant is answered."""
    slowest = 0.0

    async def is_complete() -> bool:
        nonlocal slowest
        began = time.monotonic()
        made = await neighbour("POST", "/v1/admin/organizations", {"name": "Neighbour"})
        slowest = max(slowest, time.monotonic() - began)
        assert made.status in (201, 409), made.raw
        return await parts.is_complete()

    await until(is_complete, 30)
    assert slowest < QUIET


async def create(api: Api, path: str, **body: object) -> dict[str, str]:
    made = await api("POST", path, body)
    assert made.status == 201, made.raw
    return dict(made.body)


async def audited(api: Api, action: str, count: int) -> None:
    """Waits until the trail has exactly so many events of that type."""

    async def total() -> int:
        page = await api("GET", f"/v1/admin/audit?action={action}&limit=1")
        return int(page.body["pagination"]["total"])

    async def is_there() -> bool:
        return await total() >= count

    await until(is_there, 120)
    assert await total() == count


async def test_an_organization_of_15000_members_is_deleted(
    api: Api, neighbour: Api, parts: Parts
) -> None:
    users = await parts.users(15_000)
    made = await create(api, "/v1/admin/organizations", name="Large", slug="large")
    path = f"/v1/admin/organizations/{made['id']}"
    await parts.members([made["id"]], users)
    emails = [f"{number}@example.org" for number in range(3_000)]
    invitations = await parts.invitations([made["id"]], emails)
    preview = await timely(api, "DELETE", f"{path}?dry_run=true")
    assert preview.body["would_delete"] == {"memberships": 15_000, "invitations": 3_000}
    assert (await timely(api, "DELETE", path)).status == 204
    assert not await parts.is_complete(), "this is to be looked at while rows are there"
    for gone in (path, f"{path}/members", f"{path}/members?role=member", f"{path}/invitations"):
        assert (await api("GET", gone)).status == 404, gone
    last = f"{path}/members/{users[-1]}"
    assert (await api("PATCH", last, {"role": "admin"})).status == 404
    assert (await api("DELETE", last)).status == 404
    invitation = f"{path}/invitations/{invitations[-1]}"
    assert (await api("DELETE", invitation)).status == 404
    assert (await api("POST", f"{invitation}/resend")).status == 404
    assert (await api("GET", f"/v1/admin/users/{users[-1]}")).body["organizations"] == []
    for listed, name in (
        (f"/v1/admin/users?organization_id={made['id']}", "users"),
        (f"/v1/admin/organizations?user_id={users[-1]}", "organizations"),
        ("/v1/admin/organizations", "organizations"),
    ):
        page = (await api("GET", listed)).body
        assert (page[name], page["pagination"]["total"]) == ([], 0), listed
    await create(api, "/v1/admin/organizations", name="Large", slug="large")
    assert not await parts.is_complete(), "all of that was seen while rows were there"
    await wait_for_the_rest(parts, neighbour)
    assert await parts.left("members", "invitations") == 0
    told = await parts.events("organization.deleted", "member.removed", "invitation.revoked")
    assert told[0] == ("organization.deleted", made["id"])
    removed = [subject for kind, subject in told if kind == "member.removed"]
    assert removed == sorted(users), "each once and in order"
    assert [id_ for kind, id_ in told if kind == "invitation.revoked"] == sorted(invitations)
    await audited(api, "member.removed", 15_000)


async def test_a_user_in_20000_organizations_with_8000_sessions_is_deleted(
    api: Api, neighbour: Api, parts: Parts
) -> None:
    project = await create(api, "/v1/admin/projects", name="Shop")
    user = await create(api, "/v1/admin/users", email="ada@example.com")
    path = f"/v1/admin/users/{user['id']}"
    (other,) = await parts.users(1)
    organizations = await parts.organizations(20_000)
    await parts.members(organizations, [user["id"], other], "owner")
    invitations = await parts.invitations(organizations[:3_000], ["ada@example.com"])
    await parts.sessions(user["id"], 8_000, project["id"])
    signed_in = await create(api, f"{path}/sessions", project_id=project["id"])
    preview = await timely(api, "DELETE", f"{path}?dry_run=true")
    # A sign-in beyond the quota revokes some of the oldest.
    would_delete = preview.body["would_delete"]
    live = would_delete.pop("sessions")
    assert would_delete == {"memberships": 20_000, "invitations": 3_000}
    assert (await timely(api, "DELETE", path)).status == 204
    assert not await parts.is_complete(), "this is to be looked at while rows are there"
    assert (await api("GET", path)).status == 404
    assert (await api("DELETE", path)).status == 404
    assert (await api("DELETE", f"{path}/sessions/{signed_in['session']['id']}")).status == 404
    verified = await api("POST", "/v1/sessions/verify", {"token": signed_in["access_token"]})
    assert verified.body["valid"] is False
    token = {"refresh_token": signed_in["refresh_token"]}
    assert (await api("POST", "/v1/sessions/refresh", token)).status == 401
    group = f"/v1/admin/organizations/{organizations[2_999]}"
    assert (await api("GET", group)).body["member_count"] == 1
    page = (await api("GET", f"{group}/members")).body
    assert [each["user_id"] for each in page["members"]] == [other]
    assert page["pagination"]["total"] == 1
    assert (await api("GET", f"{group}/invitations")).body["invitations"] == []
    demoted = await api("PATCH", f"{group}/members/{other}", {"role": "member"})
    assert demoted.body["code"] == "last_owner"
    assert (await api("DELETE", f"/v1/admin/users/{other}")).body["code"] == "last_owner"
    again = await create(api, "/v1/admin/users", email="ada@example.com")
    invited = await create(api, f"{group}/invitations", email="ada@example.com")
    assert not await parts.is_complete(), "all of that was seen while rows were there"
    await wait_for_the_rest(parts, neighbour)
    assert (await parts.left("sessions"), await parts.left("members")) == (0, 20_000)
    assert [
        each["id"] for each in (await api("GET", f"{group}/invitations")).body["invitations"]
    ] == [invited["id"]]
    assert (await api("GET", f"/v1/admin/users/{again['id']}")).status == 200
    assert (await api("GET", group)).body["member_count"] == 1
    told = await parts.events("user.deleted", "member.removed", "invitation.revoked")
    assert told[0] == ("user.deleted", user["id"])
    assert [id_ for kind, id_ in told if kind == "member.removed"] == [user["id"]] * 20_000
    assert sorted(id_ for kind, id_ in told if kind == "invitation.revoked") == sorted(invitations)
    ended = [id_ for _, id_ in await parts.events("session.revoked")]
    assert len(ended) == len(set(ended)) >= live
    await audited(api, "member.removed", 20_000)


@pytest.mark.parametrize("how", ["suspended", "signed out"])
async def test_8000_sessions_end_at_once(api: Api, neighbour: Api, parts: Parts, how: str) -> None:
    project = await create(api, "/v1/admin/projects", name="Shop")
    user = await create(api, "/v1/admin/users", email="ada@example.com")
    path = f"/v1/admin/users/{user['id']}"
    signed_in = await create(api, f"{path}/sessions", project_id=project["id"])
    sessions = await parts.sessions(user["id"], 8_000, project["id"])
    if how == "suspended":
        assert (await timely(api, "PATCH", path, {"status": "suspended"})).status == 200
        assert (await api("PATCH", path, {"status": "active"})).status == 200
    else:
        assert (await timely(api, "DELETE", f"{path}/sessions")).status == 204
    assert (await api("GET", path)).body["sessions"] == []
    verified = await api("POST", "/v1/sessions/verify", {"token": signed_in["access_token"]})
    assert verified.body["code"] == "revoked"
    token = {"refresh_token": signed_in["refresh_token"]}
    assert (await api("POST", "/v1/sessions/refresh", token)).status == 401
    assert (await api("DELETE", f"{path}/sessions/{sessions[-1]}")).status == 404
    fresh = await create(api, f"{path}/sessions", project_id=project["id"])
    assert [each["id"] for each in (await api("GET", path)).body["sessions"]] == [
        fresh["session"]["id"]
    ]
    assert not await parts.is_complete(), "all of that was seen while rows were there"
    await wait_for_the_rest(parts, neighbour)
    verified = await api("POST", "/v1/sessions/verify", {"token": fresh["access_token"]})
    assert verified.body["valid"] is True
    ended = [id_ for _, id_ in await parts.events("session.revoked")]
    assert sorted(ended) == sorted([signed_in["session"]["id"], *sessions]), "each once"
    await audited(api, "session.revoked", 8_001)


async def test_a_killed_service_goes_on_where_it_was(
    large_stack: Stack, api: Api, neighbour: Api, parts: Parts
) -> None:
    users = await parts.users(15_000)
    made = await create(api, "/v1/admin/organizations", name="Large")
    await parts.members([made["id"]], users)
    deleted = await timely(api, "DELETE", f"/v1/admin/organizations/{made['id']}")
    assert deleted.status == 204

    async def is_in_the_midst() -> bool:
        return await parts.left("members") < 14_000

    await until(is_in_the_midst, every=0.001)
    pid = large_stack.kill("identity")
    assert not await parts.is_complete()
    await large_stack.restarted("identity", pid)
    await until(parts.is_complete, 30)
    assert await parts.left("members") == 0
    removed = [subject for _, subject in await parts.events("member.removed")]
    assert removed == sorted(users), "each once and in order"
    await audited(api, "member.removed", 15_000)


@pytest.fixture
def operator(large_stack: Stack, http: ClientSession) -> Api:
    return Api(http, large_stack.url, large_stack.ready["operator_key"])


async def set_quota(operator: Api, tenant: str, api_keys: int) -> None:
    body = {"quotas": {"api_keys_per_project": api_keys}}
    assert (await operator("PATCH", f"/v1/admin/tenants/{tenant}", body)).status == 200


async def many_keys(parts: Parts, api: Api, operator: Api) -> tuple[dict[str, str], Api, list[str]]:
    """A project with 15,000 keys that one of its keys has made; a caller with the last of them, and
    all their identifiers. There is no room for more.
    """
    await set_quota(operator, api.tenant, 20_000)
    project = await create(api, "/v1/admin/projects", name="Shop", slug="shop")
    keys = f"/v1/admin/projects/{project['id']}/api-keys"
    root = await create(api, keys, name="Root", scopes=["*"])
    ids = await parts.api_keys(project["id"], 14_999, root["id"])
    last = await create(
        api.as_key(root["secret"]), keys, name="Last", scopes=["projects:read", "api_keys:read"]
    )
    await set_quota(operator, api.tenant, 10)
    return project, api.as_key(last["secret"]), [root["id"], *ids, last["id"]]


@pytest.mark.parametrize("what", ["their project", "their maker"])
async def test_15000_api_keys_are_revoked(
    api: Api, operator: Api, neighbour: Api, of_projects: Parts, what: str
) -> None:
    project, caller, ids = await many_keys(of_projects, api, operator)
    path = f"/v1/admin/projects/{project['id']}"
    jwks = f"/v1/projects/{project['id']}/.well-known/jwks.json"
    assert (await caller("GET", "/v1/admin/tenant")).status == 200
    assert (await api("GET", jwks)).status == 200
    if what == "their project":
        assert (await timely(api, "DELETE", path)).status == 204
    else:
        gone = f"{path}/api-keys/{ids[0]}?descendants=true"
        assert (await timely(api, "DELETE", gone)).status == 204
    assert (await caller("GET", "/v1/admin/tenant")).status == 401
    secret = {"secret": caller.key}
    assert (await api("POST", "/v1/api-keys/verify", secret)).body["code"] == "revoked"
    if what == "their project":
        for gone in (path, f"{path}/api-keys", f"{path}/signing-keys", jwks):
            assert (await api("GET", gone)).status == 404, gone
        assert (await api("DELETE", f"{path}/api-keys/{ids[-1]}")).status == 404
        await create(api, "/v1/admin/projects", name="Shop", slug="shop")
    else:
        page = (await api("GET", f"{path}/api-keys?status=active")).body
        assert (page["api_keys"], page["pagination"]["total"]) == ([], 0)
        assert (await api("DELETE", f"{path}/api-keys/{ids[-1]}")).status == 404
        assert (await api("POST", f"{path}/api-keys/{ids[-1]}/rotate", {})).status == 409
        await create(api, f"{path}/api-keys", name="Next", scopes=["*"])
    assert not await of_projects.is_complete(), "all of that was seen while rows were there"
    await wait_for_the_rest(of_projects, neighbour)
    told = [id_ for _, id_ in await of_projects.events("api_key.revoked")]
    assert sorted(told) == sorted(ids), "each once"
    assert (await caller("GET", "/v1/admin/tenant")).status == 401
    await audited(api, "api_key.revoked", 15_001)


@pytest.mark.parametrize("what", ["a project", "a maker", "a tenant"])
async def test_killed_while_keys_are_revoked_it_goes_on_where_it_was(
    large_stack: Stack, api: Api, operator: Api, of_projects: Parts, what: str
) -> None:
    project, caller, ids = await many_keys(of_projects, api, operator)
    path, count = f"/v1/admin/projects/{project['id']}", of_projects.stored_active
    deletion = None
    if what == "a tenant":
        # Its answer waits a moment for all services, and may come when nothing is left.
        deletion = asyncio.create_task(operator("DELETE", f"/v1/admin/tenants/{api.tenant}"))
    elif what == "a maker":
        gone = f"{path}/api-keys/{ids[0]}?descendants=true"
        assert (await timely(api, "DELETE", gone)).status == 204
    else:
        assert (await timely(api, "DELETE", path)).status == 204

    async def is_in_the_midst() -> bool:
        return await count() < 14_000

    await until(is_in_the_midst, 60, every=0.001)
    pid = large_stack.kill("projects")
    assert await count() > 0, "it was killed in the midst"
    await large_stack.restarted("projects", pid)
    if deletion is not None:
        assert (await deletion).status in (202, 204, 503, 504)
    assert (await caller("GET", "/v1/admin/tenant")).status == 401

    async def is_done() -> bool:
        return await of_projects.is_complete() and await count() <= 1

    await until(is_done, 60)
    if what == "a tenant":
        assert (await operator("GET", f"/v1/admin/tenants/{api.tenant}")).status == 404
        assert await of_projects.left("api_keys", "projects", "signing_keys", "erasures") == 0
        return
    told = [id_ for _, id_ in await of_projects.events("api_key.revoked")]
    assert sorted(told) == sorted(ids), "each once"
    await audited(api, "api_key.revoked", 15_001)
