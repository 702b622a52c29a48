"""HTTP/1.1 by uvicorn, each connection bounded (`chassis.http_protocol`).

Leans on what a running server of uvicorn keeps of its connections and headers, as
`tests/unit/test_library_internals.py` holds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn

from chassis.client_addresses import TrustedProxies
from chassis.client_limits import ClientLimits, Clients, connection_limit
from chassis.http_protocol import BoundedProtocol

TICK_SECONDS = 1.0
_NO_SNIFF = ("x-content-type-options", "nosniff")


class HttpServer(uvicorn.Server):
    """Serves an ASGI app inside a running loop until `stop`.

    `proxies`: whose X-Forwarded-For is believed.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        limits: ClientLimits = ClientLimits(),  # noqa: B008 - frozen
        proxies: TrustedProxies | None = None,
    ) -> None:
        limits = replace(limits, connections=connection_limit(limits.connections))
        clients = Clients(limits, proxies or TrustedProxies())
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, clients=clients),  # type: ignore[arg-type]
                ws="none",
                host=host,
                port=port,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                headers=[_NO_SNIFF],
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
                backlog=2048,
                proxy_headers=False,  # BoundedProtocol reads X-Forwarded-For
            )
        )

        self._woken = asyncio.Event()

    def stop(self) -> None:
        """Takes no more connections, and ends `serve` when the answers are sent."""
        self.should_exit = True
        self._woken.set()

    async def main_loop(self) -> None:
        """As uvicorn's, which wakes ten times a second to see whether it should end; this one wakes
        once, for the date in its headers.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._woken.wait()

    def close_connections(self) -> None:
        """From now on each answer closes its connection: the client's next one goes elsewhere."""
        closing = [(b"connection", b"close")]
        self.config.encoded_headers += closing  # uvicorn makes its headers from them each second
        self.server_state.default_headers = self.server_state.default_headers + closing
        for each in self.server_state.connections:
            if isinstance(each, BoundedProtocol) and each.cycle is not None:
                each.cycle.keep_alive = False  # its headers are chosen already

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process decides when to stop."""
        yield
