"""The statements that a call runs, as asyncpg's query loggers report them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asyncpg.connection import LoggedQuery
from chassis.database import Pool, open_pool
from chassis.request import Request
from chassis.unit_of_work import Handler
from contracts.calls import Call
from support.owner import Owner


@dataclass
class StatementLog:
    """`prepared` are the statements of the handler's `prepare`, `statements` those after it."""

    prepared: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def add(self, query: LoggedQuery) -> None:
        self.statements.append(query.query)

    def watch(self, handler: Handler) -> Handler:
        """The handler; the log tells the statements of its `prepare` apart."""
        if handler.prepare is None:
            return handler
        prepare = handler.prepare

        async def watched(pool: Pool, request: Request[Any, Any]) -> Any:
            prepared = await prepare(pool, request)
            await self.complete()
            self.prepared, self.statements = self.statements, []
            return prepared

        return replace(handler, prepare=watched)

    async def complete(self) -> None:
        """Asyncpg calls loggers in the next round of the event loop."""
        await asyncio.sleep(0)

    def clear(self) -> None:
        self.prepared, self.statements = [], []

    def is_transaction(self) -> bool:
        """Whether what followed `prepare` was one transaction, committed."""
        begun, committed = self.statements[0], self.statements[-1]
        count = self.statements.count("BEGIN;")
        return (begun, committed, count) == ("BEGIN;", "COMMIT;", 1) and self.has_only_read()

    def is_single_statement(self) -> bool:
        """Whether one statement followed `prepare`."""
        return len(self.statements) == 1 and self.has_only_read()

    def has_only_read(self) -> bool:
        """Whether `prepare` changed nothing."""
        return all(each.startswith("SELECT ") for each in self.prepared)


@asynccontextmanager
async def logged(
    owner: Owner, handlers: Mapping[Call, Handler]
) -> AsyncIterator[tuple[Owner, StatementLog]]:
    """The service on a pool of one connection, whose statements are logged."""
    log = StatementLog()
    pool = await open_pool(owner.settings.database_url, 1)
    try:
        async with pool.acquire() as conn:
            conn.add_query_logger(log.add)
        watched = {call: log.watch(handler) for call, handler in handlers.items()}
        yield Owner(watched, pool, owner.settings), log
    finally:
        await pool.close()
