"""Whoever has the NATS credentials of one process, and says what the process would not say."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import nats
import psutil
from contracts.ids import new_id
from nats.aio.client import Client
from support.stack import Stack


def nats_url(stack: Stack, process: str) -> str:
    """The address and the credentials of that process, from its environment."""
    return str(psutil.Process(stack.ready["processes"][process]).environ()["TENANTRY_NATS_URL"])


@asynccontextmanager
async def connected_as(stack: Stack, process: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client, and what the server refuses it."""
    refused: list[str] = []

    async def failed(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(
        nats_url(stack, process),
        inbox_prefix=f"_INBOX_{process}".encode(),
        error_cb=failed,
        allow_reconnect=False,
    )
    try:
        yield client, refused
    finally:
        await client.close()


async def publish_raw(stack: Stack, process: str, messages: list[tuple[str, bytes, bytes]]) -> None:
    """Publishes `(subject, header, body)` byte by byte; the header as no client would write it."""
    url = urlsplit(nats_url(stack, process))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    options = {"verbose": False, "headers": True, "user": url.username, "pass": url.password}
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
    for subject, header, body in messages:
        sizes = f"{len(header)} {len(header) + len(body)}"
        writer.write(f"HPUB {subject} {sizes}\r\n".encode() + header + body + b"\r\n")
    writer.write(b"PING\r\n")
    answer = b""
    while b"PONG" not in answer:
        answer = await asyncio.wait_for(reader.readline(), 5)
        assert answer, "the server closed the connection"
        assert not answer.startswith(b"-ERR"), answer
    writer.close()


def envelope(
    event_type: str, source: str, tenant: str, subject: str, **data: Any
) -> dict[str, Any]:
    """A whole event, whoever may publish it."""
    return {
        "specversion": "1.0",
        "id": new_id("evt"),
        "source": f"tenantry/{source}",
        "type": event_type,
        "subject": subject,
        "time": "2026-01-15T10:00:00Z",
        "datacontenttype": "application/json",
        "tenantid": tenant,
        "actortype": "operator",
        "actorid": None,
        "requestid": "req_forged",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": data,
    }
