"""A stack whose broker is a cluster: three nats-servers as deploy/nats/cluster.conf has them."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from chassis import streams
from contracts.topology import STREAM
from nats.errors import Error as NatsError
from nats.js.api import ClusterInfo
from tenantry.data_folder.folder import DataFolder, open_data_folder
from tenantry.data_folder.secrets import SERVICES, load_or_create
from tenantry.processes.supervisor import Child, ChildSpec, run_all
from tenantry.servers import nats
from tenantry.servers.ports import HOST, free_ports

from support.fire.stack import CabledServers
from support.waiting import until

CONFIGURATION = nats.CONFIGURATION.with_name("cluster.conf")
COUNT = 3


class ClusteredServers(CabledServers):
    """NATS is three children, named as the servers are; nothing of it is behind a cable."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.client_ports, self.route_ports = free_ports(COUNT), free_ports(COUNT)
        self.route_password, self.system_password = ("p" + secrets.token_hex(8) for _ in "12")

    def lay_out(self) -> None:
        for service in SERVICES:
            self.database_url(service)
        assert self.redis_url is None or ("edge", "redis") in self.cables

    def nats_url(self, user: str) -> str:
        """The credentials stand before the first server only."""
        first, *others = (f"{HOST}:{port}" for port in self.client_ports)
        return ",".join([f"nats://{user}:{self.secrets.nats[user]}@{first}", *others])

    async def start_nats(self) -> None:
        duties = [self._duty(number) for number in range(COUNT)]
        self.children |= {duty.program.name: Child(duty, self.listener) for duty in duties}
        await run_all(*(self.children[duty.program.name].start() for duty in duties))
        await until(self.has_a_leader)

    async def has_a_leader(self) -> bool:
        """Until a cluster has one, streams can neither be made nor read."""
        try:
            async with streams.connected(self.nats_url("admin")) as client:
                await client.jetstream(timeout=1).account_info()
        except (NatsError, OSError, TimeoutError):
            return False
        return True

    async def stream(self) -> ClusterInfo | None:
        """Who leads the stream and who follows; None while nobody can tell."""
        try:
            async with streams.connected(self.nats_url("admin")) as client:
                return (await client.jetstream(timeout=1).stream_info(STREAM)).cluster
        except (NatsError, OSError, TimeoutError):
            return None

    async def leader(self) -> str | None:
        info = await self.stream()
        return info.leader if info is not None else None

    async def is_whole(self) -> bool:
        """All three have all of the stream."""
        info = await self.stream()
        followers = (info.replicas or []) if info is not None and info.leader else []
        return sum(each.current is True for each in followers) == COUNT - 1

    def _duty(self, number: int) -> ChildSpec:
        name, port = f"nats-{number + 1}", self.client_ports[number]
        folder = DataFolder(self.data.folder(name), self.data.lock)
        duty = nats.prepare(folder, self.secrets, port)
        renamed = {str(nats.CONFIGURATION): str(CONFIGURATION)}
        argv = tuple(renamed.get(each, each) for each in duty.program.argv)
        routes = [f"nats://route:{self.route_password}@{HOST}:{each}" for each in self.route_ports]
        env = {
            **duty.program.env,
            "TENANTRY_NATS_NAME": name,
            "TENANTRY_NATS_CLUSTER_HOST": HOST,
            "TENANTRY_NATS_CLUSTER_PORT": str(self.route_ports[number]),
            "TENANTRY_NATS_ROUTES": json.dumps(routes),
            "TENANTRY_NATS_PASSWORD_ROUTE": self.route_password,
            "TENANTRY_NATS_PASSWORD_SYSTEM": self.system_password,
        }
        log = self.data.log(name)
        return replace(duty, program=replace(duty.program, name=name, argv=argv, env=env, log=log))


@asynccontextmanager
async def bare_cluster(folder: Path) -> AsyncIterator[ClusteredServers]:
    """The three servers of NATS alone."""
    with open_data_folder(folder) as data:
        servers = ClusteredServers(data, load_or_create(folder / "secrets.json"))
        try:
            await servers.start_nats()
            yield servers
        finally:
            await servers.stop()
