"""The cascades of identity (`outbox.cascade`), and how readers see their effect at once.

Parts of a deleted user or organization have no such row to join any more. Sessions that a cascade
ends, and invitations of a deleted user's addresses, are found by the cascade itself.
"""

from chassis.case_folding import fold_case
from chassis.statements import any_of
from outbox.tables import CASCADES as ALL_CASCADES
from sqlalchemy import (
    ColumnElement,
    Integer,
    Table,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from identity.tables import INVITATIONS, MEMBERS, METADATA, ORGANIZATIONS, SESSIONS, USERS

USER = "user"
"""A deleted user. `detail` is the email; invitations up to `last_id` are deleted."""
ORGANIZATION = "organization"
"""A deleted organization."""
SESSIONS_OF_USER = "sessions"
"""A user whose sessions up to `last_id` are revoked; `detail` is the reason."""
SESSIONS_OF_PROJECT = "project"
"""A deleted project."""

CASCADES = METADATA.tables[ALL_CASCADES.name]


def _is(kind: str) -> ColumnElement[bool]:
    return CASCADES.c.kind == literal_column(f"'{kind}'")


def _exists(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """An index is looked up for each; there is hardly ever a row."""
    return exists().where(*conditions)


IS_SESSION_ENDED = or_(
    _exists(
        CASCADES.c.tenant_id == SESSIONS.c.tenant_id,
        _is(SESSIONS_OF_USER),
        CASCADES.c.resource_id == SESSIONS.c.user_id,
        CASCADES.c.last_id >= SESSIONS.c.id,
    ),
    _exists(
        CASCADES.c.tenant_id == SESSIONS.c.tenant_id,
        _is(SESSIONS_OF_PROJECT),
        CASCADES.c.resource_id == SESSIONS.c.project_id,
    ),
)
"""Whether a cascade revokes the session, which is stored as active until then."""
IS_INVITATION_DELETED = _exists(
    CASCADES.c.tenant_id == INVITATIONS.c.tenant_id,
    _is(USER),
    CASCADES.c.last_id >= INVITATIONS.c.id,
    or_(
        CASCADES.c.resource_id == INVITATIONS.c.user_id,
        fold_case(CASCADES.c.detail) == INVITATIONS.c.email_key,
    ),
)
"""Whether a cascade deletes the invitation."""


def _same(one: Table, other: Table, column: str) -> ColumnElement[bool]:
    return and_(one.c.tenant_id == other.c.tenant_id, one.c.id == other.c[column])


USER_OF_MEMBER = _same(USERS, MEMBERS, "user_id")
ORGANIZATION_OF_MEMBER = _same(ORGANIZATIONS, MEMBERS, "organization_id")
ORGANIZATION_OF_INVITATION = _same(ORGANIZATIONS, INVITATIONS, "organization_id")
USER_OF_SESSION = _same(USERS, SESSIONS, "user_id")

DELETED_USERS = select(CASCADES.c.resource_id).where(
    CASCADES.c.tenant_id == bindparam("tenant_id"), _is(USER)
)
"""The users whose sessions, members and invitations still go."""
_left = (
    select(cast(func.count(), Integer))
    .where(
        MEMBERS.c.tenant_id == ORGANIZATIONS.c.tenant_id,
        MEMBERS.c.organization_id == ORGANIZATIONS.c.id,
        MEMBERS.c.user_id == any_of(DELETED_USERS),
    )
    .correlate(ORGANIZATIONS)
    .scalar_subquery()
)
MEMBER_COUNT = (ORGANIZATIONS.c.member_count - _left).label("member_count")
"""Without the members whose users are deleted already: these are looked up once for a list."""
