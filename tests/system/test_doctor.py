"""The doctor names what is really broken first, with what follows from it, within ten seconds."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from contracts.topology import SERVICE_NAMES
from support.stack import Ran, Stack, running_stack, tenantry
from support.waiting import until
from tenantry.checks import run_checks
from tenantry.checks.causes import CLOCK, NEEDS, POSTGRES
from tenantry.checks.console import check_console
from tenantry.checks.redis import check_redis
from tenantry.dev.health_probe import is_ready
from tenantry.installation import Installation
from tenantry.servers.ports import HOST, free_ports

LOG = re.compile(r"\((\S+\.log)\)")
LIMIT = 10.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """On a disk of its own where that is possible, so that it can be filled."""
    folder = tmp_path_factory.mktemp("doctor")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500m", "tmpfs", str(folder)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    yield folder
    if is_mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
async def stack(folder: Path) -> AsyncIterator[Stack]:
    async with running_stack(folder, "--no-demo", "--console") as running:
        yield running


@pytest.fixture(autouse=True)
async def well_again(stack: Stack) -> AsyncIterator[None]:
    yield
    await until(lambda: is_well(stack), 60)


async def is_well(stack: Stack) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{stack.url}/health", timeout=aiohttp.ClientTimeout(3)) as answer,
        ):
            return bool((await answer.json())["status"] != "down")
    except (OSError, aiohttp.ClientError, TimeoutError):
        return False


async def examine(stack: Stack) -> Ran:
    """Every log that it names is there."""
    ran = await tenantry("doctor", "--json", f"--data={stack.data}")
    logs = [path for each in ran.json["checks"] for path in LOG.findall(each["fix"] or "")]
    assert all(map(os.path.exists, logs)), logs
    return ran


def seconds_of_checks(stack: Stack) -> float:
    """With the end of their event loop, and without what the start of Python takes."""
    started = time.monotonic()
    asyncio.run(run_checks(None, stack.data))
    return time.monotonic() - started


def check_cause(ran: Ran, cause: str) -> dict[str, Any]:
    """It is the first result, and all other failures follow from it."""
    assert (ran.code, ran.json["root_cause"]) == (1, cause), ran.json
    first, *others = ran.json["checks"]
    assert f"{first['check']} of {first['of']}" == cause
    failures = [each for each in others if each["status"] == "failed"]
    assert {each["caused_by"] for each in failures} <= {cause}, failures
    return {f"{each['check']} of {each['of']}": each for each in failures} | {cause: first}


@asynccontextmanager
async def stopped(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process has ended, and its supervisor is kept from starting it again."""
    process = psutil.Process(stack.ready["processes"][name])
    stack.process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)

    async def has_ended() -> bool:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    try:
        await until(has_ended, 10)
        yield
    finally:
        stack.process.send_signal(signal.SIGCONT)

    async def is_started_again() -> bool:
        return bool(stack.ready["processes"].get(name) not in (None, process.pid))

    await until(is_started_again, 60)


@contextmanager
def frozen(stack: Stack, name: str) -> Iterator[None]:
    stack.hang(name, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.hang(name, signal.SIGCONT)


@asynccontextmanager
async def superuser(stack: Stack, database: str) -> AsyncIterator[asyncpg.Connection]:
    password = json.loads((stack.data / "secrets.json").read_text())["postgres"]["postgres"]
    port = int(stack.ready["databases"]["audit"].rsplit(":", 1)[1].split("/")[0])
    conn = await asyncpg.connect(
        host=HOST, port=port, user="postgres", password=password, database=database
    )
    try:
        yield conn
    finally:
        await conn.close()


async def test_nothing_is_named_when_nothing_is_wrong(stack: Stack) -> None:
    ran = await examine(stack)
    assert (ran.code, ran.json["root_cause"]) == (0, None), ran.json
    bad = {each["of"] for each in ran.json["checks"] if each["status"] != "ok"}
    assert bad <= {"Redis", "redis"}, ran.json  # a machine may have none
    names = {f"{each['check']} of {each['of']}" for each in ran.json["checks"]}
    only_elsewhere = {f"replica of {service}" for service in SERVICE_NAMES}
    only_when_broken = {POSTGRES, CLOCK, "clock of Redis", "request of operator"}
    needed = NEEDS.keys() | set(chain.from_iterable(NEEDS.values()))
    assert needed <= names | only_when_broken | only_elsewhere


@pytest.mark.parametrize(
    ("name", "cause"),
    [("postgres", "connection of PostgreSQL"), ("nats", "connection of NATS")],
)
async def test_a_server_that_is_stopped_or_frozen_is_the_cause(
    stack: Stack, name: str, cause: str
) -> None:
    async with stopped(stack, name):
        found = check_cause(await examine(stack), cause)
        assert {f"health of {service}" for service in SERVICE_NAMES} <= found.keys()
    await until(lambda: is_well(stack), 60)
    with frozen(stack, name):
        found = check_cause(await examine(stack), cause)
        assert "no answer" in found[cause]["detail"]
        assert f"{name}.log" in found[cause]["fix"]
        assert await asyncio.to_thread(seconds_of_checks, stack) < LIMIT
        assert "credential of operator" not in found


async def test_redis_that_is_away_is_a_warning(stack: Stack) -> None:
    if "redis" not in stack.ready["processes"]:
        pytest.skip("NOTHING WAS RUN: no Redis here")
    for breaking in (stopped(stack, "redis"), None):
        if breaking is not None:
            async with breaking:
                ran = await examine(stack)
            await until(lambda: is_well(stack), 60)
        else:
            with frozen(stack, "redis"):
                ran = await examine(stack)
        first, *consequences = ran.json["checks"][:3]
        assert (ran.code, ran.json["root_cause"]) == (0, None)
        assert (first["of"], first["status"]) == ("Redis", "warning")
        follow = {f"{each['check']} of {each['of']}" for each in consequences}
        assert follow == {"health of redis", "sessions of console"}
        assert {each["caused_by"] for each in consequences} == {"connection of Redis"}


async def test_no_redis_is_a_warning_that_says_what_to_install(tmp_path: Path) -> None:
    without = Installation("here", tmp_path, {}, {}, None, None, {}, {})
    (result,) = await check_redis(without)
    assert result.status == "warning"
    assert result.fix is not None
    assert "valkey-server" in result.fix


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_database_that_takes_no_connection_is_the_cause(stack: Stack, service: str) -> None:
    async with superuser(stack, "postgres") as conn:
        await conn.execute(f"ALTER DATABASE {service} WITH ALLOW_CONNECTIONS false")
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", service
        )
        try:
            found = check_cause(await examine(stack), f"connection of database of {service}")
        finally:
            await conn.execute(f"ALTER DATABASE {service} WITH ALLOW_CONNECTIONS true")
    assert f"migrations of schema of {service}" in found


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_database_that_hangs_is_the_cause(stack: Stack, service: str) -> None:
    async with superuser(stack, service) as conn, conn.transaction():
        await conn.execute("LOCK TABLE outbox, alembic_version IN ACCESS EXCLUSIVE MODE")
        found = check_cause(await examine(stack), f"connection of database of {service}")
    assert "pg_stat_activity" in found[f"connection of database of {service}"]["fix"]


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_migration_that_is_missing_is_the_cause(stack: Stack, service: str) -> None:
    async with superuser(stack, service) as conn:
        newest = await conn.fetchval("SELECT version_num FROM alembic_version")
        await conn.execute("UPDATE alembic_version SET version_num = '0001'")
        try:
            ran = await examine(stack)
        finally:
            await conn.execute("UPDATE alembic_version SET version_num = $1", newest)
    found = check_cause(ran, f"migrations of schema of {service}")
    (wrong,) = found.values()
    assert newest in wrong["detail"]
    assert "tenantry migrate" in wrong["fix"]


async def test_a_process_that_hangs_is_named_with_its_log(stack: Stack) -> None:
    with frozen(stack, "projects"):
        found = check_cause(await examine(stack), "health of projects")
    assert "projects.log" in found["health of projects"]["fix"]
    assert "credential of operator" not in found
    with frozen(stack, "edge"):
        found = check_cause(await examine(stack), "connection of API")
        assert found["health of console"]["caused_by"] == "connection of API"


async def test_a_console_that_is_stopped_or_frozen_is_named_with_its_log(stack: Stack) -> None:
    cause = "connection of console"
    async with stopped(stack, "console"):
        check_cause(await examine(stack), cause)
    with frozen(stack, "console"):
        found = check_cause(await examine(stack), cause)
    assert "no answer" in found[cause]["detail"]
    assert "console.log" in found[cause]["fix"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"TENANTRY_PROXY_KEY": "of another installation"},
        {"TENANTRY_CONSOLE_EDGE_URL": "http://127.0.0.1:9"},
    ],
    ids=["key", "address"],
)
async def test_a_console_that_the_edge_refuses_names_the_settings(
    stack: Stack, wrong: dict[str, str]
) -> None:
    port, management = free_ports(2)
    ports = {"TENANTRY_HTTP_PORT": str(port), "TENANTRY_MANAGEMENT_PORT": str(management)}
    environment = psutil.Process(stack.ready["processes"]["console"]).environ() | ports | wrong
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: is_ready(port))
        url = f"http://{HOST}:{port}"
        installation = Installation("here", None, {}, {}, None, None, {}, {}, console_url=url)
        found = {each.name: each for each in await check_console(installation)}
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert found["connection of console"].status == "ok"
    assert found["health of console"].status == "failed"
    assert set(wrong) <= set(re.findall(r"TENANTRY_\w+", found["health of console"].fix or ""))


async def test_a_wrong_key_is_the_key(stack: Stack) -> None:
    for key in ("wrong", "wr\u00f6ng"):
        ran = await tenantry("doctor", "--json", TENANTRY_OPERATOR_KEY=key, TENANTRY_URL=stack.url)
        found = {each["check"]: each for each in ran.json["checks"] if each["status"] == "failed"}
        assert "TENANTRY_OPERATOR_KEY" in found["credential"]["fix"]


async def test_a_full_disk_is_the_cause(stack: Stack) -> None:
    if not stack.data.parent.is_mount():
        pytest.skip("NOTHING WAS RUN: no disk can be mounted here")
    filling = stack.data.parent / "filling"
    try:
        with filling.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(stack.data).free)
        found = check_cause(await examine(stack), "disk of the data folder")
        assert str(stack.data) in found["disk of the data folder"]["fix"]
    finally:
        filling.unlink()


async def test_a_clock_that_is_wrong_is_named(tmp_path: Path) -> None:
    health = b'{"status": "ok", "checks": {}}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(health) + health)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        ran = await tenantry("doctor", "--json", f"--url={url}", folder=tmp_path)
    assert (ran.code, ran.json["root_cause"]) == (1, "clock of API")
    assert "chrony" in ran.json["checks"][0]["fix"]


async def test_people_read_the_cause_first(stack: Stack) -> None:
    with frozen(stack, "nats"):
        ran = await tenantry("doctor", f"--data={stack.data}")
    lines = ran.out.splitlines()
    assert lines[0].startswith("connection of NATS: no answer")
    assert "nats.log" in lines[1]
    assert "From it follow: health of nats" in lines[2]
    assert lines[-1].startswith("1 failed, and ")
