"""HTTP/1.1 by uvicorn, each connection bounded (`chassis.http_protocol`).

Leans on what a running server of uvicorn keeps of its connections and headers, as
`tests/unit/test_library_internals.py` holds.
"""

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

_NO_SNIFF = ("x-content-type-options", "nosniff")


class HttpServer(uvicorn.Server):
    """Serves an ASGI app inside a running loop until `should_exit` is set.

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
