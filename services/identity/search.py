"""What `GET /v1/admin/search` finds here: one by its identifier, else users and organizations by
text, those first whose email, username, external id or slug is the text itself.
"""

from typing import Any

from chassis.case_folding import fold_case
from chassis.database import ID, Connection
from chassis.listing import search_pattern
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.ids import is_id
from contracts.models import Body
from contracts.search import MOST_RESULTS, SearchQuery
from sqlalchemy import Text, bindparam, not_, select, union_all

from identity.cascades import (
    IS_INVITATION_DELETED,
    ORGANIZATION_OF_INVITATION,
    USER_OF_SESSION,
)
from identity.organizations import organizations
from identity.tables import (
    INVITATIONS,
    ORGANIZATIONS,
    SESSIONS,
    USERS,
    InvitationRow,
    OrganizationRow,
    UserRow,
)
from identity.users import user_search

_q = bindparam("q", type_=ID)
_USER = (USERS.c.id, USERS.c.email, USERS.c.name)
_ORGANIZATION = (ORGANIZATIONS.c.id, ORGANIZATIONS.c.name, ORGANIZATIONS.c.slug)
GET_USER = Statement(
    select(*_USER).where(USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == _q), UserRow
)
GET_USER_OF_SESSION = Statement(
    select(*_USER)
    .join(SESSIONS, USER_OF_SESSION)
    .where(SESSIONS.c.tenant_id == bindparam("tenant_id"), SESSIONS.c.id == _q),
    UserRow,
)
_mine = USERS.c.tenant_id == bindparam("tenant_id")
_is_same = (
    USERS.c.email_key == fold_case(_q),
    # In the collation of its index, which is that of the column.
    fold_case(USERS.c.username) == fold_case(bindparam("username", type_=Text)),
    USERS.c.external_id == _q,
)
# Each by its own index: asked for at once, any of them, the planner reads all users.
LIST_SAME_USERS = Statement(
    union_all(*(select(*_USER).where(_mine, each) for each in _is_same)),
    UserRow,
)
GET_ORGANIZATION = Statement(
    select(*_ORGANIZATION).where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"), ORGANIZATIONS.c.id == _q
    ),
    OrganizationRow,
)
GET_ORGANIZATION_BY_SLUG = Statement(
    select(*_ORGANIZATION).where(
        ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"), ORGANIZATIONS.c.slug == _q
    ),
    OrganizationRow,
)
GET_INVITATION = Statement(
    select(INVITATIONS.c.id, INVITATIONS.c.organization_id, INVITATIONS.c.email)
    .join(ORGANIZATIONS, ORGANIZATION_OF_INVITATION)
    .where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.id == _q,
        not_(IS_INVITATION_DELETED),
    ),
    InvitationRow,
)


@read_only()
async def search_users(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    q, scope = request.query.q, {"tenant_id": request.tenant}
    if is_id("ses", q):
        rows = await GET_USER_OF_SESSION.fetch_all(conn, **scope, q=q)
        return reply_to(request, {"results": [_session(row, q) for row in rows]})
    if is_id("usr", q):
        rows = await GET_USER.fetch_all(conn, **scope, q=q)
    else:
        rows = await LIST_SAME_USERS.fetch_all(conn, **scope, q=q, username=q)
        found = await user_search.text_filter(conn, request.tenant, q)
        rows += await user_search.LIST.first(conn, scope, found, MOST_RESULTS)
    users = {row.id: _user(row) for row in rows}
    return reply_to(request, {"results": list(users.values())[:MOST_RESULTS]})


@read_only()
async def search_organizations(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    q, scope = request.query.q, {"tenant_id": request.tenant}
    if is_id("inv", q):
        invitations = await GET_INVITATION.fetch_all(conn, **scope, q=q)
        return reply_to(request, {"results": [_invitation(row) for row in invitations]})
    if is_id("org", q):
        rows = await GET_ORGANIZATION.fetch_all(conn, **scope, q=q)
    else:
        rows = await GET_ORGANIZATION_BY_SLUG.fetch_all(conn, **scope, q=q.lower())
        pattern = {"q": search_pattern(q)}
        rows += await organizations.LIST.first(conn, scope, pattern, MOST_RESULTS)
    found = {row.id: _organization(row) for row in rows}
    return reply_to(request, {"results": list(found.values())[:MOST_RESULTS]})


def _user(row: UserRow) -> dict[str, Any]:
    return {
        "type": "user",
        "id": row.id,
        "name": row.email,
        "detail": row.name,
        "path": f"/v1/admin/users/{row.id}",
    }


def _session(row: UserRow, session_id: str) -> dict[str, Any]:
    """A session is shown with its user."""
    return _user(row) | {"type": "session", "id": session_id}


def _organization(row: OrganizationRow) -> dict[str, Any]:
    return {
        "type": "organization",
        "id": row.id,
        "name": row.name,
        "detail": row.slug,
        "path": f"/v1/admin/organizations/{row.id}",
    }


def _invitation(row: InvitationRow) -> dict[str, Any]:
    path = f"/v1/admin/organizations/{row.organization_id}/invitations"
    return {"type": "invitation", "id": row.id, "name": row.email, "detail": None, "path": path}
