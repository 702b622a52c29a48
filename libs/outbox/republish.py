"""Publishing again: fills a stream that lost events; no consumer processes one twice."""

from datetime import datetime

from asyncpg import Connection

_UNPUBLISH = """
UPDATE outbox SET published_at = NULL WHERE recorded_at >= $1 AND published_at IS NOT NULL
"""


async def republish(conn: Connection, since: datetime) -> int:
    """Has the relay publish again, in order, what was recorded since; returns how many events.

    The outbox keeps events for a day. The stream drops those that it got less than two minutes
    ago, each consumer those that took effect there, both by their ids.
    """
    status: str = await conn.execute(_UNPUBLISH, since)
    return int(status.rpartition(" ")[2])
