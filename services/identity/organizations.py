"""Organizations: created, found, changed, deleted with their memberships and invitations."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.ask import Ask, Reply, answer, json_bytes, stored_json
from chassis.database import TIME, Connection, violated
from chassis.listing import Listing, given
from chassis.patches import apply_patch, check_version, encoded_object
from chassis.statements import Statement, parameters
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.organizations import (
    NewOrganization,
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationPatch,
    OrganizationsQuery,
    OrganizationUpdated,
)
from contracts.problems import Problem, not_found
from outbox.record import event, record_all, recording
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
    recording(
        insert(ORGANIZATIONS)
        .values(parameters([ORGANIZATIONS.c.tenant_id, *_COLUMNS]))
        .returning(ORGANIZATIONS.c.id)
        .cte("changed")
    )
)
FIND = Statement(select(*_COLUMNS).where(*_ONE))
LOCK = Statement(select(*_COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    recording(
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


def _answer(ask: Ask[Any, Any], value: Mapping[str, Any], created: str | None = None) -> Reply:
    """Members come and go without the version: the count tells two answers of one version apart."""
    reply = answer(ask, value, created=created)
    if not value["member_count"]:
        return reply
    return replace(reply, version=f"{value['version']}.{value['member_count']}")


async def create(conn: Connection, ask: Ask[NewOrganization]) -> Reply:
    """One statement, and with an owner a second for the membership."""
    now = datetime.now(UTC)
    new = ask.body
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
    created = event(ask.context, OrganizationCreated, organization_id, {"organization": value})
    try:
        await INSERT.row(conn, tenant_id=ask.tenant, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, str(row["slug"])) from None
    if new.owner_id is not None:
        await joining.make_owner(conn, ask, organization_id, new.owner_id)
    return _answer(ask, value, organization_id)


def _taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    if violated(error) != "organizations_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another organization. Give another.")


async def find(conn: Connection, ask: Ask) -> Reply:
    row = await FIND.row(conn, tenant_id=ask.tenant, id=ask.path["id"])
    if row is None:
        raise not_found()
    return _answer(ask, shown(row))


async def find_all(conn: Connection, ask: Ask[Body, OrganizationsQuery]) -> Reply:
    rows, pagination = await LIST.page(conn, ask, {"tenant_id": ask.tenant}, given(ask.query))
    return answer(ask, {"organizations": [shown(row) for row in rows], "pagination": pagination})


async def change(conn: Connection, ask: Ask[OrganizationPatch]) -> Reply:
    row = await LOCK.row(conn, tenant_id=ask.tenant, id=ask.path["id"])
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    after, changes = apply_patch(row, ask.body.given(), objects=("settings", "metadata"))
    if not changes:
        return _answer(ask, shown(row))
    if after["max_members"] is not None and after["max_members"] < row["member_count"]:
        raise Problem(
            "member_limit_reached",
            f"The organization has {row['member_count']} members. Remove some, or allow more.",
        )
    value = shown(after)
    updated = event(
        ask.context, OrganizationUpdated, row["id"], {"organization": value, "changes": changes}
    )
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.row(conn, tenant_id=ask.tenant, id=row["id"], **values, **updated.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, after["slug"]) from None
    return _answer(ask, value)


async def remove(conn: Connection, ask: Ask[Body, DeleteQuery]) -> Reply:
    """Takes the memberships and the pending invitations with it, each with its event."""
    row = await LOCK.row(conn, tenant_id=ask.tenant, id=ask.path["id"])
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    scope = {"tenant_id": ask.tenant, "id": row["id"]}
    if ask.query.dry_run:
        pending = await PENDING.value(conn, **scope, now=datetime.now(UTC))
        gone = {"memberships": row["member_count"], "invitations": pending}
        return Reply(json_bytes({"would_delete": gone}))
    events = await members.removed_with(conn, ask, row["id"])
    events += await invitations.revoked_with(conn, ask, row["id"])
    await DELETE.run(conn, **scope)
    events.append(event(ask.context, OrganizationDeleted, row["id"], {"organization": shown(row)}))
    await record_all(conn, events)
    return answer(ask)
