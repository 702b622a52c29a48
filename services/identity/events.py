"""What identity hears: a project that is gone, and a tenant that is to be erased."""

from collections.abc import Sequence

from chassis.database import Connection
from chassis.statements import Statement
from outbox.inbox import Heard
from outbox.record import lifecycle, record_all
from sqlalchemy import bindparam, delete

from identity import sessions
from identity.tables import ORGANIZATIONS, USERS

# Members, invitations and sessions go with what they belong to.
ERASE = [
    Statement(delete(table).where(table.c.tenant_id == bindparam("tenant_id")))
    for table in (ORGANIZATIONS, USERS)
]


async def take(conn: Connection, events: Sequence[Heard]) -> None:
    for heard in events:
        if heard.type == "project.deleted":
            await _end_sessions(conn, heard)
        elif heard.type == "tenant.deletion_requested":
            await _erase(conn, heard)


async def _end_sessions(conn: Connection, heard: Heard) -> None:
    project_id = heard.event["subject"]
    ended = await sessions.ended_with_project(conn, heard.context(), project_id)
    await record_all(conn, ended)


async def _erase(conn: Connection, heard: Heard) -> None:
    """Everything of the tenant, and the word that it is done, in one transaction."""
    for statement in ERASE:
        await statement.run(conn, tenant_id=heard.tenant_id)
    erased = lifecycle(heard.context(), "identity", "tenant.erased", heard.tenant_id, {})
    await record_all(conn, [erased])
