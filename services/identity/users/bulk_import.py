"""Imports users by the thousand: a batch of lines per request, and an invalid line fails alone.

The lines take effect as if they had come one after another, a hundred by one statement with their
events. A request is a transaction, and the requests of a tenant run one after another. Under an
idempotency key each request is stored with its reply: a repeat of the whole import gets again what
was done, and does the rest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from chassis.case_folding import fold_case
from chassis.database import ID, Connection
from chassis.request import Reply, Request, json_bytes, validation_problem
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.problems import PROBLEMS, Problem, list_errors
from contracts.topology import Lock
from contracts.users import CreateUser, ImportUsers
from outbox.record import OutboxEntry
from outbox.tables import OUTBOX
from pydantic import ValidationError
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Integer,
    TableValuedAlias,
    bindparam,
    column,
    exists,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from identity.tables import USERS, UserRow
from identity.users.users import CRUD, create_created_entry, create_row

BATCH = 100
"""Lines that are validated and written at once; other calls run between two batches."""
_UNIQUE = ("email", "username", "external_id")
_SAME_FOR_ALL = (
    "last_sign_in_at", "version", "created_at", "updated_at", "subject", "ip_address", "user_agent",
)  # fmt: skip
_ENTRY_FIELDS = [field.name for field in fields(OutboxEntry) if field.name != "tenant_id"]
_ENTRY_COLUMNS = [OUTBOX.c[name] for name in _ENTRY_FIELDS]
_USER_COLUMNS = [each for each in CRUD.columns if each.name != "tenant_id"]


class TakenLine(SQLModel):
    """Which values of a line another user has: the rows of a query, not a table."""

    line: int
    email: bool
    username: bool
    external_id: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that is a valid user, with its row and its event."""

    number: int
    user: UserRow
    entry: OutboxEntry

    def values(self) -> dict[str, Any]:
        """By column."""
        entry = {name: getattr(self.entry, name) for name in _ENTRY_FIELDS}
        return {"line": self.number, **vars(self.user), **entry}


def _rows_of(*columns: Column[Any]) -> TableValuedAlias:
    """Rows from one array for each column; `line` is their order."""
    line = column("line", Integer)
    arrays = [bindparam(f"given_{each.name}", type_=ARRAY(each.type)) for each in (line, *columns)]
    named = [column(each.name, each.type) for each in (line, *columns)]
    return func.unnest(*arrays).table_valued(*named, name="given").render_derived()


_given = _rows_of(
    *(each for each in (*_USER_COLUMNS, *_ENTRY_COLUMNS) if each.name not in _SAME_FOR_ALL)
)


def _values(columns: Sequence[Column[Any]]) -> list[ColumnElement[Any]]:
    """The tenant, and a value for each column: its row's own, or the one of all."""
    tenant = bindparam("tenant_id", type_=ID).label("tenant_id")
    return [
        tenant,
        *(
            bindparam(f"given_{each.name}", type_=each.type).label(each.name)
            if each.name in _SAME_FOR_ALL
            else _given.c[each.name]
            for each in columns
        ),
    ]


# No conflict is named: any unique value may be taken, by a line before it too.
_created = (
    insert(USERS)
    .from_select(
        ["tenant_id", *(each.name for each in _USER_COLUMNS)],
        select(*_values(_USER_COLUMNS)).order_by(_given.c.line),
    )
    .on_conflict_do_nothing()
    .returning(USERS.c.id)
    .cte("created")
)
_recorded = (
    insert(OUTBOX)
    .from_select(
        ["tenant_id", *_ENTRY_FIELDS],
        select(*_values(_ENTRY_COLUMNS))
        .join_from(_given, _created, _created.c.id == _given.c.id)
        .order_by(_given.c.line),
    )
    .cte("recorded")
)
LOCK_TENANT = Statement(
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(bindparam("tenant_id", type_=ID), Lock.IMPORT_USERS.value)
        )
    )
)
"""Two imports of the same people in another order would wait for each other's rows."""
CREATE = Statement(select(_created.c.id).add_cte(_recorded), UserRow)

_refused = _rows_of(USERS.c.email, USERS.c.username, USERS.c.external_id)
_of_tenant = USERS.c.tenant_id == bindparam("tenant_id")
LIST_TAKEN = Statement(
    select(
        _refused.c.line,
        exists().where(_of_tenant, USERS.c.email_key == fold_case(_refused.c.email)).label("email"),
        exists()
        .where(_of_tenant, fold_case(USERS.c.username) == fold_case(_refused.c.username))
        .label("username"),
        exists()
        .where(_of_tenant, USERS.c.external_id == _refused.c.external_id)
        .label("external_id"),
    ).select_from(_refused),
    TakenLine,
)


@transactional()
async def import_users(conn: Connection, request: Request[ImportUsers]) -> Reply:
    """One line of JSON for each line, in order: `contracts.users.ImportResult`.

    While the database writes a batch, the next one is validated.
    """
    results: dict[int, dict[str, Any]] = {}
    await LOCK_TENANT.execute(conn, tenant_id=request.tenant)
    now = datetime.now(UTC)
    writing: asyncio.Task[None] | None = None
    try:
        for start in range(0, len(request.body.lines), BATCH):
            valid = []
            for index, text in enumerate(request.body.lines[start : start + BATCH], start):
                number = request.body.first + index
                try:
                    valid.append(_read_line(request, number, text, now))
                except Problem as problem:
                    errors = problem.errors or [_error("line", problem.code, problem.detail)]
                    count = max(problem.errors_count, 1)
                    results[number] = _failure(number, problem.code, errors, count)
            if writing is not None:
                await writing
            writing = asyncio.create_task(_write(conn, request.tenant, valid, results))
            await asyncio.sleep(0)
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            await asyncio.wait([writing])
    lines = [json_bytes(results[number]) + b"\n" for number in sorted(results)]
    return Reply(b"".join(lines), headers={"Content-Type": "application/x-ndjson"})


def _read_line(
    request: Request[ImportUsers], number: int, text: str | None, now: datetime
) -> _Line:
    """Raises Problem if the line is not a valid user."""
    if text is None:
        raise Problem("malformed_json", "The line is not UTF-8.")
    try:
        new = CreateUser.model_validate_json(text)
    except ValidationError as error:
        raise validation_problem(error, "line") from None
    row = create_row(request.tenant, new, now)
    return _Line(number, row, create_created_entry(request.context, row))


async def _write(
    conn: Connection, tenant_id: str, lines: Sequence[_Line], results: dict[int, dict[str, Any]]
) -> None:
    """Creates the users whose values are free, and adds the result of each line."""
    if not lines:
        return
    values = [line.values() for line in lines]
    given = {
        f"given_{name}": value if name in _SAME_FOR_ALL else [each[name] for each in values]
        for name, value in values[0].items()
    }
    created = {row.id for row in await CREATE.fetch_all(conn, tenant_id=tenant_id, **given)}
    for line in lines:
        if line.user.id in created:
            results[line.number] = {"line": line.number, "status": 201, "id": line.user.id}
    left = [each for each in values if each["id"] not in created]
    if left:
        given = {f"given_{name}": [each[name] for each in left] for name in ("line", *_UNIQUE)}
        for taken in await LIST_TAKEN.fetch_all(conn, tenant_id=tenant_id, **given):
            results[taken.line] = _taken(taken)


def _taken(taken: TakenLine) -> dict[str, Any]:
    """The code of the first field whose value another user has; all such fields are named."""
    names = [name for name in _UNIQUE if getattr(taken, name)]
    if not names:
        # The user who had the value has been deleted since.
        again = "was in the way of another user who is gone now: send the line again"
        code = "service_unavailable"
        return _failure(taken.line, code, [_error("line", code, again)], 1)
    errors = [_error(name, f"{name}_taken", "is another user's") for name in names]
    return _failure(taken.line, f"{names[0]}_taken", errors, len(errors))


def _failure(
    line: int, code: str, errors: Sequence[Mapping[str, str]], count: int
) -> dict[str, Any]:
    shown = list_errors(errors, count)
    return {"line": line, "status": PROBLEMS[code][0], "code": code, **shown}


def _error(field: str, code: str, message: str) -> dict[str, str]:
    return {"field": field, "code": code, "message": message}
