"""PostgreSQL, NATS and Redis, ours or the caller's: started together, and addressed by URL.

A server that the environment names by URL is used as it is; the others run on ports of 127.0.0.1.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.datafolder import DataFolder, open_data_folder
from tenantry.keys import Secrets, load_or_make
from tenantry.loopback import HOST, free_ports
from tenantry.servers import nats, postgres, redis
from tenantry.servers.postgres_url import role_url, server_url
from tenantry.supervisor import Child, Duty, Listener, together


@dataclass
class Servers:
    """The backing servers of one data folder. URLs are known before anything runs."""

    data: DataFolder
    secrets: Secrets
    listener: Listener | None = None
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._postgres_port, self._nats_port, self._redis_port = free_ports(3)
        self._given_nats = os.environ.get("TENANTRY_NATS_URL")
        self._given_postgres = os.environ.get("TENANTRY_POSTGRES_URL")
        self._given_redis = os.environ.get("TENANTRY_REDIS_URL")
        self._redis_server = redis.find()
        password = self.secrets.postgres["postgres"]
        self.superuser_url = self._given_postgres or server_url(HOST, self._postgres_port, password)

    def database_url(self, service: str) -> str:
        """As the service's runtime role."""
        return role_url(self.superuser_url, service, self.secrets.postgres[service], service)

    def migration_url(self, service: str) -> str:
        """As the owner of the service's database."""
        owner = f"{service}_owner"
        return role_url(self.superuser_url, owner, self.secrets.postgres[owner], service)

    def nats_url(self, user: str) -> str:
        return self._given_nats or nats.user_url(user, self.secrets.nats[user], self._nats_port)

    @property
    def redis_url(self) -> str | None:
        """None when there is no Redis at all."""
        if self._given_redis or self._redis_server is None:
            return self._given_redis
        return redis.url(self.secrets.redis, self._redis_port)

    async def start_postgres(self) -> None:
        """Ready with its roles and databases, wherever it runs."""
        if self._given_postgres is None:
            await self._start(await postgres.prepare(self.data, self.secrets, self._postgres_port))
        await postgres.make_databases(self.data, self.secrets, self.superuser_url)

    async def start_nats(self) -> None:
        if self._given_nats is None:
            await self._start(nats.prepare(self.data, self.secrets, self._nats_port))

    async def start_redis(self) -> None:
        if self._given_redis is None and self._redis_server is not None:
            await self._start(
                redis.prepare(self._redis_server, self.data, self.secrets, self._redis_port)
            )

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """PostgreSQL last: the others may still be writing to it."""
        first = [child.stop(hurry) for name, child in self.children.items() if name != "postgres"]
        await asyncio.gather(*first)
        if "postgres" in self.children:
            await self.children["postgres"].stop(hurry)

    async def _start(self, duty: Duty) -> None:
        child = self.children[duty.program.name] = Child(duty, self.listener)
        await child.start()


@asynccontextmanager
async def backing_servers(
    folder: Path, *, with_redis: bool = True, kind: type[Servers] = Servers
) -> AsyncIterator[Servers]:
    """For tests of one service: the servers alone, on a folder of their own, stopped at the end.

    Another `kind` runs them elsewhere.
    """
    with open_data_folder(folder) as data:
        servers = kind(data, load_or_make(folder / "secrets.json"))
        try:
            redis_start = [servers.start_redis()] if with_redis else []
            await together(servers.start_postgres(), servers.start_nats(), *redis_start)
            yield servers
        finally:
            await servers.stop()
