"""Two edges: what one is told of a credential holds at the other within a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from aiohttp import ClientSession, DummyCookieJar
from support.api import Api, new_tenant
from support.stack import Stack, running_stack, second_edge, tenantry
from support.waiting import until

SCOPES = ["users:read", "api_keys:read"]


class Two:
    """Both edges, and a tenant whose root key does what is to be known at the other."""

    def __init__(self, root: Api, operator: Api, other_url: str) -> None:
        self.root = root
        self.operator = operator
        self._other_url = other_url

    def at_both(self, credential: str) -> tuple[Api, Api]:
        """The same caller at the edge that is told, and at the other."""
        here = self.root.as_key(credential)
        return here, Api(here.http, self._other_url, credential, here.tenant)

    async def known_at_both(self, credential: str) -> tuple[Api, Api]:
        """Each edge remembers the credential for seconds, and so must be told."""
        here, there = self.at_both(credential)
        for api in (here, there, here, there):
            assert (await api("GET", "/v1/admin/users")).status == 200
        return here, there

    async def new_project(self) -> str:
        made = await self.root("POST", "/v1/admin/projects", {"name": "Shop"})
        return f"/v1/admin/projects/{made.body['id']}"

    async def new_key(self, project: str, **fields: Any) -> dict[str, Any]:
        body = {"name": "k", "scopes": SCOPES, **fields}
        made = await self.root("POST", f"{project}/api-keys", body)
        assert made.status == 201, made.raw
        return dict(made.body)

    async def token(self, key: dict[str, Any], scope: str) -> str:
        form = {"grant_type": "client_credentials", "scope": scope}
        form |= {"client_id": key["id"], "client_secret": key["secret"]}
        made = await self.root.as_key(None)(
            "POST",
            "/v1/auth/token",
            data=urlencode(form).encode(),
            content_type="application/x-www-form-urlencoded",
        )
        assert made.status == 200, made.raw
        return str(made.body["access_token"])


async def refused(edges: tuple[Api, Api], status: int = 401) -> None:
    """At once by the edge that was told, within a second by the other; and for good."""
    began = time.monotonic()
    here, there = edges
    assert (await here("GET", "/v1/admin/users")).status == status

    async def by_the_other() -> bool:
        return (await there("GET", "/v1/admin/users")).status == status

    await until(by_the_other, 5)
    assert time.monotonic() - began < 1.0
    for api in edges:
        assert (await api("GET", "/v1/admin/users")).status == status


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("two-edges")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture(scope="module")
async def other_url(stack: Stack) -> AsyncIterator[str]:
    async with second_edge(stack) as url:
        yield url


@pytest.fixture
async def two(stack: Stack, other_url: str) -> AsyncIterator[Two]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        operator = Api(http, stack.url, stack.ready["operator_key"])
        root = await new_tenant(http, stack.url, stack.ready["operator_key"])
        yield Two(root, operator, other_url)


async def test_a_revoked_key_is_refused_by_every_edge(two: Two) -> None:
    project = await two.new_project()
    for _ in range(5):
        key = await two.new_key(project)
        edges = await two.known_at_both(key["secret"])
        gone = await two.root("DELETE", f"{project}/api-keys/{key['id']}")
        assert gone.status == 204
        await refused(edges)


async def test_a_narrowed_token_dies_with_its_key_at_every_edge(two: Two) -> None:
    project = await two.new_project()
    key = await two.new_key(project)
    narrow = await two.token(key, "users:read")
    edges = await two.known_at_both(narrow)
    for api in edges:
        listed = await api("GET", f"{project}/api-keys")
        assert (listed.status, listed.body["code"]) == (403, "insufficient_scope")
    await two.root("DELETE", f"{project}/api-keys/{key['id']}")
    await refused(edges)


async def test_many_tokens_at_once_are_known_to_an_edge_that_knew_none(
    stack: Stack, two: Two
) -> None:
    key = await two.new_key(await two.new_project())
    tokens = [await two.token(key, "users:read") for _ in range(32)]
    async with second_edge(stack) as fresh:
        callers = [Api(two.root.http, fresh, token) for token in tokens]
        answers = await asyncio.gather(*(api("GET", "/v1/admin/users") for api in callers))
    assert [answer.status for answer in answers] == [200] * 32


async def test_a_key_dies_at_its_time_at_every_edge(two: Two) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=3)
    key = await two.new_key(await two.new_project(), expires_at=ends.isoformat())
    token = await two.token(key, "users:read")
    callers = [*await two.known_at_both(key["secret"]), *await two.known_at_both(token)]
    assert datetime.now(UTC) < ends, "too slow to have seen it alive"

    async def all_refused() -> bool:
        answers = [await api("GET", "/v1/admin/users") for api in callers]
        return all(each.status == 401 for each in answers)

    await until(all_refused, 10)
    assert timedelta(0) <= datetime.now(UTC) - ends < timedelta(seconds=1)


async def test_a_rotated_secret_without_overlap_is_refused_by_every_edge(two: Two) -> None:
    project = await two.new_project()
    key = await two.new_key(project)
    edges = await two.known_at_both(key["secret"])
    path = f"{project}/api-keys/{key['id']}/rotate"
    rotated = await two.root("POST", path, {})
    await refused(edges)
    await two.known_at_both(rotated.body["secret"])


async def test_a_token_ends_with_the_secret_that_it_was_made_for_at_every_edge(two: Two) -> None:
    project = await two.new_project()
    key = await two.new_key(project)
    rotate = f"{project}/api-keys/{key['id']}/rotate"
    edges = await two.known_at_both(await two.token(key, "users:read"))
    rotated = await two.root("POST", rotate, {})
    await refused(edges)
    # With an overlap it goes on as long as the secret does, and no longer.
    edges = await two.known_at_both(await two.token(rotated.body, "users:read"))
    rotated = await two.root("POST", rotate, {"overlap": 2})
    began = time.monotonic()
    assert (await edges[1]("GET", "/v1/admin/users")).status == 200
    newest = await two.known_at_both(await two.token(rotated.body, "users:read"))
    for api in edges:

        async def ended(api: Api = api) -> bool:
            return (await api("GET", "/v1/admin/users")).status == 401

        await until(ended, 5)
    assert time.monotonic() - began > 1
    for api in newest:
        assert (await api("GET", "/v1/admin/users")).status == 200


async def test_keys_that_a_revoked_key_made_are_refused_by_every_edge(two: Two) -> None:
    project = await two.new_project()
    maker = await two.new_key(project, scopes=["api_keys:write", "users:read"])
    as_maker = two.root.as_key(maker["secret"])
    body = {"name": "made", "scopes": ["users:read"]}
    made = await as_maker("POST", f"{project}/api-keys", body)
    edges = await two.known_at_both(made.body["secret"])
    gone = await two.root("DELETE", f"{project}/api-keys/{maker['id']}?descendants=true")
    assert gone.status == 204
    await refused(edges)


async def test_tokens_of_a_leaked_token_key_are_refused_by_every_edge(
    stack: Stack, two: Two
) -> None:
    key = await two.new_key(await two.new_project())
    edges = await two.known_at_both(await two.token(key, "users:read"))
    data = f"--data={stack.data}"
    before = await tenantry("keys", "rotate-token-key", data)
    assert before.code == 1, "the next key is not known everywhere yet"
    rotated = await tenantry("keys", "rotate-token-key", "--leaked", "--json", data)
    began = time.monotonic()
    for api in edges:

        async def ended(api: Api = api) -> bool:
            return (await api("GET", "/v1/admin/users")).status == 401

        await until(ended, 10)
    assert time.monotonic() - began < 4, "projects looks every two seconds, and announces it"
    token = await two.token(key, "users:read")
    assert jwt.get_unverified_header(token)["kid"] == rotated.json["active"]
    await two.known_at_both(token)


async def test_keys_of_a_deleted_project_are_refused_by_every_edge(two: Two) -> None:
    project = await two.new_project()
    edges = await two.known_at_both((await two.new_key(project))["secret"])
    assert (await two.root("DELETE", project)).status == 204
    await refused(edges)


async def test_a_suspended_tenant_is_refused_by_every_edge_until_it_is_resumed(two: Two) -> None:
    key = await two.new_key(await two.new_project())
    token = await two.token(key, "users:read")
    callers = [await two.known_at_both(each) for each in (key["secret"], token)]
    path = f"/v1/admin/tenants/{two.root.tenant}"
    assert (await two.operator("PATCH", path, {"status": "suspended"})).status == 200
    began = time.monotonic()
    for edges in callers:
        await refused(edges, 403)
    assert time.monotonic() - began < 1.0
    assert (await two.operator("PATCH", path, {"status": "active"})).status == 200
    began = time.monotonic()
    for here, there in callers:
        assert (await here("GET", "/v1/admin/users")).status == 200

        async def served(api: Api = there) -> bool:
            return (await api("GET", "/v1/admin/users")).status == 200

        await until(served, 5)
    assert time.monotonic() - began < 1.0


async def test_a_leaked_root_key_is_replaced_at_every_edge(two: Two) -> None:
    leaked = await two.known_at_both(str(two.root.key))
    who = await two.root("GET", "/v1/admin/tenant")
    keys = f"/v1/admin/tenants/{two.root.tenant}/root-keys"
    fresh = await two.operator("POST", keys, {"name": "After the leak"})
    assert fresh.status == 201, fresh.raw
    gone = await two.operator("DELETE", f"{keys}/{who.body['credential']['id']}")
    assert gone.status == 204, gone.raw
    await refused(leaked)
    await two.known_at_both(fresh.body["secret"])
    last = await two.operator("DELETE", f"{keys}/{fresh.body['id']}")
    assert (last.status, last.body["code"]) == (409, "last_root_key")


async def test_uses_at_every_edge_are_gathered_and_shown(two: Two) -> None:
    project = await two.new_project()
    called, asked_about = await two.new_key(project), await two.new_key(project)
    rotated = await two.root(
        "POST", f"{project}/api-keys/{asked_about['id']}/rotate", {"overlap": 600}
    )
    began = datetime.now(UTC)
    _, there = two.at_both(called["secret"])
    # By its secret before the rotation.
    body = {"secret": asked_about["secret"]}
    verdict = await there("POST", "/v1/api-keys/verify", body)
    assert verdict.body["code"] == "valid"
    assert rotated.body["previous_secret"]["last_used_at"] is None

    async def shown() -> dict[str, Any] | None:
        listed = await two.root("GET", f"{project}/api-keys")
        found = {each["id"]: each for each in listed.body["api_keys"]}
        return found if all(each["last_used_at"] for each in found.values()) else None

    found = await until(shown, 15)
    assert found is not None
    for key in (called, asked_about):
        at = datetime.fromisoformat(found[key["id"]]["last_used_at"])
        assert began <= at <= datetime.now(UTC)
    used = found[asked_about["id"]]["previous_secret"]["last_used_at"]
    assert used == found[asked_about["id"]]["last_used_at"]
    assert found[called["id"]]["previous_secret"] is None
