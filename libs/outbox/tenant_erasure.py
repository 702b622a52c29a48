"""The erasure of a tenant: some rows at a time, so that neither its size nor a restart stops it.

A service notes the request in the transaction of `tenant.deletion_requested`, and records
`tenant.erased` in the transaction that finds nothing left.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from chassis.database import TIME, Connection, Pool
from chassis.statements import PLAN_FOR_ANY_TENANT, Statement, parameters
from contracts.context import Context
from contracts.lifecycle import TenantErased
from sqlalchemy import ColumnElement, Table, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from outbox import dead_letters
from outbox.inbox import ReceivedEvent
from outbox.record import create_message, record
from outbox.tables import OUTBOX

"""How often a service looks for a tenant to erase."""

Step = Callable[[Connection, str], Awaitable[int]]
"""Erases a part of a tenant in one transaction; returns 0 when nothing was left."""


class TenantErasure:
    """The erasures of one service.

    `requests` is its table of tenants that are being erased (`tenant_id`, `request_id`,
    `traceparent`, `requested_at`); if it has a `done_at`, a request stays as a tombstone. `first`
    runs before the rows of `tables` go, in their order; `last` in the final transaction.
    """

    def __init__(
        self,
        service: str,
        requests: Table,
        tables: Sequence[Table],
        *,
        first: Step | None = None,
        last: Sequence[Statement] = (),
        batch: int = 5_000,
    ) -> None:
        self._service = service
        self._first = first
        self._last = last
        columns = [column for column in requests.c if column.name != "done_at"]
        mine = requests.c.tenant_id == bindparam("tenant_id")
        # Across tenants: the oldest request that no other replica works on.
        oldest = select(*columns).order_by(requests.c.requested_at).limit(1)
        done: Statement = Statement(delete(requests).where(mine))
        if "done_at" in requests.c:
            oldest = oldest.where(requests.c.done_at.is_(None))
            done = Statement(
                update(requests).where(mine).values(done_at=bindparam("now", type_=TIME))
            )
        self.REQUEST = Statement(
            insert(requests).values(parameters(columns)).on_conflict_do_nothing()
        )
        self.NEXT = Statement(oldest.with_for_update(skip_locked=True))
        self.DONE = done
        self._batch = batch
        self.STEPS = [delete_some(table, *_conditions(table)) for table in tables]

    async def request(self, conn: Connection, received: ReceivedEvent) -> None:
        """Notes that the tenant of a `tenant.deletion_requested` is to be erased."""
        context = received.context()
        await self.REQUEST.execute(
            conn,
            tenant_id=received.tenant_id,
            request_id=context.request_id,
            traceparent=context.traceparent,
            requested_at=datetime.now(UTC),
        )

    async def run(self, pool: Pool, on_erased: Callable[[], None]) -> None:
        """Erases every tenant that was requested. `on_erased` is called after each one."""
        while (finished := await self._step(pool)) is not None:
            if finished:
                on_erased()

    async def _step(self, pool: Pool) -> bool | None:
        """One transaction; returns whether a tenant is erased with it, None without a request."""
        async with pool.acquire() as conn, conn.transaction():
            row = await self.NEXT.fetch_one(conn)
            if row is None:
                return None
            tenant_id = row["tenant_id"]
            await PLAN_FOR_ANY_TENANT.execute(conn)
            if self._first is not None and await self._first(conn, tenant_id):
                return False
            for step in self.STEPS:
                if await step.execute(conn, tenant_id=tenant_id, at_most=self._batch):
                    return False
            for statement in self._last:
                await statement.execute(conn, tenant_id=tenant_id)
            await dead_letters.purge_tenant(conn, tenant_id)
            await self.DONE.execute(conn, tenant_id=tenant_id, now=datetime.now(UTC))
            context = Context(
                tenant_id=tenant_id, request_id=row["request_id"], traceparent=row["traceparent"]
            )
            erased = create_message(context, TenantErased(), self._service, tenant_id)
            await record(conn, [erased])
        return True


def _conditions(table: Table) -> list[ColumnElement[bool]]:
    """What is not published yet stays until it is."""
    return [table.c.published_at.is_not(None)] if table.name == OUTBOX.name else []


def delete_some(table: Table, *conditions: ColumnElement[bool]) -> Statement:
    """Deletes rows of a tenant (`tenant_id`), `at_most` so many."""
    key = list(table.primary_key.columns)
    mine = table.c.tenant_id == bindparam("tenant_id")
    some = select(*key).where(mine, *conditions).limit(bindparam("at_most"))
    return Statement(delete(table).where(mine, tuple_(*key).in_(some)))
