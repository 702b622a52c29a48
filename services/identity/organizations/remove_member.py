"""Removes a member. What the person could still accept is revoked: an older invitation must not
bring a removed member back.
"""

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from outbox.record import record, with_outbox_entry
from sqlalchemy import bindparam, delete, update

from identity.organizations.invitations import revoke_pending_of_email
from identity.organizations.members import (
    IS_MEMBER,
    key_of,
    lock_member,
)
from identity.removal_events import create_removed_entry
from identity.tables import MEMBERS, ORGANIZATIONS
from identity.users import owners

_removed = delete(MEMBERS).where(*IS_MEMBER).returning(MEMBERS.c.organization_id).cte("removed")
_counted = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == _removed.c.organization_id,
    )
    .values(member_count=ORGANIZATIONS.c.member_count - 1)
    .cte("counted")
)
DELETE = Statement(with_outbox_entry(_removed).add_cte(_counted))


@transactional()
async def remove_member(conn: Connection, request: Request) -> Reply:
    key = key_of(request)
    member = await lock_member(conn, key)
    if member.role == "owner":
        await owners.check_other(conn, key)
    entry = create_removed_entry(request.context, member.user_id, member)
    await DELETE.execute(conn, **key, **entry.parameters())
    revoked = await revoke_pending_of_email(
        conn, request.context, member.organization_id, member.email
    )
    await record(conn, revoked)
    return reply_to(request)
