"""The backing servers in containers, by testcontainers: the images and arguments that
docker-compose.yml names, on loopback ports, with all users and permissions.
"""

import asyncio
from typing import Any

import yaml
from tenantry.servers import Servers, nats, postgres, redis
from tenantry.servers.ports import HOST
from testcontainers.core.container import DockerContainer

from support.compose import ROOT
from support.waiting import until

START_SECONDS = 120
CONFIGURATION = "/etc/nats/tenantry.conf"


class ContainedServers(Servers):
    """What `Servers` is, but for where they run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
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
        container = DockerContainer(self._services["services"][name]["image"])
        container.ports[f"{inside}/tcp"] = (HOST, port)  # with_bind_ports knows no address
        return container

    async def _run(self, name: str, container: DockerContainer) -> None:
        self._running[name] = container
        await asyncio.to_thread(container.start)
