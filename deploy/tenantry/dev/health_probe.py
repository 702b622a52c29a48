"""Asks processes of the stack whether they are ready.

A GET by HTTP/1.0 is enough, whose response ends with the connection.
"""

import asyncio
import json
from contextlib import suppress

from tenantry.servers.ports import HOST

TIMEOUT_SECONDS = 10.0


async def is_ready(port: int) -> bool:
    """Whether the process on the port says that it can do its work."""
    with suppress(OSError, ValueError):
        return (await _get(port, "/health/ready"))[0] == 200
    return False


async def failed_checks(port: int) -> list[str]:
    """The names of the checks that keep it from being ready; none when it does not answer."""
    with suppress(OSError, ValueError, KeyError):
        status, body = await _get(port, "/health/ready")
        return list(json.loads(body)["failed"]) if status == 503 else []
    return []


async def count_erased_people(port: int) -> int | None:
    """How many deleted people webhooks has named to the stream; None when it does not answer."""
    with suppress(OSError, ValueError, KeyError):
        _, body = await _get(port, "/health")
        return int(json.loads(body)["checks"]["erasure"]["people"])
    return None


async def _get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body. Raises OSError (TimeoutError among them) or ValueError."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
            response = await reader.read()
        finally:
            writer.close()
    head, _, body = response.partition(b"\r\n\r\n")
    _, status, *_ = head.split(maxsplit=2)
    return int(status), body
