"""The personal parts of consecutive events: read by themselves, as one range of the log.

Half the cost of looking each up, in one of all the months, for the event that it belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.database import TIME, Connection
from chassis.statements import Statement
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from audit.chain import StoredEvent
from audit.tables import PERSONAL

COLUMNS = {
    "salt": PERSONAL.c.salt,
    "ip_address": PERSONAL.c.ip_address,
    "user_agent": PERSONAL.c.user_agent,
    "personal_changes": PERSONAL.c.changes,
    "subject_salt": PERSONAL.c.subject_salt,
    "subject_changes": PERSONAL.c.subject_changes,
}
"""Of a personal part, as a `StoredEvent` names them."""


@dataclass
class FiledEvent(StoredEvent):
    """An event with the time of its filing, by which its partition is known."""

    filed_at: datetime


class PersonalPart(SQLModel):
    """The personal part of the event with that sequence, as far as the API shows it."""

    sequence: int
    ip_address: str | None
    user_agent: str | None
    personal_changes: str | None
    subject_changes: str | None


LIST_PERSONAL_PARTS = Statement(
    select(
        PERSONAL.c.sequence,
        PERSONAL.c.ip_address,
        PERSONAL.c.user_agent,
        PERSONAL.c.changes.label("personal_changes"),
        PERSONAL.c.subject_changes,
    ).where(
        PERSONAL.c.tenant_id == bindparam("tenant_id"),
        PERSONAL.c.sequence.between(bindparam("first"), bindparam("last")),
        PERSONAL.c.filed_at.between(
            bindparam("first_filed_at", type_=TIME), bindparam("last_filed_at", type_=TIME)
        ),
    ),
    PersonalPart,
)


async def list_personal_parts(
    conn: Connection, tenant_id: str, events: Sequence[FiledEvent]
) -> dict[int, PersonalPart]:
    """Those of consecutive events, newest first, by sequence."""
    if not events:
        return {}
    first, last = events[-1], events[0]
    parts = await LIST_PERSONAL_PARTS.fetch_all(
        conn,
        tenant_id=tenant_id,
        first=first.sequence,
        last=last.sequence,
        first_filed_at=first.filed_at,
        last_filed_at=last.filed_at,
    )
    return {part.sequence: part for part in parts}
