"""The client of Redis; with TLS, where the URL asks for it, by the certificates of now."""

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis, SSLConnection

from chassis.tls import Tls, tls_of, without_tls


class TlsConnection(SSLConnection):
    """A connection of redis-py keeps the first context that it has made."""

    def __init__(self, *, tls: Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        if not self.is_connected:
            self.ssl_context.context = self._tls.context()
        await super().connect_check_health(*args, **options)


def open_redis(url: str, **options: Any) -> Redis:
    """As `Redis.from_url`, and lazy as that is."""
    tls = tls_of(url)
    if tls is None:
        return Redis.from_url(url, **options)
    plain = urlsplit(without_tls(url))._replace(scheme="redis").geturl()
    pool = ConnectionPool.from_url(plain, connection_class=TlsConnection, tls=tls, **options)
    return Redis.from_pool(pool)
