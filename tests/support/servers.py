"""Real PostgreSQL, NATS and Redis for a test: embedded, or with TENANTRY_TEST_SERVERS=containers
from the images that docker-compose.yml names, on loopback ports, with all users and permissions.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.waiting import until
from tenantry.servers import Servers, backing_servers, nats, postgres, redis
from tenantry.servers.ports import HOST
from testcontainers.core.container import DockerContainer

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
START_SECONDS = 120
CONFIGURATION = "/etc/nats/tenantry.conf"


class ContainedServers(Servers):
    """What `Servers` is, but for where they run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._services: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
        self._running: dict[str, DockerContainer] = {}

    @property
    def redis_url(self) -> str:
        return redis.url(self.secrets.redis, self._redis_port)

    async def start_postgres(self) -> None:
        container = self._container("postgres", 5432, self._postgres_port)
        container.with_env("POSTGRES_PASSWORD", self.secrets.postgres["postgres"])
        container.with_env("POSTGRES_INITDB_ARGS", " ".join(postgres.LOCALE))
        await self._run("postgres", container)
        await until(lambda: postgres.is_ready(self._postgres_port), START_SECONDS)
        await postgres.create_databases(self.data, self.secrets, self.superuser_url)

    async def start_nats(self) -> None:
        container = self._container("nats", 4222, self._nats_port)
        for user, password in self.secrets.nats.items():
            container.with_env(f"TENANTRY_NATS_PASSWORD_{user.upper()}", password)
        container.with_copy_into_container(nats.CONFIGURATION, CONFIGURATION)
        container.with_command(["-c", CONFIGURATION, "-sd", "/data"])
        await self._run("nats", container)
        await until(lambda: nats.is_ready(self._nats_port), START_SECONDS)

    async def start_redis(self) -> None:
        password = self.secrets.redis
        container = self._container("redis", 6379, self._redis_port)
        container.with_command(["redis-server", "--requirepass", password, "--save", ""])
        await self._run("redis", container)
        await until(lambda: redis.is_ready(self._redis_port, password), START_SECONDS)

    async def stop(self, kill_now: asyncio.Event | None = None) -> None:
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in self._running.values()))

    async def kill(self, name: str) -> None:
        """SIGKILL, and started again with the data that it had."""
        container = self._running[name].get_wrapped_container()
        await asyncio.to_thread(container.kill)
        await asyncio.to_thread(container.start)

    def _container(self, name: str, inside: int, port: int) -> DockerContainer:
        container = DockerContainer(self._services[name]["image"])
        container.ports[f"{inside}/tcp"] = (HOST, port)  # with_bind_ports knows no address
        return container

    async def _run(self, name: str, container: DockerContainer) -> None:
        self._running[name] = container
        await asyncio.to_thread(container.start)


KINDS: dict[str, type[Servers]] = {"embedded": Servers, "containers": ContainedServers}


@asynccontextmanager
async def servers_on(folder: Path, *, with_redis: bool = True) -> AsyncIterator[Servers]:
    """Skips the test where containers are wanted and there is nothing to run them with."""
    kind = KINDS[os.environ.get("TENANTRY_TEST_SERVERS", "embedded")]
    if kind is ContainedServers and (reason := engine_missing()):
        pytest.skip(f"NOTHING WAS RUN: {reason}")
    async with backing_servers(folder, with_redis=with_redis, kind=kind) as running:
        yield running


async def kill(servers: Servers, name: str) -> None:
    """SIGKILL. It comes back: by its supervisor, or by us."""
    if isinstance(servers, ContainedServers):
        await servers.kill(name)
        return
    child = servers.children[name]

    async def is_up() -> bool:
        return child.ready

    async def is_down() -> bool:
        return not child.ready

    await until(is_up)
    os.kill(child.pid, signal.SIGKILL)
    await until(is_down)


def engine_missing() -> str | None:
    """Why there is nothing to run containers with; None when there is."""
    if shutil.which("docker") is None:
        return "there is no docker here"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if ran.returncode:
            lines = (ran.stderr or ran.stdout).strip().splitlines() or ["no reason given"]
            return f"`{' '.join(command)}` failed: {lines[-1]}"
    return None
