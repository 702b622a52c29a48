"""Moves the pending entries of the search indexes to their place, soon after they were written.

PostgreSQL appends what is written to a list, and every search reads all of it. Left alone the list
grows to 4 MB, which takes longer to read than all else that a search does.
"""

from chassis.database import Pool
from chassis.statements import Statement
from sqlalchemy import func, select

MERGE_SECONDS = 1.0
MERGE = Statement(select(func.merge_pending_search_entries()))


async def merge_pending(pool: Pool) -> None:
    """One replica does it, whoever comes first; another one waits for it and finds nothing."""
    await MERGE.fetch_value(pool)
