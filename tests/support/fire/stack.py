"""The stack that `tenantry dev` runs, with a cable between any two that talk to each other.

Everything is the product's own: supervisor, users, permissions. Only the URLs lead through cables.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.secrets import SERVICES, load_or_create
from tenantry.dev.stack import Options, Stack
from tenantry.processes.supervisor import Child
from tenantry.servers import Servers

from support.fire.cable import Cable

Pair = tuple[str, str]

CLIENT_AND_EDGE = ("client", "edge")
_NAMED_BY_URL = ("TENANTRY_POSTGRES_URL", "TENANTRY_NATS_URL", "TENANTRY_REDIS_URL")


class CabledServers(Servers):
    """Each process reaches each server through a cable of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cables: dict[Pair, Cable] = {}

    def database_url(self, service: str) -> str:
        return self._through((service, "postgres"), super().database_url(service))

    def nats_url(self, user: str) -> str:
        plain = super().nats_url(user)
        return plain if user == "admin" else self._through((user, "nats"), plain)

    @property
    def redis_url(self) -> str | None:
        plain = super().redis_url
        return None if plain is None else self._through(("edge", "redis"), plain)

    def lay_out(self) -> None:
        """All cables, before anybody asks for a URL."""
        for service in SERVICES:
            self.database_url(service)
        for user in ("edge", *SERVICES):
            self.nats_url(user)
        assert self.redis_url is None or ("edge", "redis") in self.cables

    def plain_database_url(self, service: str) -> str:
        """For whoever looks on: never cut."""
        return super().database_url(service)

    def _through(self, pair: Pair, url: str) -> str:
        parts = urlsplit(url)
        assert parts.port is not None
        if pair not in self.cables:
            self.cables[pair] = Cable(parts.port)
        user, _, server = parts.netloc.rpartition("@")
        host = server.rpartition(":")[0]
        return parts._replace(netloc=f"{user}@{host}:{self.cables[pair].port}").geturl()


class CabledStack(Stack):
    """A running product that can be hurt. `log` tells what was done to it and how it fared."""

    servers: CabledServers

    def __post_init__(self) -> None:
        super().__post_init__()
        self.started = time.monotonic()
        self.log: list[str] = []
        self.cables = self.servers.cables
        self.cables[CLIENT_AND_EDGE] = Cable(self.ports["edge"])
        self.servers.lay_out()
        self.ailing = "nothing"
        """What was not well when somebody found it so last."""
        self._replaced: dict[str, int] = {}

    @property
    def client_url(self) -> str:
        """The edge through the client's cable."""
        return self.base_url.replace(
            f":{self.ports['edge']}", f":{self.cables[CLIENT_AND_EDGE].port}"
        )

    @property
    def processes(self) -> dict[str, Child]:
        return self.all_children()

    def note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.started:8.2f} s  {text}")
        with self.servers.data.log("fire").open("a") as file:
            file.write(self.log[-1] + "\n")

    def died(self, name: str, how: str) -> None:
        self.note(f"{name} {how}")

    def recovered(self, name: str, pid: int, seconds: float) -> None:
        self.note(f"{name} is ready again after {seconds * 1000:.0f} ms")

    def kill(self, name: str) -> None:
        pid = self._replaced[name] = self.processes[name].pid
        os.kill(pid, signal.SIGKILL)

    def hang(self, name: str, number: int) -> None:
        """SIGSTOP or SIGCONT for a process and its children: PostgreSQL works in those."""
        parent = psutil.Process(self.processes[name].pid)
        for process in (parent, *parent.children(recursive=True)):
            process.send_signal(number)

    async def is_well(self, http: aiohttp.ClientSession) -> bool:
        """Whoever was killed has a successor, all are ready, and health says ok."""
        waiting = [
            name
            for name, child in self.processes.items()
            if not child.ready or child.pid == self._replaced.get(name)
        ]
        if waiting:
            self.ailing = f"{', '.join(waiting)} not ready"
            return False
        try:
            async with http.get(self.base_url + "/health") as answer:
                report = await answer.json()
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.ailing = f"no health: {error!r}"
            return False
        if report["status"] == "ok":
            return True
        self.ailing = ", ".join(_ailing(report["checks"]))
        return False


def _ailing(checks: dict[str, Any]) -> Iterator[str]:
    """The checks that do not say ok, a service's own below it."""
    for name, check in checks.items():
        if isinstance(check, dict) and check.get("status") != "ok":
            inner = list(_ailing({key: each for key, each in check.items() if key != "status"}))
            yield f"{name} {check.get('status')}" + (f" ({', '.join(inner)})" if inner else "")


@asynccontextmanager
async def cabled_stack(
    folder: Path,
    *,
    servers_of: type[CabledServers] = CabledServers,
    stack_of: type[CabledStack] = CabledStack,
    **environment: str,
) -> AsyncIterator[CabledStack]:
    """Started, and stopped at the end in whatever state it is."""
    with pytest.MonkeyPatch.context() as patch, open_data_folder(folder / "data") as data:
        for name in _NAMED_BY_URL:  # a server that is not ours could not be killed
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        servers = servers_of(data, load_or_create(data.root / "secrets.json"))
        stack = stack_of(Options(0, data.root, None, demo=False), servers)
        try:
            for cable in stack.cables.values():
                await cable.lay()
            await stack.start()
            yield stack
        finally:
            await stack.stop(asyncio.Event())
            for cable in stack.cables.values():
                await cable.remove()
