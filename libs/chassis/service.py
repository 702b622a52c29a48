"""A service: a process with its own database that answers calls."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from contracts.calls import Call
from starlette.applications import Starlette

from chassis.app import App
from chassis.database import Pool, open_pool
from chassis.encryption import Keyring
from chassis.http_server import HttpServer
from chassis.idempotency import PURGE
from chassis.process import run_main
from chassis.purge import purge
from chassis.replica import LOOK_SECONDS, Replica
from chassis.rpc.server import Server
from chassis.settings import ServiceSettings, load
from chassis.telemetry import POOL_SIZE, POOL_USED
from chassis.unit_of_work import Handler, UnitOfWork

RESERVED_CONNECTIONS = 4
"""Beside those of the pool, for handlers that never wait for others."""
BUSY_SECONDS = 0.2
IDLE_SECONDS = 10.0


class Service(App):
    """One running service: its connections, and what runs in it."""

    def __init__(self, name: str, settings: ServiceSettings, pool: Pool) -> None:
        super().__init__(name, settings)
        self.settings = settings
        self.pool = pool
        self._pools = [pool]
        self._on_commit: list[Callable[[], None]] = []
        self.keyring = Keyring.of(settings)
        self.health.add("database", self._check_database)
        POOL_SIZE.set(pool.get_max_size())
        POOL_USED.set_function(lambda: pool.get_size() - pool.get_idle_size())

    def on_commit(self, wake: Callable[[], None]) -> None:
        """`wake` is called whenever something was `committed` that may be work for somebody."""
        self._on_commit.append(wake)

    def committed(self) -> None:
        """Called after every commit of a write in this process."""
        for wake in self._on_commit:
            wake()

    def after_commits(
        self, name: str, step: Callable[[], Awaitable[object]], seconds: float = BUSY_SECONDS
    ) -> None:
        """Runs `step` at the start and soon after a commit, but not again within so many `seconds`.
        Without a commit it runs every IDLE_SECONDS: another replica may have left work, and died. A
        step that fails is tried again as soon as after a commit.
        """
        woken = asyncio.Event()
        self.on_commit(woken.set)

        async def run() -> None:
            woken.clear()
            try:
                await step()
            except BaseException:
                woken.set()
                raise

        async def pause() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await woken.wait()

        self.repeat(name, run, pause, at_once=True)

    async def serve_calls(self, handlers: Mapping[Call, Handler]) -> None:
        """Answers these calls from now on."""
        reserved = await open_pool(self.settings.database_url, RESERVED_CONNECTIONS)
        self._pools.append(reserved)
        replica = await self._open_replica(reserved)
        unit_of_work = UnitOfWork(self.pool, self.keyring, self.committed, reserved, replica)
        server = Server(self.name, unit_of_work, self.keyring)
        await server.start(self.nats, handlers, self.health)
        self.on_stop(server.stop)
        self.every(600, "purge_idempotency", self._purge_idempotency)

    async def _open_replica(self, primary: Pool) -> Replica | None:
        """None where no setting names one."""
        url, size = self.settings.replica_url, self.settings.database_pool
        if not url:
            return None
        pool, watch = await open_pool(url, size), await open_pool(url, 1)
        self._pools += [pool, watch]
        replica = Replica(pool, watch, primary, self.settings.replica_max_lag_seconds)
        self.health.add("replica", replica.check, needed=False)
        self.every(LOOK_SECONDS, "look_at_replica", replica.look, at_once=True)
        return replica

    async def serve(self, start: Callable[["Service"], Awaitable[None]]) -> int:
        """Runs until SIGTERM; returns the exit code."""
        app = Starlette(routes=self.health.management_routes())
        http = HttpServer(app, self.settings.http_host, self.settings.http_port)
        code = await self.run(http, lambda: start(self))
        for pool in self._pools:
            pool.terminate()
        return code

    async def _purge_idempotency(self) -> None:
        """Stored replies are kept 24 hours."""
        await purge(self.pool, PURGE)

    async def _check_database(self) -> dict[str, Any] | None:
        await self.pool.execute("SELECT 1")
        return None


def run_service(
    name: str,
    start: Callable[[Service], Awaitable[None]],
    settings: type[ServiceSettings] = ServiceSettings,
) -> None:
    """The main function of a service: `python -m <name>`."""
    loaded = load(settings)

    async def main() -> int:
        pool = await open_pool(loaded.database_url, loaded.database_pool)
        return await Service(name, loaded, pool).serve(start)

    run_main(name, loaded.log_level, main)
