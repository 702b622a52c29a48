"""HTTP in a process that has other things to do too: uvicorn without its signal handlers."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn

from chassis.http_protocol import BoundedProtocol, room_for_connections


class HttpServer(uvicorn.Server):
    """Serves an ASGI app inside a running loop until `should_exit` is set.

    `trusted_proxies`: addresses, separated by commas, whose X-Forwarded-For is believed.
    """

    def __init__(self, app: Any, host: str, port: int, trusted_proxies: str = "") -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, most=room_for_connections()),  # type: ignore[arg-type]
                ws="none",
                host=host,
                port=port,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level=logging.WARNING,
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
                backlog=2048,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=trusted_proxies,
            )
        )

    def close_connections(self) -> None:
        """From now on each answer ends its connection: the client's next one goes elsewhere."""
        closing = [(b"connection", b"close")]
        self.config.encoded_headers += closing  # those of every second to come
        self.server_state.default_headers = self.server_state.default_headers + closing
        for each in self.server_state.connections:
            if isinstance(each, BoundedProtocol) and each.cycle is not None:
                each.cycle.keep_alive = False  # its headers are chosen already

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process decides when to stop."""
        yield
