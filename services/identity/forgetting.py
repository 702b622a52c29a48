"""Users who go: erased with their sessions, their memberships and what they were invited to.

Who deletes takes the user's row first and then those of the organizations, in the order of their
ids: nobody joins meanwhile, and two deletions never wait for each other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from chassis.merge_patch import check_version
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.statements import Statement
from contracts.invitations import Invitation, InvitationRevoked
from contracts.models import Body
from contracts.problems import Problem, not_found
from contracts.users import DeleteUserQuery, UserDeleted
from outbox.record import OutboxEntry, create_entry, record
from sqlalchemy import bindparam, delete, exists, func, select, update

from identity import members, sessions
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, USERS

_ONE = (USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))
_MEMBERSHIPS = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.user_id == bindparam("user_id"),
)
_INVITED = (
    INVITATIONS.c.tenant_id == bindparam("tenant_id"),
    INVITATIONS.c.email_key == func.lower(bindparam("email")),
)
_OTHERS = MEMBERS.alias("others")

FIND = Statement(select(USERS.c.email, USERS.c.version).where(*_ONE))
LOCK = Statement(select(USERS.c.email, USERS.c.version).where(*_ONE).with_for_update())
LOCK_ORGANIZATIONS = Statement(
    select(ORGANIZATIONS.c.id)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id.in_(select(MEMBERS.c.organization_id).where(*_MEMBERSHIPS)),
    )
    .order_by(ORGANIZATIONS.c.id)
    .with_for_update(key_share=True)
)
OWNED_ALONE = Statement(
    select(MEMBERS.c.organization_id)
    .where(
        *_MEMBERSHIPS,
        MEMBERS.c.role == "owner",
        ~exists().where(
            _OTHERS.c.tenant_id == MEMBERS.c.tenant_id,
            _OTHERS.c.organization_id == MEMBERS.c.organization_id,
            _OTHERS.c.role == "owner",
            _OTHERS.c.user_id != MEMBERS.c.user_id,
        ),
    )
    .order_by(MEMBERS.c.organization_id)
    .limit(1)
)
_left = (
    delete(MEMBERS)
    .where(*_MEMBERSHIPS)
    .returning(MEMBERS.c.organization_id, MEMBERS.c.user_id, MEMBERS.c.role)
    .cte("gone")
)
_counted = (
    update(ORGANIZATIONS)
    .where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
        ORGANIZATIONS.c.id == _left.c.organization_id,
    )
    .values(member_count=ORGANIZATIONS.c.member_count - 1)
    .cte("counted")
)
LEAVE_ALL = Statement(select(_left).add_cte(_counted))
# Closed ones too: the person's email stands in them.
ERASE_INVITATIONS = Statement(
    delete(INVITATIONS)
    .where(*_INVITED)
    .returning(*(INVITATIONS.c[name] for name in ("organization_id", *Invitation.model_fields)))
)
ERASE = Statement(delete(USERS).where(*_ONE))
COUNT_MEMBERSHIPS = Statement(select(func.count()).select_from(MEMBERS).where(*_MEMBERSHIPS))
COUNT_INVITATIONS = Statement(
    select(func.count())
    .select_from(INVITATIONS)
    .where(
        *_INVITED, INVITATIONS.c.status == "pending", INVITATIONS.c.expires_at > bindparam("now")
    )
)


async def remove(conn: Connection, request: Request[Body, DeleteUserQuery]) -> Reply:
    """Each membership, live session and pending invitation ends with its event; the user's has
    the identifier only.
    """
    scope = {"tenant_id": request.tenant, "user_id": request.path["id"]}
    if request.query.dry_run:
        return await _preview(conn, request, scope)
    row = await LOCK.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    await LOCK_ORGANIZATIONS.fetch_all(conn, **scope)
    if not request.query.force:
        await _keep_owners(conn, scope)
    left = sorted(await LEAVE_ALL.fetch_all(conn, **scope))
    events = [members.removed(request.context, each) for each in left]
    events += await sessions.ended(conn, request.context, scope["user_id"], "user_deleted")
    events += await _uninvited(conn, request, row["email"])
    await ERASE.execute(conn, **scope)
    gone = {"user_id": scope["user_id"]}
    events.append(create_entry(request.context, UserDeleted, scope["user_id"], gone))
    await record(conn, events)
    return reply_to(request)


async def _preview(conn: Connection, request: Request[Any, Any], scope: Mapping[str, str]) -> Reply:
    row = await FIND.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    now = datetime.now(UTC)
    would_delete = {
        "memberships": await COUNT_MEMBERSHIPS.fetch_value(conn, **scope),
        "sessions": await sessions.COUNT_LIVE.fetch_value(conn, **scope, now=now),
        "invitations": await COUNT_INVITATIONS.fetch_value(
            conn, **scope, email=row["email"], now=now
        ),
    }
    return Reply(json_bytes({"would_delete": would_delete}))


async def _keep_owners(conn: Connection, scope: Mapping[str, str]) -> None:
    organization_id = await OWNED_ALONE.fetch_value(conn, **scope)
    if organization_id is not None:
        raise Problem(
            "last_owner",
            f"The user is the last owner of {organization_id}. Name another owner first, "
            "or repeat with force=true.",
        )


async def _uninvited(conn: Connection, request: Request[Any, Any], email: str) -> list[OutboxEntry]:
    """What was pending reads as revoked once more, and is gone."""
    now = datetime.now(UTC)
    rows = await ERASE_INVITATIONS.fetch_all(conn, tenant_id=request.tenant, email=email)
    events = []
    for row in sorted(rows, key=lambda each: str(each["id"])):
        shown = {**row, "status": "revoked"}
        data = {"organization_id": shown.pop("organization_id"), "invitation": shown}
        if row["status"] == "pending" and row["expires_at"] > now:
            events.append(create_entry(request.context, InvitationRevoked, row["id"], data))
    return events
