"""`tenantry dev`, in order: the servers, then schema and streams, then the five processes.

Whatever way it ends, all is stopped again, the other way round.
"""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenantry import console, services
from tenantry.datafolder import open_data_folder, write_json
from tenantry.demo import ensure_demo
from tenantry.keys import SERVICES, load_or_make
from tenantry.loopback import HOST, free_ports, is_free
from tenantry.problems import CannotStart, ProgramFailed
from tenantry.process import run_to_end
from tenantry.servers import Servers
from tenantry.supervisor import Child, together

KILLED = 130
"""Exit code after a second Ctrl-C."""


@dataclass(frozen=True)
class Options:
    port: int
    data: Path
    ready_file: Path | None
    demo: bool


def run(options: Options) -> int:
    """The exit code: 0 when stopped on demand."""
    try:
        if options.port and not is_free(options.port):
            raise CannotStart(
                f"port {options.port} is taken: choose another with --port (0 takes any free one)"
            )
        with open_data_folder(options.data) as data:
            console.starting(data.root)
            data.rotate_logs()
            servers = Servers(data, load_or_make(data.root / "secrets.json"))
            return asyncio.run(_run(Stack(options, servers)))
    except CannotStart as problem:
        console.failed(problem)
        return 1


async def _run(stack: "Stack") -> int:
    stop, hurry = _stop_signals()
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what went wrong
        await stopping
        console.stopping()
    except (CannotStart, ProgramFailed) as problem:
        console.failed(problem)
        return 1
    finally:
        begun = time.monotonic()
        starting.cancel()
        with suppress(asyncio.CancelledError, CannotStart, ProgramFailed):
            await starting
        await stack.stop(hurry)
        console.stopped(time.monotonic() - begun)
    return KILLED if hurry.is_set() else 0


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first signal, and by the second."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (hurry if stop.is_set() else stop).set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # `nohup` asks to outlive the terminal
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, heard)
    return stop, hurry


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

    async def start(self) -> None:
        self._forget_ready_file()
        servers = self.servers
        await together(
            _timed("PostgreSQL", servers.start_postgres()),
            _timed("NATS", servers.start_nats()),
            self._start_redis(),
        )
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
        console.ready(
            self.base_url,
            servers.data.root,
            servers.secrets.demo.api_key if self.options.demo else None,
        )

    async def stop(self, hurry: asyncio.Event) -> None:
        self.ready = False
        self._forget_ready_file()
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
            self._write_ready_file()

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
            self.options.ready_file.unlink(missing_ok=True)

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
            "nats": {"admin_url": servers.nats_url("admin")},
        }
        write_json(self.options.ready_file, content)


async def _timed(what: str, step: Coroutine[Any, Any, None]) -> None:
    begun = time.monotonic()
    await step
    console.done(what, time.monotonic() - begun)
