"""Organizations: created, listed, updated, deleted with their members and invitations."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from chassis.case_folding import fold_search
from chassis.database import TIME, Connection, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, encoded_object
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.rows import new_row
from chassis.statements import Statement
from chassis.unit_of_work import read_only, single_statement, transactional
from contracts.context import Context
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.organizations import (
    CreateOrganization,
    Organization,
    OrganizationCreated,
    OrganizationDeleted,
    OrganizationsQuery,
    OrganizationUpdated,
    UpdateOrganization,
)
from contracts.problems import Problem
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.crud import Crud
from outbox.record import OutboxEntry, create_entry, record
from sqlalchemy import bindparam, exists, func, not_, select

from identity.cascades import (
    IS_INVITATION_DELETED,
    MEMBER_COUNT,
    ORGANIZATION,
    USER_OF_MEMBER,
)
from identity.counters import COUNT_ORGANIZATIONS
from identity.organizations import invitations, members
from identity.organizations.add_member import create_owner
from identity.removal_events import create_revoked_entries
from identity.tables import INVITATIONS, MEMBERS, ORGANIZATIONS, OrganizationRow

CRUD = Crud(
    OrganizationRow,
    Organization,
    fixed={"member_count", "created_at"},
    locks_key=True,
    read_as={"member_count": MEMBER_COUNT},
)
COUNT_PENDING_INVITATIONS = Statement(
    select(func.count()).where(
        INVITATIONS.c.tenant_id == bindparam("tenant_id"),
        INVITATIONS.c.organization_id == bindparam("organization_id"),
        INVITATIONS.c.status == "pending",
        INVITATIONS.c.expires_at > bindparam("now", type_=TIME),
        not_(IS_INVITATION_DELETED),
    )
)
_SHOWN = {name: ORGANIZATIONS.c[name] for name in Organization.model_fields} | {
    "member_count": MEMBER_COUNT
}
LIST = Listing(
    row=OrganizationRow,
    source=ORGANIZATIONS,
    columns=list(_SHOWN.values()),
    shown=_SHOWN,
    key=ORGANIZATIONS.c.id,
    scope={"tenant_id": ORGANIZATIONS.c.tenant_id},
    sorts={"name": ORGANIZATIONS.c.name.collate("C")},
    filters={
        "q": lambda pattern: ORGANIZATIONS.c.search.like(fold_search(pattern)),
        "user_id": lambda user_id: exists().where(
            MEMBERS.c.tenant_id == ORGANIZATIONS.c.tenant_id,
            MEMBERS.c.organization_id == ORGANIZATIONS.c.id,
            MEMBERS.c.user_id == user_id,
            USER_OF_MEMBER,
        ),
    },
    totals={(): COUNT_ORGANIZATIONS},
)


def _reply(
    request: Request[Any, Any], organization: Mapping[str, Any], created: str | None = None
) -> Reply:
    """The version does not change with the members: the ETag has their number too."""
    reply = reply_to(request, organization, created=created)
    if not organization["member_count"]:
        return reply
    return replace(reply, version=f"{organization['version']}.{organization['member_count']}")


@single_statement(when=lambda new, _: new.owner_id is None)
async def create_organization(conn: Connection, request: Request[CreateOrganization]) -> Reply:
    """An owner becomes a member by two more statements."""
    new, now, organization_id = request.body, datetime.now(UTC), new_id("org")
    row = new_row(
        OrganizationRow,
        tenant_id=request.tenant,
        id=organization_id,
        name=new.name,
        slug=new.slug or slug_from(new.name, organization_id.replace("_", "-")),
        logo_url=new.logo_url,
        settings=encoded_object(new.settings, "settings"),
        metadata_=encoded_object(new.metadata, "metadata"),
        max_members=new.max_members,
        member_count=0 if new.owner_id is None else 1,
        version=1,
        created_at=now,
        updated_at=now,
    )
    organization = CRUD.shown(row)
    data = {"organization": organization}
    entry = create_entry(request.context, OrganizationCreated, organization_id, data)
    try:
        await CRUD.create(conn, row, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, row.slug) from None
    if new.owner_id is not None:
        await create_owner(conn, request.context, organization_id, new.owner_id)
    return _reply(request, organization, organization_id)


def _slug_taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    """Raises the error if it is about something else."""
    if violated(error) != "organizations_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another organization. Give another.")


@read_only()
async def get_organization(conn: Connection, request: Request) -> Reply:
    row = await CRUD.get(conn, tenant_id=request.tenant, id=request.path["id"])
    return _reply(request, CRUD.shown(row))


@read_only()
async def list_organizations(conn: Connection, request: Request[Body, OrganizationsQuery]) -> Reply:
    organizations, pagination = await LIST.json_page(
        conn, request, {"tenant_id": request.tenant}, filters_of(request.query)
    )
    return reply_to(request, {"organizations": organizations, "pagination": pagination})


@transactional()
async def update_organization(conn: Connection, request: Request[UpdateOrganization]) -> Reply:
    row = await CRUD.lock(conn, request, tenant_id=request.tenant, id=request.path["id"])
    after, changes = apply_patch(row, request.body.changed(row), CRUD.json_columns)
    organization = CRUD.shown(after)
    if not changes:
        return _reply(request, organization)
    if after.max_members is not None and after.max_members < row.member_count:
        raise Problem(
            "member_limit_reached",
            f"The organization has {row.member_count} members. Remove some, or allow more.",
        )
    data = {"organization": organization, "changes": changes}
    entry = create_entry(request.context, OrganizationUpdated, row.id, data)
    try:
        await CRUD.update(conn, after, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, after.slug) from None
    return _reply(request, organization)


@transactional()
async def delete_organization(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Each membership and pending invitation ends with its event: before that of the organization,
    or if there are very many after it, in steps.
    """
    row = await CRUD.lock(conn, request, tenant_id=request.tenant, id=request.path["id"])
    if request.query.dry_run:
        pending = await COUNT_PENDING_INVITATIONS.fetch_value(
            conn, tenant_id=request.tenant, organization_id=row.id, now=datetime.now(UTC)
        )
        would_delete = {"memberships": row.member_count, "invitations": pending}
        return Reply(json_bytes({"would_delete": would_delete}))
    context = request.context
    entries, more = await _delete_parts(conn, context, row.id, BATCH)
    if more:
        await request_cascade(conn, context, ORGANIZATION, row.id)
    await CRUD.delete(conn, row)
    data = {"organization": CRUD.shown(row)}
    deleted = create_entry(context, OrganizationDeleted, row.id, data)
    await record(conn, [deleted, *entries] if more else [*entries, deleted])
    return reply_to(request)


async def delete_more(conn: Connection, context: Context, cascade: Cascade, at_most: int) -> bool:
    """A step: see `outbox.cascade`."""
    entries, more = await _delete_parts(conn, context, cascade.resource_id, at_most)
    await record(conn, entries)
    return more


async def _delete_parts(
    conn: Connection, context: Context, organization_id: str, at_most: int
) -> tuple[list[OutboxEntry], bool]:
    """The events, and whether there may be more."""
    removed = await members.delete_some(conn, context, organization_id, at_most)
    left = at_most - len(removed)
    rows = await invitations.delete_some(conn, context.tenant(), organization_id, left)
    return removed + create_revoked_entries(context, rows), left == len(rows)
