"""Accepts an invitation: the token alone decides, and it makes one member, however many try.

Projects says before whether the tenant is active, with no connection held. The statement that
closes the invitation checks the token again, so one of several requests succeeds.
"""

from dataclasses import replace
from datetime import UTC, datetime

from chassis.case_folding import fold_case
from chassis.database import ID, TIME, Connection, Pool
from chassis.request import Reply, Request, reply_to
from chassis.rows import changed_row, to_resource
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.context import Context
from contracts.invitations import AcceptInvitation, Invitation, InvitationAccepted
from contracts.problems import Problem
from contracts.users import CreateUser
from outbox.record import create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, exists, not_, select, update

from identity.cascades import IS_INVITATION_DELETED, ORGANIZATION_OF_INVITATION
from identity.organizations.add_member import NewMember, create_member
from identity.organizations.invitations import token_hashes
from identity.organizations.members import LOCK_ORGANIZATION
from identity.projects_client import ProjectsClient
from identity.sessions.sessions import revoke_all_of_user
from identity.tables import INVITATIONS, USERS, InvitationRow, UserRow
from identity.users.users import create_user_if_new

_IS_OPEN = (
    INVITATIONS.c.token_hash == bindparam("token_hash"),
    INVITATIONS.c.status == "pending",
    INVITATIONS.c.expires_at > bindparam("now", type_=TIME),
    not_(IS_INVITATION_DELETED),
    exists().where(ORGANIZATION_OF_INVITATION),
)

# Across tenants: the caller has nothing but the token, and the hash is unique among all tenants.
GET_BY_TOKEN = Statement(
    select(
        INVITATIONS.c.tenant_id,
        INVITATIONS.c.organization_id,
        INVITATIONS.c.token_hash,
        *(INVITATIONS.c[name] for name in Invitation.model_fields),
    ).where(*_IS_OPEN),
    InvitationRow,
)
LOCK_USER_BY_EMAIL = Statement(
    select(USERS.c.id, USERS.c.email, USERS.c.email_verified, USERS.c.name, USERS.c.status)
    .where(
        USERS.c.tenant_id == bindparam("tenant_id"),
        USERS.c.email_key == fold_case(bindparam("email")),
    )
    .with_for_update(read=True, key_share=True),
    UserRow,
)
ACCEPT = Statement(
    with_outbox_entry(
        update(INVITATIONS)
        .where(
            INVITATIONS.c.tenant_id == bindparam("tenant_id"),
            INVITATIONS.c.organization_id == bindparam("organization_id"),
            INVITATIONS.c.id == bindparam("id"),
            *_IS_OPEN,
        )
        .values(
            status="accepted",
            accepted_at=bindparam("now", type_=TIME),
            user_id=bindparam("user_id", type_=ID),
        )
        .returning(INVITATIONS.c.id)
        .cte("changed")
    )
)
"""Updates nothing if the invitation is not open any more."""


async def _get_invitation(
    pool: Pool, request: Request[AcceptInvitation], *, projects: ProjectsClient
) -> InvitationRow:
    """The open invitation of the token, of a tenant that is active."""
    invitation, now = None, datetime.now(UTC)
    for each in token_hashes(request.keyring, request.body.token):
        invitation = invitation or await GET_BY_TOKEN.fetch_one(pool, token_hash=each, now=now)
    if invitation is None:
        raise _closed()
    if not await projects.tenant_exists(request.context, invitation.tenant_id):
        raise _closed()
    return invitation


@transactional(prepare=_get_invitation)
async def accept_invitation(
    conn: Connection, request: Request[AcceptInvitation], invitation: InvitationRow
) -> Reply:
    now, organization_id = datetime.now(UTC), invitation.organization_id
    context = replace(request.context, tenant_id=invitation.tenant_id)
    # Not validated again: the address of an older invitation may break a newer rule.
    new = CreateUser.model_construct(
        email=invitation.email,
        name=request.body.name,
        email_verified=invitation.email_verified,
    )
    user = await _get_or_create_user(conn, context, new, now)
    context.actor_type, context.actor_id = "user", user.id
    await LOCK_ORGANIZATION.fetch_one(
        conn, tenant_id=invitation.tenant_id, organization_id=organization_id
    )
    accepted = changed_row(invitation, status="accepted", accepted_at=now)
    data = {
        "organization_id": organization_id,
        "invitation": to_resource(accepted, Invitation),
        "user_id": user.id,
    }
    entry = create_entry(context, InvitationAccepted, invitation.id, data)
    is_accepted = await ACCEPT.execute(
        conn,
        tenant_id=invitation.tenant_id,
        organization_id=organization_id,
        id=invitation.id,
        token_hash=invitation.token_hash,
        user_id=user.id,
        now=now,
        **entry.parameters(),
    )
    if not is_accepted:
        raise _closed()
    if not user.email_verified:
        # Somebody else may have signed up with this address before its owner was invited.
        await record(conn, await revoke_all_of_user(conn, context, user.id, "revoked"))
    new_member = NewMember(organization_id, user, invitation.role, invitation.permissions)
    member = await create_member(conn, context, new_member)
    return reply_to(request, {"organization_id": organization_id, "member": member})


async def _get_or_create_user(
    conn: Connection, context: Context, new: CreateUser, now: datetime
) -> UserRow:
    """The user of the email, locked; created if there is none."""
    by_email = {"tenant_id": context.tenant(), "email": new.email}
    user = await LOCK_USER_BY_EMAIL.fetch_one(conn, **by_email)
    if user is None:
        await create_user_if_new(conn, context, new, now)
        # Ours, or that of another invitation which was accepted first.
        user = await LOCK_USER_BY_EMAIL.fetch_one(conn, **by_email)
    if user is None:
        raise _closed()  # deleted meanwhile, and its invitations too
    if user.status == "suspended":
        raise Problem("user_suspended", "The user of this email is suspended.")
    return user


def _closed() -> Problem:
    return Problem("invitation_closed", "The invitation is not open any more. Ask for another one.")
