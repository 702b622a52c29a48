"""Projects: created with their signing keys, found, changed, deleted with all their keys."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from chassis.database import Connection, violated
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version, encoded_object, merge
from chassis.request import Reply, Request, json_bytes, reply_to, revalidate, stored_json
from chassis.statements import Statement, parameters
from contracts.fields import slug_from
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import Problem, not_found
from contracts.projects import (
    CreateProject,
    ProjectCreated,
    ProjectDeleted,
    ProjectSettings,
    ProjectsQuery,
    ProjectUpdated,
    UpdateProject,
)
from outbox.record import create_entry, record, with_outbox_entry
from sqlalchemy import bindparam, delete, func, insert, select, update

from projects import api_keys, signing_keys
from projects.tables import API_KEYS, PROJECTS, SIGNING_KEYS

_COLUMNS = [column for column in PROJECTS.c if column.name not in ("tenant_id", "search")]
_CHANGEABLE = [column for column in _COLUMNS if column.name not in ("id", "created_at")]
_ONE = (PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("id"))

INSERT = Statement(
    with_outbox_entry(
        insert(PROJECTS)
        .values(parameters([PROJECTS.c.tenant_id, *_COLUMNS]))
        .returning(PROJECTS.c.id)
        .cte("changed")
    )
)
FIND = Statement(select(*_COLUMNS).where(*_ONE))
LOCK = Statement(select(*_COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    with_outbox_entry(
        update(PROJECTS)
        .where(*_ONE)
        .values(parameters(_CHANGEABLE, "new_"))
        .returning(PROJECTS.c.id)
        .cte("changed")
    )
)
# The signing keys go with the row; the API keys stay, revoked.
DELETE = Statement(delete(PROJECTS).where(*_ONE))
WOULD_DELETE = Statement(
    select(
        select(func.count())
        .where(
            API_KEYS.c.tenant_id == bindparam("tenant_id"),
            API_KEYS.c.project_id == bindparam("id"),
            API_KEYS.c.status == "active",
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

LIST = Listing(
    source=PROJECTS,
    columns=_COLUMNS,
    key=PROJECTS.c.id,
    scope={"tenant_id": PROJECTS.c.tenant_id},
    sorts={"name": PROJECTS.c.name.collate("C")},
    filters={
        "q": PROJECTS.c.search.like,
        "environment": lambda environment: PROJECTS.c.environment == environment,
    },
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The project as the contract shows it."""
    return {
        **row,
        "settings": stored_json(row["settings"]),
        "metadata": stored_json(row["metadata"]),
    }


async def create(conn: Connection, request: Request[CreateProject]) -> Reply:
    new = request.body
    project_id = new_id("prj")
    metadata = encoded_object(new.metadata, "metadata")
    pair = await signing_keys.first_pair(request.keys, new.settings.signing_algorithm)
    now = datetime.now(UTC)
    row = {
        "id": project_id,
        "name": new.name,
        "slug": new.slug or slug_from(new.name, project_id.replace("_", "-")),
        "environment": new.environment,
        "allowed_origins": new.allowed_origins,
        "allowed_redirects": new.allowed_redirects,
        "settings": encoded_object(new.settings.model_dump(), "settings"),
        "metadata": metadata,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    value = shown(row)
    created = create_entry(request.context, ProjectCreated, project_id, {"project": value})
    try:
        await INSERT.fetch_one(conn, tenant_id=request.tenant, **row, **created.parameters())
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, str(row["slug"])) from None
    except asyncpg.ForeignKeyViolationError:
        # The tenant was deleted while it asked.
        raise not_found() from None
    of_project = {"tenant_id": request.tenant, "project_id": project_id}
    await signing_keys.INSERT.execute_many(conn, [{**key, **of_project} for key in pair])
    return reply_to(request, value, created=project_id)


def _taken(error: asyncpg.UniqueViolationError, slug: str) -> Problem:
    if violated(error) != "projects_slug_key":
        raise error
    return Problem("slug_taken", f"The slug {slug} belongs to another project. Give another.")


async def find(conn: Connection, request: Request) -> Reply:
    row = await FIND.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    return reply_to(request, shown(row))


async def find_all(conn: Connection, request: Request[Body, ProjectsQuery]) -> Reply:
    rows, pagination = await LIST.page(
        conn, request, {"tenant_id": request.tenant}, filters_of(request.query)
    )
    return reply_to(request, {"projects": [shown(row) for row in rows], "pagination": pagination})


async def change(conn: Connection, request: Request[UpdateProject]) -> Reply:
    row = await LOCK.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    patch = request.body.given()
    if "settings" in patch:
        patch["settings"] = _merged_settings(row["settings"], patch["settings"])
    after, changes = apply_patch(row, patch, objects=("settings", "metadata"))
    if not changes:
        return reply_to(request, shown(row))
    value = shown(after)
    updated = create_entry(
        request.context, ProjectUpdated, row["id"], {"project": value, "changes": changes}
    )
    values = {f"new_{name}": field for name, field in after.items()}
    try:
        await UPDATE.fetch_one(
            conn, tenant_id=request.tenant, id=row["id"], **values, **updated.parameters()
        )
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, after["slug"]) from None
    return reply_to(request, value)


def _merged_settings(before: str, patch: dict[str, Any]) -> dict[str, Any]:
    """All settings after the patch; a null member is at its default, an unknown one refused."""
    merged = merge(orjson.loads(before), patch)
    merged |= {name: None for name in patch if name not in ProjectSettings.model_fields}
    settings: ProjectSettings = revalidate(ProjectSettings, merged, "settings")
    return settings.model_dump()


async def remove(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Revokes the API keys, each with its event; the signing keys go with the project."""
    row = await LOCK.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    scope = {"tenant_id": request.tenant, "id": row["id"]}
    if request.query.dry_run:
        gone = await WOULD_DELETE.fetch_one(conn, **scope)
        assert gone is not None
        return Reply(json_bytes({"would_delete": dict(gone)}))
    events = await api_keys.revoked_with(conn, request, row["id"])
    await DELETE.execute(conn, **scope)
    events.append(create_entry(request.context, ProjectDeleted, row["id"], {"project": shown(row)}))
    await record(conn, events)
    return reply_to(request)
