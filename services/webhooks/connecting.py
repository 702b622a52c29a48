"""The only way out: every address is vetted where it is dialled, names and literals alike.

Names are looked up at each new connection, by threads of our own: a name server that hangs takes a
thread and delays nobody. No proxy, no cookies, no redirects. A connection is used again for a few
seconds at most, less than receivers commonly keep theirs.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import LooseHeaders
from chassis.telemetry import VERSION

from webhooks.addresses import NOT_ALLOWED, Refused, check_address

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, in the order to try. Raises OSError."""

LOOKUPS = 256
KEEP_ALIVE_SECONDS = 4.0
HEADERS: LooseHeaders = {
    "User-Agent": f"Tenantry-Webhooks/{VERSION}",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}


class AddressRefused(OSError):  # noqa: N818
    """The address is one that webhooks may not connect to."""


class VettingResolver(AbstractResolver):
    """Gives the connector only addresses that may be dialled."""

    def __init__(self, lookup: Lookup, *, allow_private: bool) -> None:
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both are taken
    ) -> list[ResolveResult]:
        addresses = await self._lookup(host, port)
        vetted = [each for each in addresses if _allowed(each, allow_private=self._allow_private)]
        if not vetted:
            raise AddressRefused(NOT_ALLOWED)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in vetted
        ]

    async def close(self) -> None:
        """Nothing of its own to close."""


def _allowed(address: str, *, allow_private: bool) -> bool:
    try:
        check_address(address, allow_private=allow_private)
    except Refused:
        return False
    return True


def threaded_lookup() -> Lookup:
    """The system's resolver."""
    threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")

    def look_up(host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def lookup(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, host, port)

    return lookup


def open_session(*, allow_private: bool, lookup: Lookup | None = None) -> aiohttp.ClientSession:
    """The client that every attempt uses."""

    def vetted_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """The last step before the connection: this is the address that is dialled."""
        family, kind, protocol, _, address = info
        if not _allowed(str(address[0]), allow_private=allow_private):
            raise AddressRefused(NOT_ALLOWED)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=VettingResolver(lookup or threaded_lookup(), allow_private=allow_private),
        socket_factory=vetted_socket,
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


def was_refused(error: BaseException) -> bool:
    """Whether an error of the client comes from an address that was refused."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, AddressRefused):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
