"""docker-compose.yml, really run: what `make compose-test` promises of it.

Takes minutes and an engine, so `make test` leaves it out, and without an engine it says so.
"""

import asyncio
import os
import shlex
from pathlib import Path

import pytest
from containers.compose import (
    NO_ENGINE,
    SERVICES,
    Compose,
    command,
    healthy,
    nothing_fails,
    up,
    welcomed,
)
from httpx import AsyncClient
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers.ports import HOST

pytestmark = pytest.mark.skipif(NO_ENGINE is not None, reason=f"NOTHING WAS RUN: {NO_ENGINE}")

STEPS = ("migrate", "bootstrap", "welcome")
OURS = (*SERVICES, "edge", "console", "streams")
LOSE_THE_STREAM = """
import asyncio, nats
async def lose():
    client = await nats.connect(open("/run/secrets/tenantry_nats_admin_url").read())
    await client.jetstream().delete_stream("EVENTS")
    await client.close()
asyncio.run(lose())
"""


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
    await nothing_fails(compose)


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
    await nothing_fails(compose)


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


async def test_a_stream_that_vanishes_is_made_again(compose: Compose) -> None:
    run = ("run", "--rm", "--entrypoint", "python", "tenantry", "-c", LOSE_THE_STREAM)
    await compose(*run)

    async def made_again() -> bool:
        return "streams_created_again" in await compose("logs", "--no-log-prefix", "streams")

    await until(made_again, 60)
