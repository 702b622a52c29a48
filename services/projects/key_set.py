"""The public key set of a project (RFC 7517): its next, active and retiring keys.

It changes when a transaction of `signing_keys` commits, and at the instant a grace period ends.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chassis.database import Connection
from chassis.request import Reply, Request, json_bytes, stored_json
from chassis.statements import Statement
from contracts.problems import Problem, not_found
from sqlalchemy import bindparam, func, or_, select

from projects.tables import SIGNING_KEYS

CACHE_SECONDS = 300
"""How long a key set may be cached: a younger key is not yet known everywhere."""
MOST_RETIRING = 1500
"""A key set of so many RSA keys has 0.7 MB; an answer may have 1 MiB."""

# Of no tenant: the key set is public, and the project alone is known.
KEY_SET = Statement(
    select(SIGNING_KEYS.c.public_jwk)
    .where(
        SIGNING_KEYS.c.project_id == bindparam("project_id"),
        SIGNING_KEYS.c.status != "revoked",
        or_(SIGNING_KEYS.c.retires_at.is_(None), SIGNING_KEYS.c.retires_at > func.now()),
    )
    .order_by(SIGNING_KEYS.c.id)
)
RETIRING = Statement(
    select(func.count().label("count"), func.min(SIGNING_KEYS.c.retires_at).label("until")).where(
        SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
        SIGNING_KEYS.c.project_id == bindparam("project_id"),
        SIGNING_KEYS.c.status == "retiring",
        SIGNING_KEYS.c.retires_at > func.now(),
    )
)


async def jwks(conn: Connection, request: Request) -> Reply:
    """The public key set. A project always has keys: without any there is no project."""
    rows = await KEY_SET.fetch_all(conn, project_id=request.path["id"])
    if not rows:
        raise not_found()
    body = json_bytes({"keys": [stored_json(row["public_jwk"]) for row in rows]})
    return Reply(
        body,
        version=hashlib.sha256(body).hexdigest()[:16],
        headers={"Cache-Control": f"public, max-age={CACHE_SECONDS}"},
    )


async def check_room(conn: Connection, scope: Mapping[str, Any]) -> None:
    """Raises Problem if one more retiring key made the key set too large to be answered."""
    found = await RETIRING.fetch_one(conn, **scope)
    assert found is not None, "a count is always answered"
    if found["count"] >= MOST_RETIRING:
        raise too_soon(
            found["until"],
            f"{MOST_RETIRING} keys are retiring. Rotate with a shorter grace_period, or revoke "
            "keys that nobody needs",
        )


def too_soon(earliest: datetime, reason: str) -> Problem:
    """The refusal of a rotation; `reason` is what to do instead of waiting."""
    instant = earliest.isoformat().replace("+00:00", "Z")
    return Problem(
        "rotation_too_soon",
        f"Wait until {instant}. {reason}.",
        earliest_safe_activation=instant,
    )
