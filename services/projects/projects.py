"""Projects: created with their signing keys, listed, updated, deleted with all their keys."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from chassis.case_folding import fold_search
from chassis.database import Connection, Pool, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, encoded_object
from chassis.quota import Quota
from chassis.request import Reply, Request, json_bytes, reply_to, revalidate
from chassis.rows import new_row
from chassis.statements import Statement
from chassis.unit_of_work import read_only, transactional
from contracts.context import Context
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.json_objects import merge
from contracts.models import Body, DeleteQuery
from contracts.problems import Problem, not_found
from contracts.projects import (
    CreateProject,
    Project,
    ProjectCreated,
    ProjectDeleted,
    ProjectSettings,
    ProjectsQuery,
    ProjectUpdated,
    UpdateProject,
)
from outbox.cascade import BATCH, Cascade, request_cascade
from outbox.crud import Crud
from outbox.record import create_entry, record
from sqlalchemy import bindparam, func, not_, select

from projects.cascades import IS_ONE_OF_MANY_ENDED, PROJECT
from projects.keys import api_keys
from projects.signing import signing_keys
from projects.tables import API_KEYS, PROJECTS, SIGNING_KEYS, ProjectRow, SigningKeyRow

# The signing keys are deleted with the row; the API keys stay, revoked.
CRUD = Crud(ProjectRow, Project, locks_key=True)
PREVIEW_DELETE = Statement(
    select(
        select(func.count())
        .where(
            API_KEYS.c.tenant_id == bindparam("tenant_id"),
            API_KEYS.c.project_id == bindparam("id"),
            API_KEYS.c.status == "active",
            not_(IS_ONE_OF_MANY_ENDED),
        )
        .scalar_subquery()
        .label("api_keys"),
        select(func.count())
        .where(
            SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
            SIGNING_KEYS.c.project_id == bindparam("id"),
        )
        .scalar_subquery()
        .label("signing_keys"),
    )
)
QUOTA = Quota(
    "projects", select(PROJECTS.c.id).where(PROJECTS.c.tenant_id == bindparam("tenant_id"))
)
LIST = Listing(
    row=ProjectRow,
    source=PROJECTS,
    columns=CRUD.columns,
    key=PROJECTS.c.id,
    scope={"tenant_id": PROJECTS.c.tenant_id},
    sorts={"name": PROJECTS.c.name.collate("C")},
    filters={
        "q": lambda pattern: PROJECTS.c.search.like(fold_search(pattern)),
        "environment": lambda environment: PROJECTS.c.environment == environment,
    },
)


async def _generate_keys(_: Pool, request: Request[CreateProject]) -> list[SigningKeyRow]:
    """The first two signing keys of the new project."""
    encoded_object(request.body.metadata, "metadata")  # refused before it costs more
    algorithm = request.body.settings.signing_algorithm
    return await signing_keys.generate_next_keys(
        request.keyring, algorithm, 2, tenant_id=request.tenant, project_id=new_id("prj")
    )


@transactional(prepare=_generate_keys)
async def create_project(
    conn: Connection, request: Request[CreateProject], keys: list[SigningKeyRow]
) -> Reply:
    body, project_id, now = request.body, keys[0].project_id, datetime.now(UTC)
    metadata = encoded_object(body.metadata, "metadata")
    row = new_row(
        ProjectRow,
        tenant_id=request.tenant,
        id=project_id,
        name=body.name,
        slug=body.slug or slug_from(body.name, project_id.replace("_", "-")),
        environment=body.environment,
        allowed_origins=body.allowed_origins,
        allowed_redirects=body.allowed_redirects,
        settings=encoded_object(body.settings.model_dump(), "settings"),
        metadata_=metadata,
        version=1,
        created_at=now,
        updated_at=now,
    )
    await QUOTA.check(conn, request.quota(QUOTA.name), request.tenant, tenant_id=request.tenant)
    value = CRUD.shown(row)
    entry = create_entry(request.context, ProjectCreated, project_id, {"project": value})
    try:
        await CRUD.create(conn, row, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, row) from None
    except asyncpg.ForeignKeyViolationError:
        # The tenant was deleted meanwhile.
        raise not_found() from None
    await signing_keys.create_first_keys(conn, *keys)
    return reply_to(request, value, created=project_id)


def _slug_taken(error: asyncpg.UniqueViolationError, row: ProjectRow) -> Problem:
    if violated(error) != "projects_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {row.slug} belongs to another project. Give another.")


@read_only()
async def get_project(conn: Connection, request: Request) -> Reply:
    row = await CRUD.get(conn, tenant_id=request.tenant, id=request.path["id"])
    return reply_to(request, CRUD.shown(row))


@read_only()
async def list_projects(conn: Connection, request: Request[Body, ProjectsQuery]) -> Reply:
    rows, pagination = await LIST.page(
        conn, request, {"tenant_id": request.tenant}, filters_of(request.query)
    )
    projects = [CRUD.shown(row) for row in rows]
    return reply_to(request, {"projects": projects, "pagination": pagination})


@transactional()
async def update_project(conn: Connection, request: Request[UpdateProject]) -> Reply:
    row = await CRUD.lock(conn, request, tenant_id=request.tenant, id=request.path["id"])
    patch = request.body.changed(row)
    if "settings" in patch:
        patch["settings"] = _merged_settings(row.settings, patch["settings"])
    after, changes = apply_patch(row, patch, CRUD.json_columns)
    value = CRUD.shown(after)
    if not changes:
        return reply_to(request, value)
    data = {"project": value, "changes": changes}
    entry = create_entry(request.context, ProjectUpdated, row.id, data)
    try:
        await CRUD.update(conn, after, entry)
    except asyncpg.UniqueViolationError as error:
        raise _slug_taken(error, after) from None
    return reply_to(request, value)


def _merged_settings(before: str, patch: dict[str, Any]) -> dict[str, Any]:
    """All settings after the patch: a null member gets its default, an unknown one is refused."""
    merged = merge(orjson.loads(before), patch)
    merged |= {name: None for name in patch if name not in ProjectSettings.model_fields}
    settings: ProjectSettings = revalidate(ProjectSettings, merged, "settings")
    return settings.model_dump()


@transactional()
async def delete_project(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Revokes the API keys, each with its event: before that of the project, or if there are very
    many after it, in steps. The signing keys are deleted with the project.
    """
    row = await CRUD.lock(conn, request, tenant_id=request.tenant, id=request.path["id"])
    if request.query.dry_run:
        counts = await PREVIEW_DELETE.fetch_one(conn, tenant_id=request.tenant, id=row.id)
        return Reply(json_bytes({"would_delete": dict(counts or {})}))
    context = request.context
    entries, more = await api_keys.revoke_some_of_project(conn, context, row.id, BATCH)
    if more:
        await request_cascade(conn, context, PROJECT, row.id)
    await CRUD.delete(conn, row)
    deleted = create_entry(context, ProjectDeleted, row.id, {"project": CRUD.shown(row)})
    await record(conn, [deleted, *entries] if more else [*entries, deleted])
    return reply_to(request)


async def revoke_more_keys(
    conn: Connection, context: Context, cascade: Cascade, at_most: int
) -> bool:
    """A step after the deletion of a project: see `outbox.cascade`."""
    project_id = cascade.resource_id
    entries, more = await api_keys.revoke_some_of_project(conn, context, project_id, at_most)
    await record(conn, entries)
    return more
