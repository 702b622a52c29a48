"""What is needed of 127.0.0.1: free ports that stay free, and a tiny HTTP client.

Ports lie below the kernel's ephemeral range: inside it, a client that reconnects to a dead server
can be given that server's port as its own and so keep it from coming back.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice

HOST = "127.0.0.1"
BELOW_EPHEMERAL = range(20_000, 32_000)

# Where the search begins differs from process to process: two that start at once must not choose
# the same ports before their servers listen.
_begin = os.getpid() * 16 % len(BELOW_EPHEMERAL)
_candidates = cycle([*BELOW_EPHEMERAL[_begin:], *BELOW_EPHEMERAL[:_begin]])
_claimed: set[int] = set()


def claim(port: int) -> bool:
    """Whether a server can listen on the port; if so, `free_ports` gives it to nobody else."""
    if port in _claimed:
        return False
    with socket.socket() as probe:
        # As servers do, or a port would count as taken while old connections linger in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    _claimed.add(port)
    return True


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on; each is given once by this process."""
    return list(islice(filter(claim, _candidates), count))


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


async def request(
    method: str, port: int, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request over one connection. HTTP/1.0, so that the answer ends where the connection does.

    Raises OSError (TimeoutError among them) when there is no answer within 10 seconds.
    """
    lines = [f"{method} {path} HTTP/1.0", f"Host: {HOST}:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            raw = await reader.read()
        finally:
            writer.close()
    head, _, content = raw.partition(b"\r\n\r\n")
    try:
        return Answer(int(head.split(maxsplit=2)[1]), content)
    except (IndexError, ValueError):
        raise ConnectionError(f"no HTTP answer from port {port}") from None


async def is_ready(port: int) -> bool:
    """Whether the process behind the port says that it can do its work."""
    with suppress(OSError):
        return (await request("GET", port, "/health/ready")).status == 200
    return False
