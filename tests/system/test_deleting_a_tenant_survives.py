"""A tenant is erased everywhere, whichever service dies while it happens, and only then told gone.

Each time a tenant with data in all four services, and a SIGKILL as soon as the deletion begins.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession
from contracts.topology import SERVICE_NAMES
from support.api import Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.installation import find_installation

HELD = {
    "projects": {"tenants", "projects", "api_keys", "signing_keys", "refusals", "idempotency"},
    "identity": {"users", "sessions", "organizations", "members", "invitations", "idempotency"},
    "webhooks": {"webhooks", "secrets", "queue", "idempotency"},
    "audit": {"heads", "counters"},
}
PARTITIONED = {"webhooks": {"events", "deliveries", "attempts"}, "audit": {"events", "personal"}}
KEPT = {
    "projects": {"public.outbox"},
    "identity": {"public.outbox"},
    "webhooks": {"public.outbox", "public.erasures"},
    "audit": {"public.outbox", "public.heads", "public.marks"},
}
"""What each remembers: the event that tells of it, for a day; and that the tenant is gone."""


@dataclass
class Story:
    """A tenant, and the texts by which its data is found wherever it lies."""

    api: Api
    operator: Api
    needles: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/v1/admin/tenants/{self.api.tenant}"


@pytest.fixture(scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deleting")


@pytest.fixture(scope="module")
async def mortal_stack(folder: Path) -> AsyncIterator[Stack]:
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture
async def story(mortal_stack: Stack) -> AsyncIterator[Story]:
    async with ClientSession() as http, webhook_receiver() as endpoint:
        api = await new_tenant(http, mortal_stack.url, mortal_stack.ready["operator_key"])
        needles = await furnish(api, endpoint)
        operator = Api(http, mortal_stack.url, mortal_stack.ready["operator_key"])
        yield Story(api, operator, (api.tenant, *needles))


async def furnish(api: Api, endpoint: Receiver) -> Sequence[str]:
    """Something of everything; answers texts that stand in nothing but this tenant's data."""
    word = uuid4().hex

    async def make(path: str, body: dict[str, object]) -> dict[str, str]:
        made = await api("POST", path, body, idempotency_key=uuid4().hex)
        assert made.status in (200, 201, 202), made.raw
        return dict(made.body)

    hook = await make("/v1/admin/webhooks", {"url": endpoint.url, "events": ["user.*"]})
    dead = {"url": "http://127.0.0.1:1/", "events": ["*"], "description": word}
    await make("/v1/admin/webhooks", dead)
    project = await make("/v1/admin/projects", {"name": word})
    keys = f"/v1/admin/projects/{project['id']}/api-keys"
    key = await make(keys, {"name": word, "scopes": ["users:read"]})
    await api("DELETE", f"{keys}/{key['id']}")
    assert (await api.as_key(key["secret"])("GET", "/v1/admin/users")).status == 401
    user = await make("/v1/admin/users", {"email": f"{word}@example.com"})
    await make(f"/v1/admin/users/{user['id']}/sessions", {"project_id": project["id"]})
    group = await make("/v1/admin/organizations", {"name": word, "owner_id": user["id"]})
    invited = {"email": f"invited-{word}@example.com"}
    await make(f"/v1/admin/organizations/{group['id']}/invitations", invited)
    await api("PATCH", f"/v1/admin/users/{user['id']}", {"name": word})

    async def told() -> bool:
        """The trail and the receiver have what happened."""
        page = await api("GET", "/v1/admin/audit?action=user.updated")
        path = f"/v1/admin/webhooks/{hook['id']}/deliveries?status=succeeded"
        found = await api("GET", path)
        return bool(page.body["events"]) and found.body["pagination"]["total"] >= 2

    await until(told)
    return (word, user["id"], project["id"], hook["id"], group["id"])


async def where(folder: Path, service: str, needles: Sequence[str]) -> set[str]:
    """The tables of a service, of whatever schema, in which one of the texts stands."""
    connection = await asyncpg.connect(find_installation(folder / "data").migration_url(service))
    pattern = "|".join([*needles, *(each.encode().hex() for each in needles)])
    try:
        names = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        found = set()
        for (name,) in names:
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT FROM {name} t WHERE t::text ~ $1)", pattern
            ):
                found.add(name)
    finally:
        await connection.close()
    return found


@asynccontextmanager
async def looking_on(folder: Path, story: Story) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Whether the deletion has begun and is not over, as the database of projects knows."""
    connection = await asyncpg.connect(find_installation(folder / "data").migration_url("projects"))
    find = await connection.prepare("SELECT status = 'deleting' FROM tenants WHERE id = $1")

    async def deleting() -> bool:
        return bool(await find.fetchval(story.api.tenant))

    try:
        yield deleting
    finally:
        connection.terminate()


async def is_gone(story: Story) -> bool:
    try:
        return (await story.operator("GET", story.path)).status == 404
    except OSError:
        return False


@pytest.mark.parametrize(
    "victims", [*((each,) for each in SERVICE_NAMES), SERVICE_NAMES, ("postgres",)], ids="-".join
)
async def test_whoever_is_killed_it_ends_and_nothing_is_left(
    mortal_stack: Stack, folder: Path, story: Story, victims: tuple[str, ...]
) -> None:
    for service in SERVICE_NAMES:
        found = await where(folder, service, story.needles)
        assert found >= {f"public.{each}" for each in HELD[service]}
        parts = {each.split(".")[1].split("_")[0] for each in found if "public." not in each}
        assert parts == PARTITIONED.get(service, set())
    async with looking_on(folder, story) as deleting:
        asked = asyncio.create_task(story.operator("DELETE", story.path))
        await until(deleting)
        killed = {name: mortal_stack.kill(name) for name in victims}
    assert (await asked).status in (202, 204, 503, 504)
    for name, pid in killed.items():
        await mortal_stack.restarted(name, pid)
    await until(lambda: is_gone(story), 40)
    assert (await story.api("GET", "/v1/admin/users")).status == 401
    for service in SERVICE_NAMES:
        assert await where(folder, service, story.needles) <= KEPT[service], service
        assert await where(folder, service, story.needles[1:]) <= {"public.outbox"}, service
