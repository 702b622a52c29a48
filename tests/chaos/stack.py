"""The stack of `tenantry dev` with a TCP proxy between any two processes that talk to each other.

Everything is the product's own: supervisor, users, permissions. Only the URLs lead through proxies.
"""

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from chaos.proxy import TcpProxy
from chassis import streams
from contracts.topology import SERVICE_NAMES, STREAM
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from support.waiting import until
from tenantry.data_folder.folder import DataFolder, open_data_folder
from tenantry.data_folder.secrets import load_or_create
from tenantry.dev.stack import Options, Stack
from tenantry.processes.supervisor import Child, ChildSpec, run_all
from tenantry.servers import Servers, nats
from tenantry.servers.ports import HOST, free_ports

Pair = tuple[str, str]

CLIENT_AND_EDGE = ("client", "edge")
HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=10)
_NAMED_BY_URL = ("TENANTRY_POSTGRES_URL", "TENANTRY_NATS_URL", "TENANTRY_REDIS_URL")


class ProxiedServers(Servers):
    """Each process reaches each server through a proxy of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.proxies: dict[Pair, TcpProxy] = {}

    def database_url(self, service: str) -> str:
        return self._through((service, "postgres"), super().database_url(service))

    def nats_url(self, user: str) -> str:
        direct = super().nats_url(user)
        return direct if user == "admin" else self._through((user, "nats"), direct)

    @property
    def redis_url(self) -> str | None:
        direct = super().redis_url
        return None if direct is None else self._through(("edge", "redis"), direct)

    def create_proxies(self) -> None:
        """All of them, before anybody asks for a URL."""
        for service in SERVICE_NAMES:
            self.database_url(service)
        for user in ("edge", *SERVICE_NAMES):
            self.nats_url(user)
        assert self.redis_url is None or ("edge", "redis") in self.proxies

    def direct_database_url(self, service: str) -> str:
        """For observers: never cut."""
        return super().database_url(service)

    def _through(self, pair: Pair, url: str) -> str:
        parts = urlsplit(url)
        assert parts.port is not None
        if pair not in self.proxies:
            self.proxies[pair] = TcpProxy(parts.port)
        user, _, server = parts.netloc.rpartition("@")
        host = server.rpartition(":")[0]
        return parts._replace(netloc=f"{user}@{host}:{self.proxies[pair].port}").geturl()


class ClusteredServers(ProxiedServers):
    """NATS is three servers as deploy/nats/cluster.conf has them, none of them behind a proxy."""

    COUNT = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.client_ports, self.route_ports = free_ports(self.COUNT), free_ports(self.COUNT)
        self.route_password, self.system_password = ("p" + secrets.token_hex(8) for _ in "12")

    def nats_url(self, user: str) -> str:
        """The credentials stand before the first server only."""
        first, *others = (f"{HOST}:{port}" for port in self.client_ports)
        return ",".join([f"nats://{user}:{self.secrets.nats[user]}@{first}", *others])

    async def start_nats(self) -> None:
        specs = [self._child_spec(number) for number in range(self.COUNT)]
        self.children |= {spec.program.name: Child(spec, self.listener) for spec in specs}
        await run_all(*(self.children[spec.program.name].start() for spec in specs))
        # Until a cluster has a leader, streams can neither be created nor read.
        await until(lambda: self._ask(lambda js: js.account_info()))

    async def stream_leader(self) -> str | None:
        info = await self._ask(lambda js: js.stream_info(STREAM))
        return info.cluster.leader if info and info.cluster else None

    async def is_replicated(self) -> bool:
        """All three have all of the stream."""
        info = await self._ask(lambda js: js.stream_info(STREAM))
        cluster = info.cluster if info else None
        followers = (cluster.replicas or []) if cluster and cluster.leader else []
        return sum(each.current is True for each in followers) == self.COUNT - 1

    async def _ask(self, request: Callable[[JetStreamContext], Awaitable[Any]]) -> Any:
        """None while no server can answer."""
        try:
            async with streams.connected(self.nats_url("admin")) as client:
                return await request(client.jetstream(timeout=1))
        except (NatsError, OSError, TimeoutError):
            return None

    def _child_spec(self, number: int) -> ChildSpec:
        name, port = f"nats-{number + 1}", self.client_ports[number]
        spec = nats.prepare(DataFolder(self.data.folder(name), self.data.lock), self.secrets, port)
        single, cluster = nats.CONFIGURATION, nats.CONFIGURATION.with_name("cluster.conf")
        argv = tuple(str(cluster) if each == str(single) else each for each in spec.program.argv)
        routes = [f"nats://route:{self.route_password}@{HOST}:{each}" for each in self.route_ports]
        env = {
            **spec.program.env,
            "TENANTRY_NATS_NAME": name,
            "TENANTRY_NATS_CLUSTER_HOST": HOST,
            "TENANTRY_NATS_CLUSTER_PORT": str(self.route_ports[number]),
            "TENANTRY_NATS_ROUTES": json.dumps(routes),
            "TENANTRY_NATS_PASSWORD_ROUTE": self.route_password,
            "TENANTRY_NATS_PASSWORD_SYSTEM": self.system_password,
        }
        log = self.data.log(name)
        return replace(spec, program=replace(spec.program, name=name, argv=argv, env=env, log=log))


class ProxiedStack(Stack):
    """A running product that faults are injected in. `log` has each fault and each recovery."""

    servers: ProxiedServers

    def __post_init__(self) -> None:
        super().__post_init__()
        self.started = time.monotonic()
        self.log: list[str] = []
        self.proxies = self.servers.proxies
        self.proxies[CLIENT_AND_EDGE] = TcpProxy(self.ports["edge"])
        self.servers.create_proxies()
        self.unhealthy = "nothing"
        """What `is_healthy` found last that was not."""
        self._killed: dict[str, int] = {}

    @property
    def client_url(self) -> str:
        """The edge through the client's proxy."""
        return f"http://{HOST}:{self.proxies[CLIENT_AND_EDGE].port}"

    @property
    def processes(self) -> dict[str, Child]:
        return self.all_children()

    def note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.started:8.2f} s  {text}")
        with self.servers.data.log("chaos").open("a") as file:
            file.write(self.log[-1] + "\n")

    def died(self, name: str, how: str) -> None:
        self.note(f"{name} {how}")

    def recovered(self, name: str, pid: int, seconds: float) -> None:
        self.note(f"{name} is ready again after {seconds * 1000:.0f} ms")

    def kill(self, name: str) -> None:
        pid = self._killed[name] = self.processes[name].pid
        os.kill(pid, signal.SIGKILL)

    async def is_healthy(self) -> bool:
        """Whoever was killed has a successor, all are ready, and health says ok."""
        children = self.processes.items()
        if waiting := [
            name for name, each in children if not each.ready or each.pid == self._killed.get(name)
        ]:
            self.unhealthy = f"{', '.join(waiting)} not ready"
            return False
        url = self.base_url + "/health"
        try:
            async with aiohttp.request("GET", url, timeout=HEALTH_TIMEOUT) as answer:
                report = await answer.json()
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.unhealthy = f"no health: {error!r}"
            return False
        if report["status"] != "ok":
            self.unhealthy = str(report["checks"])
        return bool(report["status"] == "ok")


@asynccontextmanager
async def proxied_stack(
    folder: Path,
    *,
    servers_of: type[ProxiedServers] = ProxiedServers,
    stack_of: type[ProxiedStack] = ProxiedStack,
) -> AsyncIterator[ProxiedStack]:
    """Started without a limit on requests, and stopped at the end in whatever state it is."""
    with pytest.MonkeyPatch.context() as patch, open_data_folder(folder / "data") as data:
        for name in _NAMED_BY_URL:  # a server that is not ours could not be killed
            patch.delenv(name, raising=False)
        patch.setenv("TENANTRY_RATE_LIMIT", "100000/second")
        servers = servers_of(data, load_or_create(data.root / "secrets.json"))
        stack = stack_of(Options(0, data.root, None, demo=False, console=False), servers)
        try:
            for proxy in stack.proxies.values():
                await proxy.start()
            await stack.start()
            yield stack
        finally:
            await stack.stop(asyncio.Event())
            for proxy in stack.proxies.values():
                await proxy.stop()
