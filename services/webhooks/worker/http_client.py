"""The HTTP client of all attempts: one POST, one answer. No proxy, no cookies, no redirects.

A connection is used again for the same webhook only. One that has ended meanwhile is replaced by a
new one, within the same attempt: so a receiver may get an event twice, as it may anyway.
"""

import asyncio
import ssl
from collections.abc import Mapping

from webhooks.worker.answer import Answer
from webhooks.worker.connect import Lookup, open_socket, system_lookup
from webhooks.worker.connection import Connection
from webhooks.worker.connection_pool import ConnectionPool
from webhooks.worker.request import Target, WebhookRequest, encode_request, parse_target
from webhooks.worker.tls import TlsSession


class HttpClient:
    """One in each process; `tls` is the system's trust unless a test brings its own."""

    def __init__(
        self,
        *,
        allow_private: bool,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._lookup = lookup or system_lookup()
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pool = ConnectionPool()

    async def post(
        self, request: WebhookRequest, headers: Mapping[str, str], answer: Answer
    ) -> None:
        """Sends the request and fills `answer`, as far as it comes; the caller limits the time.

        Raises InvalidAnswerError or OSError.
        """
        target = parse_target(request.url, request.content_type)
        data = encode_request(target, headers, request.body)
        owner = (request.webhook_id, target.scheme, target.host, target.port)
        connection = self._pool.take(owner)
        if connection is None or not await _used_again(connection, data, answer):
            connection = await self._connect(target)
            await connection.exchange(data, answer)
        if connection.is_open:
            self._pool.put(owner, connection)

    def close(self) -> None:
        """Closes idle connections."""
        self._pool.close()

    async def _connect(self, target: Target) -> Connection:
        tls = TlsSession(self._tls, target.host) if target.scheme == "https" else None
        sock = await open_socket(
            target.host, target.port, self._lookup, allow_private=self._allow_private
        )
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._pool.remove, tls), sock=sock
        )
        if tls is not None:
            await connection.start_tls()
        return connection


async def _used_again(connection: Connection, data: bytes, answer: Answer) -> bool:
    """Whether the exchange took place; not if the connection turned out to have ended."""
    try:
        await connection.exchange(data, answer)
    except OSError:
        if answer.has_begun:
            raise
        return False
    return True
