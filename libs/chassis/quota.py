"""Quotas: a tenant adds no more than it may, however many requests come at once.

Whoever adds waits for those who add to the same quota; nobody else does.
"""

from typing import Any

from contracts.quotas import QuotaName, quota_exceeded
from contracts.topology import Lock
from sqlalchemy import Select, Text, bindparam, func, select

from chassis.database import Connection
from chassis.statements import Statement

LOCK = Statement(
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(bindparam("owner", type_=Text), Lock.QUOTA.value)
        )
    )
)


class Quota:
    """One quota. `counted` selects the rows that count; it stops at the bound, so a check costs no
    more than the bound is high.
    """

    def __init__(self, name: QuotaName, counted: Select[Any]) -> None:
        self.name = name
        self.COUNT = Statement(
            select(func.count()).select_from(counted.limit(bindparam("bound")).subquery())
        )

    async def check(self, conn: Connection, bound: int, owner: str, **values: Any) -> None:
        """Raises Problem (409) if there are `bound` already. `owner` is the identifier of what has
        them; others who add wait until this transaction ends.
        """
        await LOCK.execute(conn, owner=f"{self.name} {owner}")
        if await self.COUNT.fetch_value(conn, bound=bound, **values) >= bound:
            raise quota_exceeded(self.name, bound)
