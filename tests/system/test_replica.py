"""Lists are read from a standby while it lags little; nobody sees an error or a wrong 404 for it.

The replica is reached through a proxy. Its `Age` says which answers are its own.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import ClientSession
from chaos.proxy import TcpProxy
from chaos.stack import ProxiedStack, proxied_stack
from chaos.standby import StandbyServers
from chassis.database import Connection, Pool, open_pool
from chassis.encryption import Keyring
from chassis.replica import Replica
from chassis.request import Reply, Request
from chassis.unit_of_work import UnitOfWork, read_only
from contracts.calls import Call
from contracts.context import Context
from contracts.models import Body, Query
from contracts.topology import SERVICE_NAMES
from support.api import Answer, Api, new_tenant
from support.stack import tenantry
from support.waiting import until
from tenantry.dev import services
from tenantry.processes.supervisor import Child
from tenantry.servers.ports import HOST
from tenantry.servers.postgres_url import server_url

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

MAX_LAG = 3.0
ANSWER_SECONDS = 2.0
USERS = "/v1/admin/users"
REPLICA = "standby-1"
LONG_LIST = """
SELECT count(*) FROM listed WHERE NOT pg_is_in_recovery() OR pg_sleep(30)::text = id::text
"""
IS_LISTING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


class ReplicaServers(StandbyServers):
    """PostgreSQL with a standby from the beginning; `replica` is the way to it."""

    replica: TcpProxy

    async def start_postgres(self) -> None:
        await super().start_postgres()
        await self.add_standby(is_synchronous=False)
        self.replica = TcpProxy(self.standby.port)
        await self.replica.start()

    def replica_url(self, service: str) -> str:
        url = urlsplit(self.direct_database_url(service))
        user = url.netloc.rpartition("@")[0]
        return url._replace(netloc=f"{user}@{HOST}:{self.replica.port}").geturl()

    async def on_standby(self, *statements: str) -> None:
        conn = await asyncpg.connect(self.standby_url)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

    @property
    def standby_url(self) -> str:
        return server_url(HOST, self.standby.port, self.secrets.postgres["postgres"])


class ReplicaStack(ProxiedStack):
    servers: ReplicaServers

    async def start_process(self, name: str) -> None:
        spec = services.child_spec(name, self.servers, self.ports)
        if name in SERVICE_NAMES:
            own = {
                "TENANTRY_REPLICA_URL": self.servers.replica_url(name),
                "TENANTRY_REPLICA_MAX_LAG_SECONDS": str(MAX_LAG),
            }
            env = {**spec.program.env, **own}
            spec = replace(spec, program=replace(spec.program, env=env))
        child = self.children[name] = Child(spec, self)
        await child.start()


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaStack]:
    folder = tmp_path_factory.mktemp("replica")
    async with proxied_stack(folder, servers_of=ReplicaServers, stack_of=ReplicaStack) as running:
        assert isinstance(running, ReplicaStack)
        yield running
        await running.servers.replica.stop()


@pytest.fixture
async def api(stack: ReplicaStack) -> AsyncIterator[Api]:
    """Of a tenant whose lists the replica answers."""
    async with ClientSession() as http:
        api = await new_tenant(http, stack.base_url, stack.servers.secrets.operator_key)
        await until(lambda: is_of_replica(api), 60)
        yield api


@pytest.fixture
async def paused(stack: ReplicaStack, api: Api) -> AsyncIterator[None]:
    """The replica stands still, and is not yet too old."""
    await stack.servers.on_standby("SELECT pg_wal_replay_pause()")
    yield
    await stack.servers.on_standby("SELECT pg_wal_replay_resume()")


async def list_users(api: Api, **headers: str) -> Answer:
    """Always a 200 in time."""
    started = time.monotonic()
    answer = await api("GET", USERS, **headers)
    assert answer.status == 200, answer.raw
    assert time.monotonic() - started < ANSWER_SECONDS
    return answer


async def is_of_replica(api: Api) -> bool:
    return "Age" in (await list_users(api)).headers


async def is_of_primary(api: Api) -> bool:
    return not await is_of_replica(api)


def ids(answer: Answer) -> list[str]:
    return [user["id"] for user in answer.body["users"]]


async def create_user(api: Api) -> str:
    made = await api("POST", USERS, {"email": f"ada@{time.monotonic_ns()}.example.com"})
    assert made.status == 201, made.raw
    return str(made.body["id"])


async def test_lists_come_from_the_replica_and_single_users_do_not(api: Api, paused: None) -> None:
    user = await create_user(api)
    listed = await list_users(api)
    assert (ids(listed), int(listed.headers["Age"]) <= MAX_LAG + 1) == ([], True)
    shown = await api("GET", f"{USERS}/{user}")
    assert (shown.status, "Age" in shown.headers) == (200, False)


async def test_whoever_asks_for_it_sees_its_own_writes(api: Api, paused: None) -> None:
    user = await create_user(api)
    fresh = await list_users(api, cache_control="max-age=0, No-Cache")
    assert (ids(fresh), "Age" in fresh.headers) == ([user], False)


async def test_the_command_finds_what_the_one_before_has_made(
    stack: ReplicaStack, api: Api, paused: None
) -> None:
    user = await create_user(api)
    ran = await tenantry(
        *("users", "list", "-o", "name", f"--url={stack.base_url}"), TENANTRY_API_KEY=api.key or ""
    )
    assert user in ran.out, ran


async def test_a_replica_that_lags_too_much_is_not_asked(
    stack: ReplicaStack, api: Api, paused: None
) -> None:
    user = await create_user(api)
    created_at = time.monotonic()
    await until(lambda: is_of_primary(api))
    assert time.monotonic() - created_at < MAX_LAG + 1
    assert ids(await list_users(api)) == [user]
    await until(lambda: has_health(api, "degraded"))
    await stack.servers.on_standby("SELECT pg_wal_replay_resume()")
    await until(lambda: is_of_replica(api))
    assert ids(await list_users(api)) == [user]
    await until(lambda: has_health(api, "ok"))


async def has_health(api: Api, status: str) -> bool:
    return bool((await api("GET", "/health")).body["checks"]["identity"]["status"] == status)


async def test_what_the_replica_does_not_know_yet_is_not_a_404(api: Api, paused: None) -> None:
    made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})
    members = await api("GET", f"/v1/admin/organizations/{made.body['id']}/members")
    assert (members.status, members.body["members"]) == (200, [])


async def test_credentials_are_listed_as_they_are(api: Api, paused: None) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "Shop"})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", path, {"name": "key", "scopes": ["users:read"]})
    assert (await api("DELETE", f"{path}/{key.body['id']}")).status == 204
    listed = await api("GET", path)
    assert [each["status"] for each in listed.body["api_keys"]] == ["revoked"]


@pytest.mark.parametrize("how", ["cut", "freeze"])
async def test_a_replica_that_cannot_be_reached_costs_nobody_an_answer(
    stack: ReplicaStack, api: Api, how: str
) -> None:
    proxy = stack.servers.replica
    getattr(proxy, how)()
    try:
        await until(lambda: is_of_primary(api))
        await asyncio.gather(*(list_users(api) for _ in range(20)))
    finally:
        proxy.restore()
    await until(lambda: is_of_replica(api))


async def test_a_replica_that_is_killed_costs_nobody_an_answer(
    stack: ReplicaStack, api: Api
) -> None:
    lists = asyncio.create_task(list_until_primary(api))
    stack.kill(REPLICA)
    await lists
    await until(lambda: is_of_replica(api), 60)


async def list_until_primary(api: Api) -> None:
    while any(await asyncio.gather(*(is_of_replica(api) for _ in range(8)))):
        pass


async def test_the_doctor_tells_how_far_it_is(stack: ReplicaStack, api: Api) -> None:
    environment = {"TENANTRY_NATS_ADMIN_URL": stack.servers.nats_url("admin")}
    for service in SERVICE_NAMES:
        name = f"TENANTRY_{service.upper()}"
        environment[f"{name}_DATABASE_URL"] = stack.servers.direct_database_url(service)
        environment[f"{name}_REPLICA_URL"] = stack.servers.replica_url(service)
    environment["TENANTRY_AUDIT_REPLICA_URL"] = environment["TENANTRY_AUDIT_DATABASE_URL"]
    ran = await tenantry("doctor", "--json", f"--url={stack.base_url}", **environment)
    found = {each["of"]: each for each in ran.json["checks"] if each["check"] == "replica"}
    assert found["identity"]["status"] == "ok", found
    assert (found["audit"]["status"], found["audit"]["detail"]) == ("warning", "no standby")


async def test_what_recovery_cancels_is_asked_of_the_primary(stack: ReplicaStack) -> None:
    """A vacuum removes rows that a list on the replica still sees."""
    servers = stack.servers
    await servers.on_standby(
        "ALTER SYSTEM SET max_standby_streaming_delay = 0", "SELECT pg_reload_conf()"
    )
    await servers.superuser(
        "CREATE TABLE listed (id int, filler text) WITH (autovacuum_enabled = off)",
        "INSERT INTO listed SELECT i, repeat('x', 500) FROM generate_series(1, 1000) i",
    )
    primary, pool, watch = [await open_pool(servers.superuser_url, 2)] + [
        await open_pool(servers.standby_url, 2) for _ in "12"
    ]
    try:
        errors = await list_while_rows_are_removed(servers, primary, pool, watch)
    finally:
        for each in (primary, pool, watch):
            each.terminate()
    assert errors == ["canceling statement due to conflict with recovery"]


async def list_while_rows_are_removed(
    servers: ReplicaServers, primary: Pool, pool: Pool, watch: Pool
) -> list[str]:
    """What the list failed with before it was answered."""
    errors: list[str] = []

    @read_only()
    async def list_rows(conn: Connection, _: Request) -> Reply:
        try:
            return Reply(str(await conn.fetchval(LONG_LIST)).encode())
        except asyncpg.PostgresError as error:
            errors.append(str(error).partition("\n")[0])
            raise

    replica = Replica(pool, watch, primary, 60)

    async def is_current() -> bool:
        await replica.look()
        return replica.lag() < 60

    await until(is_current)
    unit_of_work = UnitOfWork(primary, Keyring({}, {}), lambda: None, replica=replica)
    call = Call("identity", "list_rows", may_lag=True)
    context = Context(request_id="r", traceparent="t", deadline=time.time() + 40)
    request = Request(call, context, Body(), Query(), Keyring({}, {}))
    listing = asyncio.create_task(unit_of_work.run(list_rows, request))
    await until(lambda: watch.fetchval(IS_LISTING))
    await servers.superuser("DELETE FROM listed WHERE id > 1", "VACUUM listed")
    assert (await listing).body == b"1"
    return errors
