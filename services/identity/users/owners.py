"""The last owner stays: an organization with an owner who is not suspended keeps such a one.

Whoever takes an owner away (suspends, deletes, removes, demotes) holds the organization's row while
looking for others. The user's row is locked first, then organizations in the order of their ids.
"""

from collections.abc import Mapping
from typing import Any

from chassis.database import ID, Connection
from chassis.statements import Statement
from contracts.problems import Problem
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Exists,
    Select,
    bindparam,
    exists,
    literal_column,
    select,
    true,
)

from identity.tables import MEMBERS, ORGANIZATIONS, USERS

_OTHERS = MEMBERS.alias("others")
_IS_OWNER = (
    MEMBERS.c.tenant_id == bindparam("tenant_id"),
    MEMBERS.c.user_id == bindparam("user_id"),
    MEMBERS.c.role == "owner",
)
_USER = (USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id"))

_lock = select(USERS.c.id).where(*_USER)
LOCK_CANDIDATE = Statement(_lock.with_for_update(read=True, key_share=True))
"""Before the user becomes an owner: waits for whoever suspends or deletes the user."""
LOCK_USER = Statement(_lock.with_for_update())
"""Nobody makes the user an owner until the transaction ends."""
OWNED = select(MEMBERS.c.organization_id).where(*_IS_OWNER)


def lock_organizations(ids: Select[Any] | CompoundSelect[Any]) -> Statement[Any]:
    """In the order of their ids, each looked up alone: one that changed meanwhile is not compared
    with all the others, of which there may be very many.
    """
    of = ids.order_by("organization_id").subquery()
    locked = (
        select(ORGANIZATIONS.c.id)
        .where(
            ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
            ORGANIZATIONS.c.id == of.c.organization_id,
        )
        .with_for_update(key_share=True)
        .lateral()
    )
    return Statement(select(locked.c.id).select_from(of.join(locked, true())))


LOCK_OWNED = lock_organizations(OWNED)


def _active_owner(organization_id: ColumnElement[str], other_than: ColumnElement[str]) -> Exists:
    """Looked up for each organization, and each owner by the key: OFFSET and the inner SELECT keep
    the planner from joining, which without statistics takes minutes for 20,000 of them.
    """
    status = (
        select(USERS.c.status)
        .where(USERS.c.tenant_id == _OTHERS.c.tenant_id, USERS.c.id == _OTHERS.c.user_id)
        .scalar_subquery()
    )
    return exists(
        select(_OTHERS.c.user_id)
        .where(
            _OTHERS.c.tenant_id == bindparam("tenant_id"),
            _OTHERS.c.organization_id == organization_id,
            _OTHERS.c.role == "owner",
            _OTHERS.c.user_id != other_than,
            status == "active",
        )
        .offset(literal_column("0"))
    )


GET_OWNED_ALONE = Statement(
    select(MEMBERS.c.organization_id)
    .where(
        *_IS_OWNER,
        ~_active_owner(MEMBERS.c.organization_id, MEMBERS.c.user_id),
        # Of one that is deleted, memberships may be left.
        exists(
            select(ORGANIZATIONS.c.id)
            .where(
                ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
                ORGANIZATIONS.c.id == MEMBERS.c.organization_id,
            )
            .offset(literal_column("0"))
        ),
    )
    .order_by(MEMBERS.c.organization_id)
    .limit(1)
)
HAS_OTHER = Statement(
    select(_active_owner(bindparam("organization_id", type_=ID), bindparam("user_id", type_=ID)))
)


async def lock_owned(conn: Connection, key: Mapping[str, str]) -> None:
    """Locks the user of this `tenant_id` and `user_id`, and the organizations of which the user is
    an owner.
    """
    await LOCK_USER.fetch_one(conn, **key)
    await LOCK_OWNED.fetch_all(conn, **key)


async def check_owned(conn: Connection, key: Mapping[str, str], advice: str) -> None:
    """Raises Problem (409) if an organization would be left without an owner."""
    organization_id = await GET_OWNED_ALONE.fetch_value(conn, **key)
    if organization_id is not None:
        raise Problem(
            "last_owner", f"The user is the last active owner of {organization_id}. {advice}"
        )


async def check_other(conn: Connection, key: Mapping[str, str]) -> None:
    """Raises Problem (409) if the organization, which is locked, has no other owner."""
    if not await HAS_OTHER.fetch_value(conn, **key):
        raise Problem(
            "last_owner", "The member is the last active owner. Name another owner first."
        )
