"""Idle connections, each for the webhook and the origin that it was opened for, never for another.

They are kept for a few seconds, less than receivers commonly keep theirs, and within bounds.
"""

import asyncio

from webhooks.rules.window import WIDEST
from webhooks.worker.connection import Connection

Owner = tuple[str, str, str, int]
"""The webhook's id, and the scheme, host and port of its URL."""

IDLE_SECONDS = 4.0
MAX_IDLE = 512
MAX_IDLE_OF_OWNER = WIDEST


class ConnectionPool:
    """The connection that was used last is the first to be used again."""

    def __init__(self) -> None:
        self._by_owner: dict[Owner, list[Connection]] = {}
        self._idle: dict[Connection, tuple[Owner, float]] = {}
        """With the time at which each is closed; the oldest comes first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, owner: Owner) -> Connection | None:
        """An idle connection of the owner, which leaves the pool."""
        connections = self._by_owner.get(owner)
        if not connections:
            return None
        connection = connections[-1]
        self.remove(connection)
        return connection

    def put(self, owner: Owner, connection: Connection) -> None:
        """Keeps a connection that has just become idle."""
        connections = self._by_owner.setdefault(owner, [])
        loop = asyncio.get_running_loop()
        connections.append(connection)
        self._idle[connection] = (owner, loop.time() + IDLE_SECONDS)
        if len(connections) > MAX_IDLE_OF_OWNER:
            connections[0].abort()
        if len(self._idle) > MAX_IDLE:
            next(iter(self._idle)).abort()
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._close_old)

    def remove(self, connection: Connection) -> None:
        """Called for each connection that ends; it may be in use."""
        owner, _ = self._idle.pop(connection, (None, 0.0))
        if owner is None:
            return
        connections = self._by_owner[owner]
        connections.remove(connection)
        if not connections:
            del self._by_owner[owner]

    def close(self) -> None:
        """Closes all of them."""
        for connection in list(self._idle):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_old(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for connection, (_, until) in list(self._idle.items()):
            if until > loop.time():
                self._timer = loop.call_at(until, self._close_old)
                return
            connection.abort()
