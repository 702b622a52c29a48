"""The whole stack in order: the servers, then schema and streams, then the five processes.

It stops in the reverse order. The ready file names what runs whenever all of it is ready.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from contracts.topology import SERVICE_NAMES

from tenantry.atomic_file import write_json
from tenantry.data_folder.running import RunningStack, remove_running, save_running
from tenantry.data_folder.secrets import load_or_create
from tenantry.dev import console, services
from tenantry.dev.stream_watchdog import watch_streams
from tenantry.processes.forking import preload
from tenantry.processes.process import run_program
from tenantry.processes.supervisor import Child, run_all
from tenantry.servers import Servers
from tenantry.servers.ports import HOST, claim_port, free_ports

LAST_PORT = 65_535


@dataclass(frozen=True)
class Options:
    port: int
    data: Path
    ready_file: Path | None
    demo: bool
    console: bool
    servers_only: bool = False


@dataclass
class Stack:
    """All processes of a run, and the two files that describe it: running.json and ready file.

    `forks`: this process does nothing else, so those of the product may be forked from it.
    """

    options: Options
    servers: Servers
    forks: bool = False
    children: dict[str, Child] = field(default_factory=dict)
    ready: bool = False

    def __post_init__(self) -> None:
        names = ("edge", "console", *services.MANAGEMENT.values(), *SERVICE_NAMES)
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        if port := self.options.port:
            self.ports["edge"] = port
            if port < LAST_PORT and claim_port(port + 1):
                self.ports["console"] = port + 1
        if not self.options.console:
            del self.ports["console"]
        self.base_url = f"http://{HOST}:{self.ports['edge']}"
        self.console_url = services.console_url(self.ports) if self.options.console else None
        self.servers.listener = self
        self._watchdog: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._remove_files()
        servers = self.servers
        await run_all(
            _timed("PostgreSQL", servers.start_postgres()),
            _timed("NATS", servers.start_nats()),
            self._start_redis(),
            *([self._preload()] if self.forks and not self.options.servers_only else ()),
        )
        self._save_running()
        if self.options.servers_only:
            console.print_servers(servers.data.root)
            return
        await run_all(
            # No process runs yet, of any release.
            _timed("schema", run_program(services.migrate(servers, "--after-rollout"))),
            _timed("streams", run_program(services.bootstrap(servers))),
        )
        await run_all(
            *(_timed(name, self.start_process(name)) for name in self._process_names()),
            *([_timed("demo tenant", self._create_demo_tenant())] if self.options.demo else ()),
        )
        self.ready = True
        self._write_ready_file()
        ports = {name: self.ports[name] for name in SERVICE_NAMES}
        self._watchdog = asyncio.create_task(
            watch_streams(services.bootstrap(servers), services.erase_people(servers), ports)
        )
        api_key = servers.secrets.demo.api_key if self.options.demo else None
        console.print_ready(self.base_url, self._sign_in_url(), servers.data.root, api_key)

    async def stop(self, kill_now: asyncio.Event) -> None:
        self.ready = False
        self._remove_files()
        if self._watchdog is not None:
            self._watchdog.cancel()
            await asyncio.wait({self._watchdog})
        for name in ("console", "edge"):
            if name in self.children:
                await self.children[name].stop(kill_now)
        others = [name for name in self.children if name in SERVICE_NAMES]
        await asyncio.gather(*(self.children[name].stop(kill_now) for name in others))
        await self.servers.stop(kill_now)

    async def start_process(self, name: str) -> None:
        """A service, the edge, or the console."""
        spec = services.child_spec(name, self.servers, self.ports)
        child = self.children[name] = Child(spec, self)
        await child.start()

    def all_children(self) -> dict[str, Child]:
        return {**self.children, **self.servers.children}

    def died(self, name: str, how: str) -> None:
        console.print_death(name, how)

    def recovered(self, name: str, pid: int, seconds: float) -> None:
        console.print_recovery(name, pid, seconds)
        if self.ready and all(child.ready for child in self.all_children().values()):
            try:
                self._write_ready_file()
            except OSError as error:
                console.print_note(f"the ready file could not be written: {error}")

    async def _preload(self) -> None:
        """In a thread that has ended when processes are forked, and that no stop waits for."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def run() -> None:
            try:
                preload(map(services.app_module, self._process_names()))
            finally:  # what cannot be imported is started as a program, and says why in its log
                with suppress(RuntimeError):  # it is stopped
                    loop.call_soon_threadsafe(done.set)

        thread = Thread(target=run, daemon=True)
        thread.start()
        await done.wait()
        thread.join()

    async def _start_redis(self) -> None:
        if self.servers.redis_url is None:
            console.print_note(
                "no Redis found (install valkey-server or redis-server):"
                " limits are counted by the edge alone, and its health says degraded"
            )
        else:
            await _timed("Redis", self.servers.start_redis())

    async def _create_demo_tenant(self) -> None:
        secrets = self.servers.secrets
        await run_program(services.create_demo_tenant(self.servers, self.ports))
        secrets.demo = load_or_create(secrets.path).demo
        if secrets.demo.api_key is None:
            console.print_note("the demo tenant is being deleted: use the operator key")

    def _process_names(self) -> tuple[str, ...]:
        return (*SERVICE_NAMES, "edge", *(["console"] if self.options.console else ()))

    def _sign_in_url(self) -> str | None:
        """The console's address, which signs in as the demo tenant once."""
        if self.console_url is None:
            return None
        try:
            token = self.servers.data.link_file.read_text()
            self.servers.data.link_file.unlink()
        except OSError:
            return self.console_url
        return f"{self.console_url}/sign-in?link={token}"

    def _save_running(self) -> None:
        servers = self.servers
        running = RunningStack(
            url=self.base_url,
            databases={name: servers.database_url(name) for name in SERVICE_NAMES},
            migrations={name: servers.migration_url(name) for name in SERVICE_NAMES},
            nats_admin_url=servers.nats_url("admin"),
            nats_subscriber_url=servers.nats_url("subscriber"),
            redis_url=servers.redis_url,
            console_url=self.console_url,
        )
        save_running(servers.data.root, running)

    def _remove_files(self) -> None:
        remove_running(self.servers.data.root)
        if self.options.ready_file is not None:
            with suppress(OSError):
                self.options.ready_file.unlink()

    def _write_ready_file(self) -> None:
        if self.options.ready_file is None:
            return
        servers, demo = self.servers, self.servers.secrets.demo
        content = {
            "base_url": self.base_url,
            "management_url": f"http://{HOST}:{self.ports[services.MANAGEMENT['edge']]}",
            "console": {"url": self.console_url} if self.console_url else None,
            "operator_key": servers.secrets.operator_key,
            "tenant_id": demo.tenant_id if self.options.demo else None,
            "api_key": demo.api_key if self.options.demo else None,
            "services": {
                name: {"url": f"http://{HOST}:{self.ports[name]}"} for name in SERVICE_NAMES
            },
            "processes": {name: child.pid for name, child in self.all_children().items()},
            "databases": {name: servers.database_url(name) for name in SERVICE_NAMES},
            "nats": {
                "admin_url": servers.nats_url("admin"),
                "subscriber_url": servers.nats_url("subscriber"),
            },
        }
        write_json(self.options.ready_file, content)


async def _timed(name: str, step: Coroutine[Any, Any, None]) -> None:
    started = time.monotonic()
    await step
    console.print_step(name, time.monotonic() - started)
