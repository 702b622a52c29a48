"""Signing keys of projects: made, rotated, revoked.

A project has exactly one active and one next key. Whoever changes them holds the project's row.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.statements import Statement, parameters
from contracts.ids import new_id
from contracts.models import Body, ListQuery
from contracts.problems import Problem, not_found
from contracts.signing_keys import (
    Algorithm,
    RotateSigningKey,
    SigningKeyRevoked,
    SigningKeyRotated,
)
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import and_, bindparam, case, func, insert, null, or_, select, update

from projects import key_material, key_set
from projects.tables import PROJECTS, SIGNING_KEYS

STATUS = case(
    (
        and_(SIGNING_KEYS.c.status == "retiring", SIGNING_KEYS.c.retires_at <= func.now()),
        "retired",
    ),
    else_=SIGNING_KEYS.c.status,
).label("status")
COLUMNS = [
    STATUS if column.name == "status" else column
    for column in SIGNING_KEYS.c
    if column.name not in ("tenant_id", "project_id", "private_key")
]
_OF_PROJECT = (
    SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
    SIGNING_KEYS.c.project_id == bindparam("project_id"),
)
_ONE = (*_OF_PROJECT, SIGNING_KEYS.c.id == bindparam("id"))

INSERT = Statement(insert(SIGNING_KEYS).values(parameters(SIGNING_KEYS.c)))
INSERT_NEXT = Statement(
    with_outbox_entry(
        insert(SIGNING_KEYS)
        .values(parameters(SIGNING_KEYS.c))
        .returning(SIGNING_KEYS.c.id)
        .cte("new")
    )
)
PROJECT = Statement(
    select(PROJECTS.c.settings).where(
        PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("project_id")
    )
)
LOCK_PROJECT = Statement(
    select(PROJECTS.c.settings)
    .where(PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("project_id"))
    .with_for_update(key_share=True)
)
FIND = Statement(select(*COLUMNS).where(*_ONE))
CURRENT = Statement(
    select(*COLUMNS).where(
        *_OF_PROJECT,
        or_(SIGNING_KEYS.c.status == "active", SIGNING_KEYS.c.status == "next"),
    )
)
ACTIVATE = Statement(
    update(SIGNING_KEYS).where(*_ONE).values(status="active", activated_at=bindparam("now"))
)
RETIRE = Statement(
    update(SIGNING_KEYS)
    .where(*_ONE)
    .values(status="retiring", retires_at=bindparam("new_retires_at"), private_key=null())
)
REVOKE = Statement(update(SIGNING_KEYS).where(*_ONE).values(status="revoked", private_key=null()))
REVOKE_RETIRING = Statement(
    with_outbox_entry(
        update(SIGNING_KEYS)
        .where(*_ONE)
        .values(status="revoked", private_key=null())
        .returning(SIGNING_KEYS.c.id)
        .cte("changed")
    )
)

LIST = Listing(
    source=SIGNING_KEYS,
    columns=COLUMNS,
    key=SIGNING_KEYS.c.id,
    scope={"tenant_id": SIGNING_KEYS.c.tenant_id, "project_id": SIGNING_KEYS.c.project_id},
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The key as the contract shows it: its public half alone."""
    return {**row, "public_jwk": stored_json(row["public_jwk"])}


async def fresh(keys: Keyring, algorithm: Algorithm) -> dict[str, Any]:
    """The row of a new next key, its project still to be said. Made beside the event loop."""
    material = await asyncio.to_thread(key_material.make, algorithm)
    kid = new_id("sgk")
    return {
        "id": kid,
        "algorithm": algorithm,
        "status": "next",
        "public_jwk": orjson.dumps(key_material.named(material.public, kid, algorithm)).decode(),
        "private_key": keys.seal(material.private, associated_data(kid)),
        "created_at": datetime.now(UTC),
        "activated_at": None,
        "retires_at": None,
    }


def associated_data(kid: str) -> str:
    """What a private key is sealed to."""
    return f"signing_key:{kid}"


async def first_pair(keys: Keyring, algorithm: Algorithm) -> list[dict[str, Any]]:
    """The active and the next key of a new project."""
    active, following = await fresh(keys, algorithm), await fresh(keys, algorithm)
    return [{**active, "status": "active", "activated_at": active["created_at"]}, following]


async def find_all(conn: Connection, request: Request[Body, ListQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "project_id": request.path["id"]}
    if await PROJECT.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    return reply_to(
        request, {"signing_keys": [shown(row) for row in rows], "pagination": pagination}
    )


async def _current(conn: Connection, scope: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """The active and the next key, read after the lock and so as they are now."""
    found = {row["status"]: dict(row) for row in await CURRENT.fetch_all(conn, **scope)}
    return found["active"], found["next"]


async def rotate(conn: Connection, request: Request[RotateSigningKey]) -> Reply:
    """Next becomes active, active retires, and a fresh key is published as next."""
    scope = {"tenant_id": request.tenant, "project_id": request.path["id"]}
    before = await PROJECT.fetch_value(conn, **scope)
    if before is None:
        raise not_found()
    new = await fresh(
        request.keys, request.body.algorithm or orjson.loads(before)["signing_algorithm"]
    )
    settings = await LOCK_PROJECT.fetch_value(conn, **scope)
    if settings is None:
        raise not_found()
    active, following = await _current(conn, scope)
    now = datetime.now(UTC)
    if not request.body.force:
        _check_known_everywhere(following, now)
    await key_set.check_room(conn, scope)
    grace = request.body.grace_period
    if grace is None:
        grace = orjson.loads(settings)["signing_key_grace_period"]
    retires_at = now + timedelta(seconds=grace)
    await RETIRE.execute(conn, **scope, id=active["id"], new_retires_at=retires_at)
    await ACTIVATE.execute(conn, **scope, id=following["id"], now=now)
    value = shown({**following, "status": "active", "activated_at": now})
    rotated = create_entry(
        request.context,
        SigningKeyRotated,
        following["id"],
        {
            "project_id": scope["project_id"],
            "signing_key": value,
            "retiring_key_id": active["id"],
            "retires_at": retires_at,
            "next_key_id": new["id"],
        },
    )
    # Published from now on, not from when it was made before the lock.
    await INSERT_NEXT.fetch_one(conn, **scope, **new | {"created_at": now}, **rotated.parameters())
    return reply_to(request, value, created=following["id"])


def _check_known_everywhere(following: Mapping[str, Any], now: datetime) -> None:
    earliest = following["created_at"] + timedelta(seconds=key_set.CACHE_SECONDS)
    if now < earliest:
        reason = "Before, caches may not know the next key. Or send force"
        raise key_set.too_soon(earliest, reason)


async def revoke(conn: Connection, request: Request) -> Reply:
    """The key leaves the key set at once; what it was, active or next, another becomes."""
    scope = {"tenant_id": request.tenant, "project_id": request.path["id"]}
    kid = request.path["kid"]
    before = await FIND.fetch_one(conn, **scope, id=kid)
    if before is None:
        raise not_found()
    new = None
    # A key that is neither active nor next will never again be.
    if before["status"] in ("active", "next"):
        project = orjson.loads(await PROJECT.fetch_value(conn, **scope) or b"{}")
        new = await fresh(request.keys, project.get("signing_algorithm", before["algorithm"]))
    if await LOCK_PROJECT.fetch_value(conn, **scope) is None:
        raise not_found()
    row = await FIND.fetch_one(conn, **scope, id=kid)
    assert row is not None, "keys go only with their project"
    if row["status"] in ("retired", "revoked"):
        raise Problem("key_not_active", f"The key is {row['status']} and signs nothing any more.")
    active, following = await _current(conn, scope)
    now = datetime.now(UTC)
    value = shown({**row, "status": "revoked"})
    data = {"project_id": scope["project_id"], "signing_key": value}
    if row["status"] == "retiring":
        data |= {"active_key_id": active["id"], "next_key_id": following["id"]}
        revoked = create_entry(request.context, SigningKeyRevoked, kid, data)
        await REVOKE_RETIRING.fetch_one(conn, **scope, id=kid, **revoked.parameters())
        return reply_to(request, value)
    assert new is not None, "an active or next key was one before"
    await REVOKE.execute(conn, **scope, id=kid)
    if row["status"] == "active":
        await ACTIVATE.execute(conn, **scope, id=following["id"], now=now)
        active = following
    data |= {"active_key_id": active["id"], "next_key_id": new["id"]}
    revoked = create_entry(request.context, SigningKeyRevoked, kid, data)
    await INSERT_NEXT.fetch_one(conn, **scope, **new | {"created_at": now}, **revoked.parameters())
    return reply_to(request, value)
