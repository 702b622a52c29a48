"""A service: a process with a database of its own that answers calls."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette

from chassis.idempotency import EXPIRE
from chassis.unit_of_work import UnitOfWork, Routes
from chassis.database import Pool, open_pool
from chassis.app import App, run_main
from chassis.http import HttpServer
from chassis.encryption import Keyring
from chassis.rpc.server import Server
from chassis.settings import ServiceSettings, load
from chassis.telemetry import POOL_SIZE, POOL_USED


class Service(App):
    """One running service: its connections, and what runs in it."""

    def __init__(self, name: str, settings: ServiceSettings, pool: Pool) -> None:
        super().__init__(name, settings)
        self.settings = settings
        self.pool = pool
        self.keys = Keyring(settings)
        self.health.add("database", self._check_database)
        POOL_SIZE.set(pool.get_max_size())
        POOL_USED.set_function(lambda: pool.get_size() - pool.get_idle_size())

    async def answer(self, routes: Routes, after_commit: Callable[[], None]) -> None:
        """Answers the calls of `routes` from now on."""
        server = Server(self.name, UnitOfWork(self.pool, self.keys, after_commit), self.keys)
        await server.start(self.nats, routes, self.health)
        self.on_stop(server.stop)
        self.every(600, "forget_answers", self._forget_answers)

    async def serve(self, start: Callable[["Process"], Awaitable[None]]) -> int:
        """Runs until SIGTERM; answers the exit code."""
        app = Starlette(routes=self.health.routes())
        http = HttpServer(app, self.settings.http_host, self.settings.http_port)
        code = await self.run(http, lambda: start(self))
        self.pool.terminate()
        return code

    async def _forget_answers(self) -> None:
        """Stored answers are kept 24 hours."""
        async with self.pool.acquire() as conn:
            await EXPIRE.execute(conn)

    async def _check_database(self) -> dict[str, Any] | None:
        async with self.pool.acquire() as conn:
            await conn.execute("SELECT 1")
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
