"""The plan of every statement of a list: the product's own functions, run on a connection that asks
PostgreSQL to explain what it is given.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from audit import queries
from chassis.database import PLANNING
from chassis.encryption import Keyring
from chassis.request import validate_request
from chassis.settings import ServiceSettings
from contracts.audit import LIST_EVENTS
from contracts.calls import Call
from contracts.context import Context
from contracts.members import LIST_MEMBERS
from contracts.users import LIST_USERS
from identity.organizations import members
from identity.users import user_search
from pydantic import SecretStr

from bench.product import Product

_LISTS: dict[str, tuple[str, Call, Callable[..., Any]]] = {
    "users": ("identity", LIST_USERS, user_search.list_users.function),
    "members": ("identity", LIST_MEMBERS, members.list_members.function),
    "audit": ("audit", LIST_EVENTS, queries.list_events.function),
}
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) "


class _Explaining:
    """A connection that answers, and keeps the plan of each statement."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self.plans: list[str] = []

    async def fetch(self, sql: str, *values: Any, **options: Any) -> list[asyncpg.Record]:
        lines = await self._conn.fetch(_EXPLAIN + sql, *values)
        self.plans.append("\n".join(_executed([line[0] for line in lines])))
        return list(await self._conn.fetch(sql, *values, **options))

    async def prepare(self, sql: str, **options: Any) -> "_Prepared":
        return _Prepared(self, sql, options)

    async def fetchrow(self, sql: str, *values: Any, **options: Any) -> asyncpg.Record | None:
        rows = await self.fetch(sql, *values, **options)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        row = await self.fetchrow(sql, *values)
        return row[0] if row else None


class _Prepared:
    """A statement of an explaining connection, which is planned anew for its values."""

    def __init__(self, conn: _Explaining, sql: str, options: dict[str, Any]) -> None:
        self._conn = conn
        self._sql = sql
        self._options = options

    async def fetch(self, *values: Any) -> list[asyncpg.Record]:
        return await self._conn.fetch(self._sql, *values, **self._options)


def _executed(lines: list[str]) -> list[str]:
    """A plan without the nodes that were never executed: months that were not looked into."""
    kept, below = list[str](), -1
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if 0 <= below < depth:
            continue
        below = depth if "(never executed)" in line else -1
        if below < 0:
            kept.append(line)
    return kept


async def keep(product: Product, folder: Path, asked: list[tuple[str, str, str, str]]) -> None:
    """Writes plans.txt: of each (group, what, tenant, URL) the plans of its statements."""
    text = []
    for group, what, tenant_id, url in asked:
        database, call, function = _LISTS[group]
        settings = _settings(product.environment_of(database))
        # As the service's own role, under its rights and settings.
        conn = await asyncpg.connect(settings.database_url, server_settings=PLANNING)
        explaining = _Explaining(conn)
        parts = urlsplit(url)
        context = Context(
            tenant_id=tenant_id,
            request_id="bench",
            traceparent="",
            query=tuple(parse_qsl(parts.query)),
            path={"id": parts.path.split("/")[4]} if group == "members" else {},
        )
        await function(explaining, validate_request(call, context, b"", Keyring.of(settings)))
        await conn.close()
        head = f"=== {group}: {what}\n    {parts.path}?{parts.query}"
        text += [head, *explaining.plans, ""]
    (folder / "plans.txt").write_text("\n\n".join(text).replace(" \n", "\n").strip() + "\n")


def _settings(environment: dict[str, str]) -> ServiceSettings:
    prefix = "TENANTRY_"
    given = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return ServiceSettings(
        database_url=given["database_url"],
        hash_keys=SecretStr(given["hash_keys"]),
        # Audit has none, and lists of no service need any.
        encryption_keys=SecretStr(given.get("encryption_keys", given["hash_keys"])),
    )
