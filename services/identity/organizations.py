"""Organizations: created, found, changed, deleted with their memberships and invitations."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.database import TIME, Connection, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version, encoded_object
from chassis.request import Reply, Request, json_bytes, reply_to, stored_json
from chassis.statements import Statement, parameters
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.organizations import (
    CreateOrganization,
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationsQuery,
    OrganizationUpdated,
    UpdateOrganization,
)
from contracts.problems import Problem, not_found
from outbox.record import create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from identity import invitations, joining, members, tallies
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS

_COLUMNS = [column for column in ORGANIZATIONS.c if column.name not in ("tenant_id", "search")]
_CHANGEABLE = [
    column for column in _COLUMNS if column.name not in ("id", "member_count", "created_at")
]
_ONE = (
    ORGANIZATIONS.c.tenant_id == bindparam("tenant_id"),
    ORGANIZATIONS.c.id == bindparam("id"),
)

INSERT = Statement(
    with_outbox_entry(
        insert(ORGANIZATIONS)
        .values(parameters([ORGANIZATIONS.c.tenant_id, *_COLUMNS]))
        .returning(ORGANIZATIONS.c.id)
        .cte("changed")
    )
)
FIND = Statement(select(*_COLUMNS).where(*_ONE))
LOCK = Statement(select(*_COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    with_outbox_entry(
        update(ORGANIZATIONS)
        .where(*_ONE)
        .values(parameters(_CHANGEABLE, "new_"))
        .returning(ORGANIZATIONS.c.id)
        .cte("changed")
    )
)
DELETE = Statement(delete(ORGANIZATIONS).where(*_ONE))
PENDING = Statement(
    select(func.count()).where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.organization_id == bindparam("id"),
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at > bindparam("now", type_=TIME),
    )
)

LIST = Listing(
    source=ORGANIZATIONS,
    columns=_COLUMNS,
    key=ORGANIZATIONS.c.id,
    scope={"tenant_id": ORGANIZATIONS.c.tenant_id},
    sorts={"name": ORGANIZATIONS.c.name.collate("C")},
    filters={
        "q": ORGANIZATIONS.c.search.like,
        "user_id": lambda user_id: exists().where(
            MEMBERS.c.tenant_id == ORGANIZATIONS.c.tenant_id,
            MEMBERS.c.organization_id == ORGANIZATIONS.c.id,
            MEMBERS.c.user_id == user_id,
        ),
    },
    totals={(): tallies.total(tallies.ORGANIZATIONS)},
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The organization as the contract shows it."""
    return {
        **row,
        "settings": stored_json(row["settings"]),
        "metadata": stored_json(row["metadata"]),
    }


def _answer(
    request: Request[Any, Any], value: Mapping[str, Any], created: str | None = None
) -> Reply:
    """Members come and go without the version: the count tells two answers of one version apart."""
    reply = reply_to(request, value, created=created)
    if not value["member_count"]:
        return reply
    return replace(reply, version=f"{value['version']}.{value['member_count']}")


async def create(conn: Connection, request: Request[CreateOrganization]) -> Reply:
    """One statement, and with an owner a second for the membership."""
    now = datetime.now(UTC)
    new = request.body
    organization_id = new_id("org")
    settings = encoded_object(new.settings, "settings")
    metadata = encoded_object(new.metadata, "metadata")
    row = {
        "id": organization_id,
        "name": new.name,
        "slug": new.slug or slug_from(new.name, organization_id.replace("_", "-")),
        "logo_url": new.logo_url,
        "settings": settings,
        "metadata": metadata,
        "max_members": new.max_members,
        "member_count": 0 if new.owner_id is None else 1,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    value = {**row, "settings": stored_json(settings), "metadata": stored_json(metadata)}
    created = create_entry(
        request.context, OrganizationCreated, organization_id, {"organization": value}
    )
    try:
        await INSERT.fetch_one(conn, tenant_id=request.tenant, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, str(row["slug"])) from None
    if new.owner_id is not None:
        await joining.make_owner(conn, request, organization_id, new.owner_id)
    return _answer(request, value, organization_id)


def _taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    if violated(error) != "organizations_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another organization. Give another.")


async def find(conn: Connection, request: Request) -> Reply:
    row = await FIND.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    return _answer(request, shown(row))


async def find_all(conn: Connection, request: Request[Body, OrganizationsQuery]) -> Reply:
    rows, pagination = await LIST.page(
        conn, request, {"tenant_id": request.tenant}, filters_of(request.query)
    )
    return reply_to(
        request, {"organizations": [shown(row) for row in rows], "pagination": pagination}
    )


async def change(conn: Connection, request: Request[UpdateOrganization]) -> Reply:
    row = await LOCK.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    after, changes = apply_patch(row, request.body.given(), objects=("settings", "metadata"))
    if not changes:
        return _answer(request, shown(row))
    if after["max_members"] is not None and after["max_members"] < row["member_count"]:
        raise Problem(
            "member_limit_reached",
            f"The organization has {row['member_count']} members. Remove some, or allow more.",
        )
    value = shown(after)
    updated = create_entry(
        request.context, OrganizationUpdated, row["id"], {"organization": value, "changes": changes}
    )
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.fetch_one(
            conn, tenant_id=request.tenant, id=row["id"], **values, **updated.parameters()
        )
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, after["slug"]) from None
    return _answer(request, value)


async def remove(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Takes the memberships and the pending invitations with it, each with its event."""
    row = await LOCK.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    scope = {"tenant_id": request.tenant, "id": row["id"]}
    if request.query.dry_run:
        pending = await PENDING.fetch_value(conn, **scope, now=datetime.now(UTC))
        gone = {"memberships": row["member_count"], "invitations": pending}
        return Reply(json_bytes({"would_delete": gone}))
    events = await members.removed_with(conn, request, row["id"])
    events += await invitations.revoked_with(conn, request, row["id"])
    await DELETE.execute(conn, **scope)
    events.append(
        create_entry(request.context, OrganizationDeleted, row["id"], {"organization": shown(row)})
    )
    await record(conn, events)
    return reply_to(request)
