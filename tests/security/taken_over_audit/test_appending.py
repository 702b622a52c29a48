"""Only what continues the chain is appended to a trail."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from security.taken_over_audit.thief import REFUSED, insert, snapshot
from support.owner import Owner
from tenantry.servers import Servers

Forge = Callable[[dict[str, Any]], None]


def set_to(**columns: Any) -> Forge:
    return lambda row: row.update(columns)


FORGED: dict[str, Forge] = {
    "again": lambda row: None,
    "before the others": set_to(sequence=0),
    "in the middle, under another month": set_to(
        sequence=5, filed_at=datetime(2026, 2, 1, tzinfo=UTC)
    ),
    "with a gap": set_to(sequence=12),
    "with another digest": set_to(sequence=11, digest=b"x" * 32),
    "filed in a month that retention drops": set_to(
        sequence=11, filed_at=datetime(1999, 1, 1, tzinfo=UTC)
    ),
    "filed in the future": set_to(sequence=11, filed_at=datetime(2099, 1, 1, tzinfo=UTC)),
    "to a trail without a head": set_to(sequence=1, tenant_id="ten_nobody"),
}


@pytest.fixture
async def months(audit: Owner, servers: Servers) -> AsyncIterator[None]:
    """Of events that are filed where no honest one is."""
    first_days = [date(1999, 1, 1), date(2026, 2, 1), date(2099, 1, 1)]
    await audit.pool.execute("SELECT make_partitions($1)", first_days)
    yield
    owner = await asyncpg.connect(servers.migration_url("audit"))
    await owner.execute("DROP TABLE months.events_1999_01, months.personal_1999_01")
    await owner.close()


@pytest.mark.usefixtures("months")
@pytest.mark.parametrize("what", FORGED)
async def test_only_what_continues_the_chain_is_appended(
    audit: Owner, thief: asyncpg.Connection, trail: str, what: str
) -> None:
    row = dict(
        await thief.fetchrow("SELECT * FROM events WHERE tenant_id = $1 AND sequence = 10", trail)
    )
    FORGED[what](row)
    before = await snapshot(audit, trail)

    async def copy() -> None:
        values = [tuple(row.values())]
        await thief.copy_records_to_table("events", records=values, columns=list(row))

    async def insert_with_head() -> None:
        async with thief.transaction():
            head = "UPDATE heads SET sequence = sequence + 1, digest = $2 WHERE tenant_id = $1"
            await thief.execute(head, trail, row["digest"])
            await insert(thief, row)

    for attempt in (lambda: insert(thief, row), copy, insert_with_head):
        with pytest.raises((*REFUSED, asyncpg.UniqueViolationError)):
            await attempt()
    assert await snapshot(audit, trail) == before


async def test_a_head_does_not_move_ahead_of_its_events(
    audit: Owner, thief: asyncpg.Connection, trail: str
) -> None:
    """The release before sends such a statement beside its events: it has no effect."""
    before = await snapshot(audit, trail)
    await thief.execute("UPDATE heads SET sequence = 99, digest = '' WHERE tenant_id = $1", trail)
    assert await snapshot(audit, trail) == before
