"""A process that talks over NATS. It connects before it starts, and again for ever."""

import asyncio
from collections.abc import Callable

import structlog
from nats.errors import Error as NatsError

from chassis.broker import Broker
from chassis.nats_client import NatsClient, connect
from chassis.process import Process
from chassis.settings import ProcessSettings

log = structlog.get_logger()

PING_SECONDS = 60
"""Longer than a connection lives that answers no ping."""


class App(Process):
    """A process with a connection to NATS, and FastStream's broker on it."""

    def __init__(self, name: str, settings: ProcessSettings, drain_seconds: float = 0) -> None:
        super().__init__(name, drain_seconds)
        self.nats_url = settings.nats_url
        self.nats: NatsClient
        self.broker: Broker
        self.health.add("nats", self._check_nats)
        self._ping: asyncio.Task[None] | None = None
        self._on_reconnect: list[Callable[[], None]] = []

    def on_reconnect(self, then: Callable[[], None]) -> None:
        """Called when NATS is back: messages may have been missed."""
        self._on_reconnect.append(then)

    async def connect(self) -> None:
        self.nats = await connect(self.nats_url, self._reconnected, self._nats_closed)
        self.broker = Broker(self.nats)
        await self.broker.connect()

    async def disconnect(self) -> None:
        try:
            async with asyncio.timeout(3):
                await self.broker.stop()
        except (AttributeError, OSError, NatsError) as error:  # never connected, or not now
            log.warning("nats_not_drained", error=type(error).__name__)

    def _reconnected(self) -> None:
        if self._ping is not None:
            self._ping.cancel()  # its pong went with the old connection
        for then in self._on_reconnect:
            then()

    def _nats_closed(self) -> None:
        """Reconnecting is for ever, so this is the end of a drain or of all hope."""
        if not self.is_stopping:
            log.error("nats_closed")
            self.fail()

    async def _check_nats(self) -> None:
        """One ping at a time, never cancelled: nats-py fails at the pong of a cancelled one."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self.nats.flush(timeout=PING_SECONDS))
        ping = self._ping
        await asyncio.wait({ping})
        if ping.cancelled():
            raise ConnectionResetError
        ping.result()
