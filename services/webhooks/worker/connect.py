"""Where sockets are opened: only to addresses that webhooks may connect to, at every connection.

Names are looked up for each new connection, in threads of our own: a name server that hangs blocks
one thread for each name and delays no other webhook. What is checked is what is connected to.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from aiohappyeyeballs import AddrInfoType, start_connection

from webhooks.rules.address_policy import NOT_ALLOWED, AddressNotAllowedError, check_address

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, in the order to try. Raises OSError."""

LOOKUP_THREADS = 256
MAX_ADDRESSES = 16
"""Of a name; a name server may return thousands."""
NEXT_ADDRESS_SECONDS = 0.25
"""After which the next address is tried as well (RFC 8305)."""

RECEIVE_BUFFER_BYTES = 16 * 1024
"""What the system takes of a receiver before it is read, and so what one read has with TLS."""


class ConnectionNotAllowedError(OSError):
    """No address of the host is one that webhooks may connect to."""


async def open_socket(
    host: str, port: int, lookup: Lookup, *, allow_private: bool
) -> socket.socket:
    """A connected socket. Raises OSError: ConnectionNotAllowedError, or gaierror for a name."""
    found = [host] if _is_address(host) else await lookup(host, port)
    tried = found[:MAX_ADDRESSES]
    allowed = [each for each in tried if _is_allowed(each, allow_private=allow_private)]
    if not allowed:
        raise ConnectionNotAllowedError(NOT_ALLOWED)
    return await start_connection(
        [_address_info(each, port) for each in allowed],
        happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
        socket_factory=_create_socket,
    )


def system_lookup() -> Lookup:
    """The system's resolver, in threads; one look-up at a time of each name.

    A name server that does not respond holds a thread for longer than an attempt takes.
    """
    threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
    running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    def look_up(host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def lookup(host: str, port: int) -> list[str]:
        found = running.get((host, port))
        if found is None:
            loop = asyncio.get_running_loop()
            found = running[host, port] = loop.run_in_executor(threads, look_up, host, port)
            found.add_done_callback(lambda done: _forget(running, (host, port), done))
        return await asyncio.shield(found)

    return lookup


def _forget(
    running: dict[tuple[str, int], asyncio.Future[list[str]]],
    key: tuple[str, int],
    done: asyncio.Future[list[str]],
) -> None:
    del running[key]
    if not done.cancelled():
        done.exception()  # perhaps nobody waits for it any more


def _create_socket(info: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    created = socket.socket(family, kind, protocol)
    created.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return created


def _address_info(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_allowed(address: str, *, allow_private: bool) -> bool:
    try:
        check_address(address, allow_private=allow_private)
    except AddressNotAllowedError:
        return False
    return True
