"""FastStream's broker on a connection of our own; the one file that leans on its internals.

FastStream would connect by itself. On that connection a refused reconnect is the last one, and a
reader whose connection is closed for good asks again without pause: nothing else runs (ADR 4).
"""

import logging

from faststream.nats import NatsBroker

from chassis.nats_client import NatsClient


class Broker(NatsBroker):
    """A process has one: routers of subscribers are included in it. `stop` drains the client."""

    def __init__(self, client: NatsClient) -> None:
        super().__init__(logger=logging.getLogger(__name__))
        self._client = client

    async def _connect(self) -> NatsClient:
        self.config.connect(self._client)
        return self._client
