"""The whole stack in order: the servers, then schema and streams, then the five processes.

It is stopped the other way round. The ready file names what runs whenever all of it is ready; while
it runs, streams that vanish are made again.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenantry import console, running, services
from tenantry.datafolder import write_json
from tenantry.demo import ensure_demo
from tenantry.keys import SERVICES
from tenantry.loopback import HOST, free_ports
from tenantry.mending import keep_streams
from tenantry.process import run_to_end
from tenantry.servers import Servers
from tenantry.supervisor import Child, together


@dataclass(frozen=True)
class Options:
    port: int
    data: Path
    ready_file: Path | None
    demo: bool


@dataclass
class Stack:
    """All processes of a run, and the ready file that tells of them."""

    options: Options
    servers: Servers
    children: dict[str, Child] = field(default_factory=dict)
    ready: bool = False

    def __post_init__(self) -> None:
        edge, *others = free_ports(1 + len(SERVICES))
        self.ports = {"edge": self.options.port or edge, **dict(zip(SERVICES, others, strict=True))}
        self.base_url = f"http://{HOST}:{self.ports['edge']}"
        self.servers.listener = self
        self._mending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._forget_ready_file()
        running.forget(self.servers.data.root)
        servers = self.servers
        await together(
            _timed("PostgreSQL", servers.start_postgres()),
            _timed("NATS", servers.start_nats()),
            self._start_redis(),
        )
        running.tell(servers, self.base_url)
        await together(
            _timed("schema", run_to_end(services.migration(servers))),
            _timed("streams", run_to_end(services.bootstrap(servers))),
        )
        await together(*(_timed(name, self._start_process(name)) for name in (*SERVICES, "edge")))
        if self.options.demo and (
            problem := await ensure_demo(self.ports["edge"], servers.secrets)
        ):
            console.note(problem)
        self.ready = True
        self._write_ready_file()
        self._mending = asyncio.create_task(
            keep_streams(services.bootstrap(servers), {name: self.ports[name] for name in SERVICES})
        )
        console.ready(
            self.base_url,
            servers.data.root,
            servers.secrets.demo.api_key if self.options.demo else None,
        )

    async def stop(self, hurry: asyncio.Event) -> None:
        self.ready = False
        self._forget_ready_file()
        running.forget(self.servers.data.root)
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait({self._mending})
        if "edge" in self.children:
            await self.children["edge"].stop(hurry)
        await asyncio.gather(
            *(child.stop(hurry) for name, child in self.children.items() if name != "edge")
        )
        await self.servers.stop(hurry)

    def died(self, name: str, how: str) -> None:
        console.died(name, how)

    def recovered(self, name: str, pid: int, seconds: float) -> None:
        console.recovered(name, pid, seconds)
        if self.ready and all(child.ready for child in self._all().values()):
            try:
                self._write_ready_file()
            except OSError as error:
                console.note(f"the ready file could not be written: {error}")

    async def _start_redis(self) -> None:
        if self.servers.redis_url is None:
            console.note(
                "no Redis found: limits are counted by the edge alone, and its health says degraded"
            )
        else:
            await _timed("Redis", self.servers.start_redis())

    async def _start_process(self, name: str) -> None:
        child = self.children[name] = Child(
            services.duty_of(name, self.servers, self.ports[name]), self
        )
        await child.start()

    def _all(self) -> dict[str, Child]:
        return {**self.children, **self.servers.children}

    def _forget_ready_file(self) -> None:
        if self.options.ready_file is not None:
            with suppress(OSError):
                self.options.ready_file.unlink()

    def _write_ready_file(self) -> None:
        if self.options.ready_file is None:
            return
        servers, demo = self.servers, self.servers.secrets.demo
        content = {
            "base_url": self.base_url,
            "operator_key": servers.secrets.operator_key,
            "tenant_id": demo.tenant_id if self.options.demo else None,
            "api_key": demo.api_key if self.options.demo else None,
            "services": {name: {"url": f"http://{HOST}:{self.ports[name]}"} for name in SERVICES},
            "processes": {name: child.pid for name, child in self._all().items()},
            "databases": {name: servers.database_url(name) for name in SERVICES},
            "nats": {
                "admin_url": servers.nats_url("admin"),
                "subscriber_url": servers.nats_url("subscriber"),
            },
        }
        write_json(self.options.ready_file, content)


async def _timed(what: str, step: Coroutine[Any, Any, None]) -> None:
    begun = time.monotonic()
    await step
    console.done(what, time.monotonic() - begun)
