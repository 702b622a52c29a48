"""PostgreSQL, NATS and Redis: started together, and addressed by URL.

A server that the environment names by URL is used as it is; the others run here, on 127.0.0.1.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.data_folder.folder import DataFolder, open_data_folder
from tenantry.data_folder.secrets import Secrets, load_or_create
from tenantry.processes.supervisor import Child, ChildListener, ChildSpec, run_all
from tenantry.servers import nats, postgres, redis
from tenantry.servers.ports import HOST, free_ports
from tenantry.servers.postgres_url import role_url, server_url


@dataclass
class Servers:
    """The backing servers of one data folder. Their URLs are known before they run."""

    data: DataFolder
    secrets: Secrets
    listener: ChildListener | None = None
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._postgres_port, self._nats_port, self._redis_port = free_ports(3)
        self._external_nats = os.environ.get("TENANTRY_NATS_URL")
        self._external_postgres = os.environ.get("TENANTRY_POSTGRES_URL")
        self._external_redis = os.environ.get("TENANTRY_REDIS_URL")
        self._redis_server = redis.find_server()
        password = self.secrets.postgres["postgres"]
        self.superuser_url = self._external_postgres or server_url(
            HOST, self._postgres_port, password
        )

    def database_url(self, service: str) -> str:
        """As the service's runtime role."""
        return role_url(self.superuser_url, service, self.secrets.postgres[service], service)

    def migration_url(self, service: str) -> str:
        """As the owner of the service's database."""
        owner = f"{service}_owner"
        return role_url(self.superuser_url, owner, self.secrets.postgres[owner], service)

    def nats_url(self, user: str) -> str:
        return self._external_nats or nats.user_url(user, self.secrets.nats[user], self._nats_port)

    @property
    def redis_url(self) -> str | None:
        """None when there is no Redis at all."""
        if self._external_redis or self._redis_server is None:
            return self._external_redis
        return redis.url(self.secrets.redis, self._redis_port)

    async def start_postgres(self) -> None:
        """Start it and create its roles and databases, wherever it runs."""
        if self._external_postgres is None:
            server, port = postgres.find_server(), self._postgres_port
            await self._start(await postgres.prepare(server, self.data, self.secrets, port))
        await postgres.create_databases(self.data, self.secrets, self.superuser_url)

    async def start_nats(self) -> None:
        if self._external_nats is None:
            await self._start(nats.prepare(self.data, self.secrets, self._nats_port))

    async def start_redis(self) -> None:
        if self._external_redis is None and self._redis_server is not None:
            await self._start(
                redis.prepare(self._redis_server, self.data, self.secrets, self._redis_port)
            )

    async def stop(self, kill_now: asyncio.Event | None = None) -> None:
        """PostgreSQL last: others may still be writing to it."""
        await asyncio.gather(
            *(child.stop(kill_now) for name, child in self.children.items() if name != "postgres")
        )
        if "postgres" in self.children:
            await self.children["postgres"].stop(kill_now)

    async def _start(self, spec: ChildSpec) -> None:
        child = self.children[spec.program.name] = Child(spec, self.listener)
        await child.start()


@asynccontextmanager
async def backing_servers(
    folder: Path, *, with_redis: bool = True, kind: type[Servers] = Servers
) -> AsyncIterator[Servers]:
    """The servers alone, on a folder of their own, stopped at the end; for tests of one service.

    Another `kind` runs them elsewhere.
    """
    with open_data_folder(folder) as data:
        servers = kind(data, load_or_create(folder / "secrets.json"))
        try:
            redis_start = [servers.start_redis()] if with_redis else []
            await run_all(servers.start_postgres(), servers.start_nats(), *redis_start)
            yield servers
        finally:
            await servers.stop()
