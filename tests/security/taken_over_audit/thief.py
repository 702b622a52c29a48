"""What whoever has the password of the runtime role of audit does, and what came of it."""

from typing import Any

import asyncpg
from contracts import audit as calls
from support.owner import Owner

REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.CheckViolationError,
    asyncpg.RaiseError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InvalidAuthorizationSpecificationError,
)


async def proof(audit: Owner, tenant: str) -> dict[str, Any]:
    return dict((await audit.call(calls.GET_PROOF, tenant)).body)


async def snapshot(audit: Owner, tenant: str) -> list[Any]:
    """Everything that the proof is about."""
    return [
        await audit.pool.fetch(
            f"SELECT t::text FROM {table} t WHERE tenant_id = $1 ORDER BY 1", tenant
        )
        for table in ("events", "personal", "heads", "marks", "checkpoints")
    ]


async def insert(conn: asyncpg.Connection, *rows: dict[str, Any]) -> None:
    names = list(rows[0])
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await conn.executemany(
        f"INSERT INTO events ({', '.join(names)}) VALUES ({values})",
        [tuple(row.values()) for row in rows],
    )
