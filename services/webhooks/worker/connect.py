"""Where sockets are opened: only to addresses that webhooks may connect to, at every connection.

Names are looked up for each new connection, in threads of our own: a name server that hangs blocks
a thread and delays no other webhook. What is checked is the very address that is connected to.
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
    allowed = [each for each in found if _is_allowed(each, allow_private=allow_private)]
    if not allowed:
        raise ConnectionNotAllowedError(NOT_ALLOWED)
    return await start_connection(
        [_address_info(each, port) for each in allowed],
        happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
        socket_factory=_create_socket,
    )


def system_lookup() -> Lookup:
    """The system's resolver, in threads."""
    threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    def look_up(host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def lookup(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, host, port)

    return lookup


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
