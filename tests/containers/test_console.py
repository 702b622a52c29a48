"""The console in containers: who gets to it, what it reaches, and whose address is recorded."""

import json
import re

import pytest
from containers.compose import NO_ENGINE, Compose, command, healthy, up, welcomed
from httpx import AsyncClient
from support.waiting import until
from tenantry.servers.ports import HOST

pytestmark = pytest.mark.skipif(NO_ENGINE is not None, reason=f"NOTHING WAS RUN: {NO_ENGINE}")
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


async def signed_in(http: AsyncClient, key: str) -> None:
    answer = await http.post("/sign-in", data={"key": key})
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text


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
        for name in names:
            del compose.settings[name]
        await command("docker", "rm", "--force", collector)
