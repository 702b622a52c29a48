"""The public key set of a project (RFC 7517): its next, active and retiring keys.

It changes when a transaction of `signing_keys` commits, and at the instant a grace period ends.
"""

import hashlib
from datetime import datetime

from chassis.database import Connection
from chassis.request import Reply, Request, json_bytes, stored_json
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.problems import Problem, not_found
from sqlalchemy import bindparam, func, or_, select
from sqlmodel import SQLModel

from projects.tables import SIGNING_KEYS, SigningKeyRow

CACHE_SECONDS = 300
"""How long a key set may be cached: a younger key is not yet known everywhere."""
MAX_RETIRING = 1500
"""A key set of so many RSA keys has 0.7 MB; a reply may have 1 MiB."""


class RetiringKeys(SQLModel):
    """How many keys of a project are retiring, and when the first of them is retired."""

    count: int
    first_retires_at: datetime | None


# Of no tenant: the key set is public, and the project alone is known.
LIST_PUBLIC_KEYS = Statement(
    select(SIGNING_KEYS.c.public_jwk)
    .where(
        SIGNING_KEYS.c.project_id == bindparam("project_id"),
        SIGNING_KEYS.c.status != "revoked",
        or_(SIGNING_KEYS.c.retires_at.is_(None), SIGNING_KEYS.c.retires_at > func.now()),
    )
    .order_by(SIGNING_KEYS.c.id),
    SigningKeyRow,
)
COUNT_RETIRING = Statement(
    select(
        func.count().label("count"),
        func.min(SIGNING_KEYS.c.retires_at).label("first_retires_at"),
    ).where(
        SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
        SIGNING_KEYS.c.project_id == bindparam("project_id"),
        SIGNING_KEYS.c.status == "retiring",
        SIGNING_KEYS.c.retires_at > func.now(),
    ),
    RetiringKeys,
)


@read_only()
async def get_jwks(conn: Connection, request: Request) -> Reply:
    """A project always has keys: without any there is no project."""
    rows = await LIST_PUBLIC_KEYS.fetch_all(conn, project_id=request.path["id"])
    if not rows:
        raise not_found()
    body = json_bytes({"keys": [stored_json(row.public_jwk) for row in rows]})
    return Reply(
        body,
        version=hashlib.sha256(body).hexdigest()[:16],
        headers={"Cache-Control": f"public, max-age={CACHE_SECONDS}"},
    )


async def check_size(conn: Connection, *, tenant_id: str, project_id: str) -> None:
    """Raises Problem (409) if one more retiring key made the key set too large for a reply."""
    retiring = await COUNT_RETIRING.fetch_one(conn, tenant_id=tenant_id, project_id=project_id)
    assert retiring is not None, "a count always has a row"
    if retiring.count >= MAX_RETIRING:
        assert retiring.first_retires_at is not None
        raise rotation_too_soon(
            retiring.first_retires_at,
            f"{MAX_RETIRING} keys are retiring. Rotate with a shorter grace_period, or revoke "
            "keys that nobody needs",
        )


def rotation_too_soon(earliest: datetime, reason: str) -> Problem:
    """The refusal of a rotation; `reason` says what to do instead of waiting."""
    instant = earliest.isoformat().replace("+00:00", "Z")
    return Problem(
        "rotation_too_soon",
        f"Wait until {instant}. {reason}.",
        earliest_safe_activation=instant,
    )
