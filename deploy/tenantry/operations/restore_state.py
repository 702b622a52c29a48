"""Where a restore stands in a database: written as the database's comment, by its owner.

`restoring ID` until the dump of the backup ID is in, `loaded ID` until all four are and its events
will be published again, then `restored ID`. Until then the role of the service may not connect, and
`tenantry migrate` refuses, so that no process works on a part of a backup.
"""

from dataclasses import dataclass
from enum import Enum

from asyncpg import Connection

from tenantry.errors import CommandFailed
from tenantry.operations.databases import connect

_MARK = "tenantry: {} {}"
_GET = """
SELECT shobj_description(oid, 'pg_database') AS mark,
       EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE nspname !~ '^(pg_|information_schema)' AND relkind IN ('r', 'p', 'v', 'S'))
         AS has_tables,
       (SELECT count(*) FROM pg_stat_activity
         WHERE pg_stat_activity.datname = current_database()
           AND (usename = $1 OR usesysid IN (SELECT member FROM pg_auth_members JOIN pg_roles
                                               ON pg_roles.oid = roleid WHERE rolname = $1)))
         AS sessions
  FROM pg_database WHERE datname = current_database()
"""
_COMMENT = "COMMENT ON DATABASE \"{}\" IS '{}'"
# The database of a service has its name, and so has its role.
_CLOSE = 'REVOKE CONNECT ON DATABASE "{0}" FROM "{0}"'
_OPEN = 'GRANT CONNECT ON DATABASE "{0}" TO "{0}"'


class Content(Enum):
    """What a database has. `OTHER` is anything that is not of this backup."""

    EMPTY = "empty"
    OTHER = "other"
    PART = "restoring"
    LOADED = "loaded"
    RESTORED = "restored"


UNFINISHED = (Content.PART, Content.LOADED)


@dataclass(frozen=True)
class State:
    """`sessions` are those that the service has there, as its role or as a member of it."""

    content: Content
    sessions: int


async def get_state(conn: Connection, service: str, backup_id: str) -> State:
    row = await conn.fetchrow(_GET, service)
    content = _content(row["mark"] or "", backup_id)
    if content is None:
        content = Content.OTHER if row["has_tables"] else Content.EMPTY
    return State(content, row["sessions"])


def _content(mark: str, backup_id: str) -> Content | None:
    """None where the mark says nothing of what is there."""
    for content in (Content.LOADED, Content.RESTORED):
        if mark == _MARK.format(content.value, backup_id):
            return content
    # Of another backup: it is as good as a part.
    is_part = any(mark.startswith(_MARK.format(each.value, "")) for each in UNFINISHED)
    return Content.PART if is_part else None


async def begin(conn: Connection, service: str, backup_id: str) -> None:
    """From now on the service may not connect."""
    async with conn.transaction():
        await _mark(conn, service, Content.PART, backup_id)
        await conn.execute(_CLOSE.format(service))


async def loaded(conn: Connection, service: str, backup_id: str) -> None:
    await _mark(conn, service, Content.LOADED, backup_id)


async def finish(conn: Connection, service: str, backup_id: str) -> None:
    """The service may connect."""
    await _mark(conn, service, Content.RESTORED, backup_id)
    await conn.execute(_OPEN.format(service))


async def _mark(conn: Connection, service: str, content: Content, backup_id: str) -> None:
    await conn.execute(_COMMENT.format(service, _MARK.format(content.value, backup_id)))


async def refuse_unfinished(urls: dict[str, str]) -> None:
    """Raises CommandFailed when a restore was interrupted in one of the databases."""
    for service, url in urls.items():
        async with connect(service, url) as conn:
            if (await get_state(conn, service, "")).content in UNFINISHED:
                raise CommandFailed(
                    f"a restore was interrupted in the database of {service}",
                    "Run the same `tenantry restore` again: it begins where it stopped.",
                    code="restore_interrupted",
                )
