"""Data subjects: whose personal data an event has, and what happens when that user is deleted.

The log keeps the identifier and the digest. The changed personal fields of the user are erased, and
address and agent of what the user did. Those of others, who did something to the user, stay.
The database lets this role erase only the data of users whose `user.deleted` stands in the log.
Who was deleted is remembered, so that an event that comes late brings nothing back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from chassis.database import ID, TIME, Connection
from chassis.statements import Statement
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    and_,
    bindparam,
    column,
    delete,
    exists,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from audit import chain
from audit.tables import FORGOTTEN, PERSONAL, ForgottenRow

DataSubject = tuple[str, str]
"""A tenant and a user of it."""

_GIVEN = (
    func.unnest(
        bindparam("tenant_ids", type_=ARRAY(ID)),
        bindparam("user_ids", type_=ARRAY(ID)),
    )
    .table_valued(column("tenant_id", ID), column("user_id", ID), name="given")
    .render_derived()
)
# A batch has users of many tenants; each is looked up in its own.
LIST_DELETED = Statement(
    select(FORGOTTEN.c.tenant_id, FORGOTTEN.c.user_id).join(
        _GIVEN,
        (FORGOTTEN.c.tenant_id == _GIVEN.c.tenant_id) & (FORGOTTEN.c.user_id == _GIVEN.c.user_id),
    ),
    ForgottenRow,
)
REMEMBER = Statement(
    insert(FORGOTTEN)
    .from_select(
        ["tenant_id", "user_id", "forgotten_at"],
        select(_GIVEN.c.tenant_id, _GIVEN.c.user_id, bindparam("now", type_=TIME)),
    )
    .on_conflict_do_nothing()
)
_GIVEN_ACTORS = _GIVEN.alias("given_actors")
_erased = (
    delete(PERSONAL)
    .where(
        PERSONAL.c.tenant_id == _GIVEN.c.tenant_id,
        or_(
            PERSONAL.c.actor_user == _GIVEN.c.user_id,
            and_(PERSONAL.c.about_user == _GIVEN.c.user_id, PERSONAL.c.changes != chain.EMPTY),
        ),
    )
    .returning(*PERSONAL.c)
    .cte("erased")
)
_kept: dict[str, ColumnElement[Any]] = {
    **{column.name: column for column in _erased.c},
    "about_user": null(),
    "subject_salt": null(),
    "subject_changes": null(),
}
ERASE = Statement(
    insert(PERSONAL).from_select(
        list(_kept),
        select(*_kept.values()).where(
            _erased.c.subject_salt.is_not(None),
            ~exists().where(
                _GIVEN_ACTORS.c.tenant_id == _erased.c.tenant_id,
                _GIVEN_ACTORS.c.user_id == _erased.c.actor_user,
            ),
        ),
    )
)
"""This role cannot update: what stays of a row is inserted again. Of an older row, whose one salt
binds everything, nothing stays.
"""


def actor_user(event: Mapping[str, Any]) -> str | None:
    """The user who did it, if it was one."""
    return event["actorid"] if event["actortype"] == "user" else None


def about_user(event: Mapping[str, Any]) -> str | None:
    """The user whom it is about: the resource itself, or whose session or membership it is."""
    if event["subject"].startswith("usr_"):
        return str(event["subject"])
    data = event["data"]
    member = data.get("member")
    user_id = data.get("user_id") or (member.get("user_id") if isinstance(member, dict) else None)
    return user_id if isinstance(user_id, str) else None


async def list_deleted(conn: Connection, subjects: Iterable[DataSubject]) -> set[DataSubject]:
    """Which of them were deleted before."""
    given = sorted(set(subjects))
    if not given:
        return set()
    rows = await LIST_DELETED.fetch_all(conn, **_arrays(given))
    return {(row.tenant_id, row.user_id) for row in rows}


async def erase(conn: Connection, subjects: Iterable[DataSubject], now: datetime) -> None:
    """Erases their personal data, and remembers them for what comes later."""
    arrays = _arrays(sorted(set(subjects)))
    await REMEMBER.execute(conn, **arrays, now=now)
    await ERASE.execute(conn, **arrays)


def _arrays(subjects: list[DataSubject]) -> dict[str, list[str]]:
    return {
        "tenant_ids": [tenant_id for tenant_id, _ in subjects],
        "user_ids": [user_id for _, user_id in subjects],
    }
