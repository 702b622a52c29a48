"""Users by the thousand: some lines of an import at a time, and a bad one fails alone.

The lines take effect as if they had come one after another, a hundred by one statement with their
events. A part is a transaction, and the parts of a tenant come one after another.
Under an idempotency key each such part is stored with its answer: a repeat of the whole import gets
again what was done, and does the rest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from chassis.database import ID, Connection
from chassis.request import Reply, Request, json_bytes
from chassis.statements import Statement
from contracts.problems import PROBLEMS, Problem
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

from identity import users
from identity.tables import USERS

ERRORS_SHOWN = 10
STEP = 100
"""Lines that are read and written at once; between two steps other calls have their turn."""
TURN = 5_021_977_318
_TAKEN = ("email", "username", "external_id")


_SAME_FOR_ALL = (
    "last_sign_in_at", "version", "created_at", "updated_at", "subject", "ip_address", "user_agent",
)  # fmt: skip
_OF_EVENT = [field.name for field in fields(OutboxEntry) if field.name != "tenant_id"]
_EVENT = [OUTBOX.c[name] for name in _OF_EVENT]


def _given(*columns: Column[Any]) -> TableValuedAlias:
    """Rows as one array for each column; `line` is their order."""
    line = column("line", Integer)
    arrays = [bindparam(f"given_{each.name}", type_=ARRAY(each.type)) for each in (line, *columns)]
    named = [column(each.name, each.type) for each in (line, *columns)]
    return func.unnest(*arrays).table_valued(*named, name="given").render_derived()


_users = _given(*(each for each in (*users.COLUMNS, *_EVENT) if each.name not in _SAME_FOR_ALL))


def _values(columns: Sequence[Column[Any]]) -> list[ColumnElement[Any]]:
    """The tenant, and a value for each column: its row's own, or the one of all."""
    tenant = bindparam("tenant_id", type_=ID).label("tenant_id")
    return [
        tenant,
        *(
            bindparam(f"given_{each.name}", type_=each.type).label(each.name)
            if each.name in _SAME_FOR_ALL
            else _users.c[each.name]
            for each in columns
        ),
    ]


# Nothing to conflict with is named: whatever of a row is taken, by a line before it too.
_created = (
    insert(USERS)
    .from_select(
        ["tenant_id", *(each.name for each in users.COLUMNS)],
        select(*_values(users.COLUMNS)).order_by(_users.c.line),
    )
    .on_conflict_do_nothing()
    .returning(USERS.c.id)
    .cte("created")
)
_recorded = (
    insert(OUTBOX)
    .from_select(
        ["tenant_id", *(each.name for each in _EVENT)],
        select(*_values(_EVENT))
        .join_from(_users, _created, _created.c.id == _users.c.id)
        .order_by(_users.c.line),
    )
    .cte("recorded")
)
TAKE_TURN = Statement(
    select(
        func.pg_advisory_xact_lock(func.hashtextextended(bindparam("tenant_id", type_=ID), TURN))
    )
)
"""Two imports of the same people in another order would wait for each other's rows."""
INSERT = Statement(select(_created.c.id).add_cte(_recorded))

_rivals = _given(USERS.c.email, USERS.c.username, USERS.c.external_id)
_mine = USERS.c.tenant_id == bindparam("tenant_id")
FIND_TAKEN = Statement(
    select(
        _rivals.c.line,
        exists().where(_mine, USERS.c.email_key == func.lower(_rivals.c.email)).label("email"),
        exists()
        .where(_mine, func.lower(USERS.c.username) == func.lower(_rivals.c.username))
        .label("username"),
        exists().where(_mine, USERS.c.external_id == _rivals.c.external_id).label("external_id"),
    ).select_from(_rivals)
)


async def create_all(conn: Connection, request: Request[ImportUsers]) -> Reply:
    """One line of JSON for each line, in order: `contracts.users.ImportResult`.

    While the database writes some lines, the next ones are read.
    """
    results: dict[int, dict[str, Any]] = {}
    await TAKE_TURN.execute(conn, tenant_id=request.tenant)
    now = datetime.now(UTC)
    writing: asyncio.Task[None] | None = None
    try:
        for start in range(0, len(request.body.lines), STEP):
            rows = []
            for number, text in enumerate(request.body.lines[start : start + STEP], start):
                line = request.body.first + number
                try:
                    rows.append(_row(request, line, text, now))
                except Problem as problem:
                    errors = problem.errors or [_error("line", problem.code, problem.detail)]
                    results[line] = _failed(line, problem.code, errors)
            if writing is not None:
                await writing
            writing = asyncio.create_task(_write(conn, request.tenant, rows, results))
            await asyncio.sleep(0)
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            await asyncio.wait([writing])
    lines = [json_bytes(results[line]) + b"\n" for line in sorted(results)]
    return Reply(b"".join(lines), headers={"Content-Type": "application/x-ndjson"})


def _row(
    request: Request[ImportUsers], line: int, text: str | None, now: datetime
) -> dict[str, Any]:
    """What is written for a line, its event included. Raises Problem."""
    row = users.new_row(_user(text), now)
    created = users.created(request.context, row)
    return {"line": line, **row, **{name: getattr(created, name) for name in _OF_EVENT}}


def _user(text: str | None) -> CreateUser:
    if text is None:
        raise Problem("malformed_json", "The line is not UTF-8.")
    try:
        return CreateUser.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error, "line") from None


async def _write(
    conn: Connection,
    tenant_id: str,
    rows: Sequence[Mapping[str, Any]],
    results: dict[int, dict[str, Any]],
) -> None:
    """Writes what can be, and says what became of each row."""
    if not rows:
        return
    given = {
        f"given_{name}": value if name in _SAME_FOR_ALL else [row[name] for row in rows]
        for name, value in rows[0].items()
    }
    created = {row["id"] for row in await INSERT.fetch_all(conn, tenant_id=tenant_id, **given)}
    for row in rows:
        if row["id"] in created:
            results[row["line"]] = {"line": row["line"], "status": 201, "id": row["id"]}
    left = [row for row in rows if row["id"] not in created]
    if left:
        given = {f"given_{name}": [row[name] for row in left] for name in ("line", *_TAKEN)}
        for taken in await FIND_TAKEN.fetch_all(conn, tenant_id=tenant_id, **given):
            results[taken["line"]] = _refused(taken)


def _refused(taken: Mapping[str, Any]) -> dict[str, Any]:
    """What the first field that is another user's says; all of them are named."""
    names = [name for name in _TAKEN if taken[name]]
    if not names:
        # Its rival has gone since.
        again = "was in the way of another user who is gone now: send the line again"
        return _failed(
            taken["line"],
            "service_unavailable",
            [_error("line", "service_unavailable", again)],
        )
    errors = [_error(name, f"{name}_taken", "is another user's") for name in names]
    return _failed(taken["line"], f"{names[0]}_taken", errors)


def _failed(line: int, code: str, errors: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    shown = list(errors[:ERRORS_SHOWN])
    return {"line": line, "status": PROBLEMS[code][0], "code": code, "errors": shown}


def _error(field: str, code: str, message: str) -> dict[str, str]:
    return {"field": field, "code": code, "message": message}
