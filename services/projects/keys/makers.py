"""The key that makes or rotates another one: still valid, and what it makes never outlives it."""

from datetime import UTC, datetime
from typing import Any

from chassis.database import Connection
from chassis.request import Request
from chassis.statements import Statement
from contracts.problems import invalid, unauthenticated
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from projects.keys.key_rows import STATUS
from projects.tables import API_KEYS


class Maker(SQLModel):
    """What decides whether a key may still make others, and until when."""

    status: str
    expires_at: datetime | None
    secret_version: int
    previous_expires_at: datetime | None


# Shared: a revocation that includes the keys that this one made waits for those it makes now.
LOCK_MAKER = Statement(
    select(STATUS, API_KEYS.c.expires_at, API_KEYS.c.secret_version, API_KEYS.c.previous_expires_at)
    .where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == bindparam("id"))
    .with_for_update(read=True),
    Maker,
)


async def check_outlived(
    conn: Connection, request: Request[Any, Any], ends_at: datetime | None
) -> None:
    """Holds the caller's key until the transaction ends, for a key that ends at `ends_at`.

    Raises Problem: 401 when the caller's key or its secret has ended meanwhile, 422 when the other
    key would outlive it.
    """
    context = request.context
    if context.actor_type != "api_key":
        return
    maker = await LOCK_MAKER.fetch_one(conn, tenant_id=request.tenant, id=context.actor_id)
    if maker is None:  # erased with its tenant, so that nothing can be written for it
        return
    version = context.secret_version or maker.secret_version
    ends = [maker.expires_at]
    if version < maker.secret_version:
        ends.append(maker.previous_expires_at)
    end = min((each for each in ends if each is not None), default=None)
    is_older = version < maker.secret_version - 1
    if is_older or maker.status != "active" or (end is not None and end <= datetime.now(UTC)):
        raise unauthenticated()
    if end is not None and (ends_at is None or ends_at > end):
        instant = end.isoformat().replace("+00:00", "Z")
        raise invalid(
            "expires_at", f"must not be after {instant}, when your own key ends", "outlives_maker"
        )
