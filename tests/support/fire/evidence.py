"""Where an event got to, read from the services' own tables: what a failure is explained by."""

from typing import Any

import asyncpg
from tenantry.data_folder.secrets import SERVICES

from support.fire.stack import CabledStack
from support.fire.writes import Write

_OUTBOX = """
SELECT event_id, convert_from(payload, 'UTF8')::json->>'type' AS type, position,
       recorded_at::time, published_at::time
  FROM outbox WHERE convert_from(payload, 'UTF8')::json->>'requestid' ~ ('^w' || $1 || '[.]')
 ORDER BY position
"""
_INBOX = "SELECT heard_at::time FROM inbox WHERE event_id = $1"
_DEAD = "SELECT event_id, subject, error, tries FROM dead_letters"


async def way_of(stack: CabledStack, write: Write) -> list[str]:
    """A line for each event that the write recorded: when it was published and heard by whom."""
    lines = []
    for row in [row for service in SERVICES for row in await _ask(stack, service, write)]:
        heard = [
            f"{service} {at[0][0]}"
            for service in ("audit", "webhooks")
            if (at := await _rows(stack, service, _INBOX, row["event_id"]))
        ]
        lines.append(f"{dict(row)}, heard by {', '.join(heard) or 'nobody'}")
    return lines or ["no outbox has an event of it"]


async def dead_letters(stack: CabledStack) -> list[str]:
    """Events that a service gave up."""
    return [
        f"{service}: {dict(row)}"
        for service in SERVICES
        for row in await _rows(stack, service, _DEAD)
    ]


async def _ask(stack: CabledStack, service: str, write: Write) -> list[Any]:
    return await _rows(stack, service, _OUTBOX, str(write.number))


async def _rows(stack: CabledStack, service: str, query: str, *values: Any) -> list[Any]:
    conn = await asyncpg.connect(stack.servers.plain_database_url(service))
    try:
        return list(await conn.fetch(query, *values))
    finally:
        await conn.close()
