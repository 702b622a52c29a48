"""The HTTP client of all attempts: every address is checked where the connection is made.

Names are looked up for each new connection, in threads of our own: a name server that hangs blocks
a thread and delays no other webhook. No proxy, no cookies. A connection is reused for a few seconds
at most, less than receivers commonly keep theirs.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import LooseHeaders
from chassis.telemetry import VERSION

from webhooks.rules.address_policy import NOT_ALLOWED, AddressNotAllowedError, check_address

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, in the order to try. Raises OSError."""

LOOKUP_THREADS = 256
KEEP_ALIVE_SECONDS = 4.0
HEADERS: LooseHeaders = {
    "User-Agent": f"Tenantry-Webhooks/{VERSION}",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}


class ConnectionNotAllowedError(OSError):
    """The address is one that webhooks may not connect to."""


class FilteringResolver(AbstractResolver):
    """Returns only addresses that webhooks may connect to."""

    def __init__(self, lookup: Lookup, *, allow_private: bool) -> None:
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both are used
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        addresses = [each for each in found if _allowed(each, allow_private=self._allow_private)]
        if not addresses:
            raise ConnectionNotAllowedError(NOT_ALLOWED)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def _allowed(address: str, *, allow_private: bool) -> bool:
    try:
        check_address(address, allow_private=allow_private)
    except AddressNotAllowedError:
        return False
    return True


def system_lookup() -> Lookup:
    """The system's resolver, in threads."""
    threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    def look_up(host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def lookup(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, host, port)

    return lookup


def open_session(*, allow_private: bool, lookup: Lookup | None = None) -> aiohttp.ClientSession:
    """The session that every attempt uses."""

    def create_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """The last step before the connection: this is the address that it is made to."""
        family, kind, protocol, _, address = info
        if not _allowed(str(address[0]), allow_private=allow_private):
            raise ConnectionNotAllowedError(NOT_ALLOWED)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=FilteringResolver(lookup or system_lookup(), allow_private=allow_private),
        socket_factory=create_socket,
        use_dns_cache=False,
        limit=0,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


def was_not_allowed(error: BaseException) -> bool:
    """Whether an error of the client comes from an address that is not allowed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionNotAllowedError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
