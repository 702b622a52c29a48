"""The retention of audit trails, as the owner of the database sets it.

The runtime role can drop no month that is younger, whatever its own settings say.
"""

from audit.tables import RETENTION
from chassis.statements import Statement
from sqlalchemy import bindparam, delete, literal_column
from sqlalchemy.dialects.postgresql import insert

from tenantry.operations.databases import connect

_given = insert(RETENTION).values(is_set=literal_column("true"), days=bindparam("days"))
SET = Statement(
    _given.on_conflict_do_update(index_elements=["is_set"], set_={"days": _given.excluded.days})
)
UNSET = Statement(delete(RETENTION))


async def set_retention(url: str, days: int | None) -> None:
    """`url` names the owner of audit's database; without `days` events are kept for ever."""
    async with connect("audit", url) as conn:
        if days is None:
            await UNSET.execute(conn)
        else:
            await SET.execute(conn, days=days)
