"""docker-compose.yml, really run: what `make compose-test` promises of it.

Takes minutes and an engine, so `make test` leaves it out, and without an engine it says so.
"""

import asyncio
import json
import os
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from containers.compose import Balancer, Compose, balanced, command, composed, under_load
from httpx import AsyncClient
from support.api import new_tenant
from support.servers import engine_missing
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers.ports import HOST, free_ports

NO_ENGINE = (
    engine_missing() if os.environ.get("TENANTRY_COMPOSE_TEST") else "run by `make compose-test`"
)
pytestmark = pytest.mark.skipif(NO_ENGINE is not None, reason=f"NOTHING WAS RUN: {NO_ENGINE}")

SERVICES = ("identity", "projects", "webhooks", "audit")
STEPS = ("migrate", "bootstrap", "welcome")
OURS = (*SERVICES, "edge", "console", "streams")
SETTINGS = {
    "TENANTRY_RATE_LIMIT": "100000/second",
    "TENANTRY_WEBHOOKS_ALLOW_PRIVATE": "true",
    "TENANTRY_DRAIN_SECONDS": "2",
}
LOSE_THE_STREAM = """
import asyncio, os, nats
async def lose():
    client = await nats.connect(os.environ["TENANTRY_NATS_ADMIN_URL"])
    await client.jetstream().delete_stream("EVENTS")
    await client.close()
asyncio.run(lose())
"""


COLLECT = """
from http.server import BaseHTTPRequestHandler, HTTPServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in each.resource.attributes}
            for span in [span for scope in each.scope_spans for span in scope.spans]:
                print(named["service.name"], span.trace_id.hex(), span.name, flush=True)
        self.send_response(200)
        self.end_headers()
HTTPServer(("", 4318), Collector).serve_forever()
"""
CANNOT_REACH = """
import socket, sys
for host, port in (("postgres", 5432), ("nats", 4222), ("identity", 8080)):
    try:
        socket.create_connection((host, port), 2).close()
        sys.exit(f"reached {host}")
    except OSError:
        pass
"""
SESSIONS_ALONE = """
import os, redis
client = redis.Redis.from_url(open("/run/secrets/tenantry_redis_url").read())
client.set("console:session:test", b"1", ex=1)
for refused in (lambda: client.get("limit:x"), client.flushall, lambda: client.keys("*")):
    try:
        refused()
    except redis.exceptions.NoPermissionError:
        continue
    raise SystemExit("permitted")
"""


def neighbours() -> tuple[int, int]:
    """Two ports in a row: a range is how compose gives one to each of two containers."""
    first, second = free_ports(2)
    while second != first + 1:
        first, second = second, free_ports(1)[0]
    return first, second


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return neighbours()


@pytest.fixture(scope="module")
def console() -> str:
    return f"http://{HOST}:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
async def compose(
    ports: tuple[int, int], console: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Compose]:
    """As a user has it: one of each."""
    folder = tmp_path_factory.mktemp("compose")
    console_port = console.rpartition(":")[2]
    published = {"TENANTRY_PORT": str(ports[0]), "TENANTRY_CONSOLE_PORT": console_port}
    async with composed(folder, **published, **SETTINGS) as project:
        await project("build", "migrate")  # the others have all its layers
        await project("build")
        await up(project)
        yield project


@pytest.fixture(scope="module")
async def twofold(compose: Compose, ports: tuple[int, int]) -> AsyncIterator[Balancer]:
    """Two of each, and the edges behind a balancer."""
    compose.settings["TENANTRY_PORT"] = f"{ports[0]}-{ports[1]}"
    await up(compose, *(f"--scale={name}=2" for name in (*SERVICES, "edge")))
    async with balanced(*ports) as balancer:
        yield balancer


async def up(compose: Compose, *options: str) -> None:
    await compose("up", "--detach", "--wait", "--wait-timeout", "300", *options)


async def welcomed(compose: Compose) -> tuple[str, str]:
    """The key and the first request of the newest start."""
    said = await compose("logs", "--no-log-prefix", "welcome")
    request = re.findall(r"^ *(curl .*)$", said, re.MULTILINE)[-1]
    return re.findall(r"Bearer (\S+)\"", request)[-1], request


async def signed_in(http: AsyncClient, key: str) -> None:
    answer = await http.post("/sign-in", data={"key": key})
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text


async def healthy(container: str) -> None:
    async def is_healthy() -> bool:
        state = "{{.State.Health.Status}}"
        return (await command("docker", "inspect", "-f", state, container)).strip() == "healthy"

    await until(is_healthy, 120)


async def test_the_first_request_that_it_shows_works_as_it_stands(compose: Compose) -> None:
    _, request = await welcomed(compose)
    assert '"slug":"demo"' in await command(*shlex.split(request))


async def test_another_start_shows_the_same_key(compose: Compose) -> None:
    key, _ = await welcomed(compose)
    await up(compose)
    assert (await welcomed(compose))[0] == key


async def test_every_step_of_the_demo_succeeds(compose: Compose) -> None:
    assert "Every step came back as it should." in await compose("run", "--rm", "demo")


async def test_the_doctor_finds_nothing(compose: Compose) -> None:
    assert "Nothing failed." in await compose("run", "--rm", "tenantry", "doctor")


@pytest.mark.parametrize("service", OURS)
async def test_it_runs_as_nobody_and_can_write_nowhere(compose: Compose, service: str) -> None:
    (container,) = await compose.inspect(service)
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"]
    assert host["PidsLimit"]
    folders = "/ /tmp /venv /var/lib/tenantry"
    tried = f"id -u; for folder in {folders}; do touch $folder/file 2>&1; done; true"
    said = await compose("exec", "--no-TTY", service, "sh", "-c", tried)
    assert said.splitlines()[0] == "10001"
    assert said.count("Read-only file system") == 4, said


async def test_a_browser_comes_from_the_edge_to_the_console(
    compose: Compose, ports: tuple[int, int], console: str
) -> None:
    said = await compose("logs", "--no-log-prefix", "welcome")
    assert re.search(rf"^ *Console +{console}$", said, re.MULTILINE), said
    async with AsyncClient(follow_redirects=True, headers={"Accept": "text/html"}) as http:
        page = await http.get(f"http://{HOST}:{ports[0]}/")
    assert (page.status_code, str(page.url)) == (200, f"{console}/sign-in")


async def test_what_is_changed_in_the_console_has_the_address_of_the_person(
    compose: Compose, ports: tuple[int, int], console: str
) -> None:
    key, _ = await welcomed(compose)
    (network,) = json.loads(
        await command("docker", "network", "inspect", f"{compose.project}_outside")
    )
    gateway = network["IPAM"]["Config"][0]["Gateway"]  # where this machine's connections come from
    forged = {"X-Forwarded-For": "203.0.113.66"}
    async with AsyncClient(base_url=console, headers=forged) as http:
        await signed_in(http, key)
        form = (await http.get("/users/new")).text
        hidden = dict(re.findall(r'name="(form_token|idempotency_key)" value="([^"]+)"', form))
        body = {**hidden, "email": "console@example.com", "metadata": "{}"}
        made = await http.post("/users/new", data=body)
        assert made.status_code == 303, made.text
    direct = {"Authorization": f"Bearer {key}", **forged}
    async with AsyncClient(base_url=f"http://{HOST}:{ports[0]}", headers=direct) as api:
        made = await api.post("/v1/admin/users", json={"email": "direct@example.com"})
        assert made.status_code == 201, made.text

        async def seen() -> bool:
            found = await api.get("/v1/admin/audit", params={"action": "user.created", "limit": 2})
            addresses = [each["ip_address"] for each in found.json()["events"]]
            return addresses == [gateway, gateway]

        await until(seen)


async def test_who_is_signed_in_stays_so_when_the_console_starts_anew(
    compose: Compose, console: str
) -> None:
    key, _ = await welcomed(compose)
    (container,) = await compose.names("console")
    async with AsyncClient(base_url=console) as http:
        await signed_in(http, key)
        await command("docker", "stop", "--time", "20", container)
        (ended,) = await compose.inspect("console")
        assert ended["State"]["ExitCode"] == 0
        await command("docker", "start", container)
        await healthy(container)
        assert (await http.get("/users")).status_code == 200


@pytest.mark.parametrize("tried", [CANNOT_REACH, SESSIONS_ALONE], ids=["servers", "keys"])
async def test_the_console_has_the_edge_and_its_sessions_alone(
    compose: Compose, tried: str
) -> None:
    await compose("exec", "--no-TTY", "console", "python", "-c", tried)


async def test_a_backup_is_restored(
    compose: Compose, ports: tuple[int, int], tmp_path: Path
) -> None:
    key, _ = await welcomed(compose)
    run = ("run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}")
    tenantry = (*run, "--volume", f"{tmp_path}:/backups", "tenantry")
    headers = {"Authorization": f"Bearer {key}"}
    async with AsyncClient(base_url=f"http://{HOST}:{ports[0]}", headers=headers) as api:

        async def users() -> set[str]:
            page = (await api.get("/v1/admin/users", params={"limit": 100})).json()
            return {each["email"] for each in page["users"]}

        await api.post("/v1/admin/users", json={"email": "before@example.com"})
        kept = await users()
        await compose(*tenantry, "backup", "/backups/monday.backup")
        await api.post("/v1/admin/users", json={"email": "after@example.com"})
        await compose("stop", "edge", "console", "streams", *SERVICES)
        await compose(*tenantry, "restore", "/backups/monday.backup", "--replace")
        await up(compose)
        assert await users() == kept
    assert "before@example.com" in kept
    assert "Nothing failed." in await compose("run", "--rm", "tenantry", "doctor")


@pytest.mark.parametrize("service", STEPS)
async def test_a_step_ends_well(compose: Compose, service: str) -> None:
    (container,) = await compose.inspect(service)
    assert container["State"]["ExitCode"] == 0


async def test_no_process_list_shows_a_secret(compose: Compose) -> None:
    secrets = [value for value in compose.secrets.values() if len(value) > 20]
    assert len(secrets) > 10
    for service in (*OURS, "postgres", "nats", "redis"):
        (name,) = await compose.names(service)
        shown = await command("docker", "top", name, "-eo", "pid,args")
        assert not [value for value in secrets if value in shown], service


async def test_a_request_that_has_begun_is_answered_after_sigterm(
    compose: Compose, ports: tuple[int, int]
) -> None:
    key, _ = await welcomed(compose)
    (edge,) = await compose.names("edge")
    body = b'{"email": "late@example.com"}'
    reader, writer = await asyncio.open_connection(HOST, ports[0])
    head = f"POST /v1/admin/users HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:9])
    await writer.drain()
    stopping = asyncio.create_task(command("docker", "stop", "--time", "20", edge))

    async def leaving() -> bool:
        return not await is_ready(ports[0])

    await until(leaving)
    writer.write(body[9:])
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert b"\r\nconnection: close\r\n" in answer
    await stopping
    (ended,) = await compose.inspect("edge")
    assert ended["State"]["ExitCode"] == 0
    await command("docker", "start", edge)
    await healthy(edge)


@pytest.mark.parametrize("service", [*SERVICES, "edge"])
async def test_a_rolling_restart_loses_no_request(
    compose: Compose, twofold: Balancer, service: str
) -> None:
    operator = compose.secrets["TENANTRY_OPERATOR_KEY"]
    url = f"http://{HOST}:{twofold.port}"
    async with ClientSession() as http:
        tenant = await new_tenant(http, url, operator)
        async with under_load(url, str(tenant.key)) as load:
            for container in await compose.names(service):
                before = len(load.made)
                await command("docker", "restart", "--time", "20", container)
                await healthy(container)
                assert len(load.made) > before
        assert load.failures == {}
        page = await tenant("GET", "/v1/admin/users?limit=1")
        assert page.body["pagination"]["total"] == len(load.made)


async def test_a_stream_that_vanishes_is_made_again(compose: Compose) -> None:
    run = ("run", "--rm", "--entrypoint", "python", "tenantry", "-c", LOSE_THE_STREAM)
    await compose(*run)

    async def made_again() -> bool:
        return "streams_created_again" in await compose("logs", "--no-log-prefix", "streams")

    await until(made_again, 60)


async def test_a_page_of_the_console_is_one_trace_with_what_it_calls(
    compose: Compose, console: str
) -> None:
    names = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    compose.settings |= names
    started = await command(
        *("docker", "run", "--detach", "--rm", "--network-alias", "collector"),
        *("--network", f"{compose.project}_inside", "tenantry/tenantry", "python", "-c", COLLECT),
    )
    collector, network = started.strip(), f"{compose.project}_console"
    try:
        await command("docker", "network", "connect", "--alias", "collector", network, collector)
        await up(compose)
        async with AsyncClient(base_url=console) as http:
            await signed_in(http, (await welcomed(compose))[0])
            assert (await http.get("/users")).status_code == 200

        async def whole() -> bool:
            lines = (await command("docker", "logs", collector)).splitlines()
            pages = [each.split(" ", 2) for each in lines]
            traces = [trace for _, trace, name in pages if name == "GET /users"]
            found = {who for who, trace, _ in pages if trace in traces}
            return {"tenantry-console", "tenantry-edge", "tenantry-identity"} <= found

        await until(whole, 30)
    finally:
        await command("docker", "rm", "--force", collector)
