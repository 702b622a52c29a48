"""Signing keys of projects: generate, list, rotate, revoke.

A project has exactly one active and one next key. Whoever changes them locks the project's row.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from chassis.database import Connection, Pool
from chassis.encryption import Keyring
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.rows import changed_row, new_row, to_resource
from chassis.statements import Statement, assignments, parameters
from chassis.unit_of_work import read_only, transactional
from contracts.ids import new_id
from contracts.models import Body, ListQuery
from contracts.problems import Problem, not_found
from contracts.signing_keys import (
    Algorithm,
    RotateSigningKey,
    SigningKey,
    SigningKeyRevoked,
    SigningKeyRotated,
)
from outbox.record import OutboxEntry, create_entry, with_outbox_entry
from sqlalchemy import and_, bindparam, case, func, insert, null, or_, select, update

from projects.signing import jwks, key_material
from projects.signing.key_generator import GENERATOR
from projects.tables import PROJECTS, SIGNING_KEYS, SigningKeyRow

STATUS = case(
    (
        and_(SIGNING_KEYS.c.status == "retiring", SIGNING_KEYS.c.retires_at <= func.now()),
        "retired",
    ),
    else_=SIGNING_KEYS.c.status,
).label("status")
"""The status that is shown: a key is retired to the instant, without a write."""
COLUMNS = [
    STATUS if column.name == "status" else column
    for column in SIGNING_KEYS.c
    if column.name != "private_key"
]
_OF_PROJECT = (
    SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
    SIGNING_KEYS.c.project_id == bindparam("project_id"),
)
_ONE = (*_OF_PROJECT, SIGNING_KEYS.c.id == bindparam("id"))
_SETTINGS = select(PROJECTS.c.settings).where(
    PROJECTS.c.tenant_id == bindparam("tenant_id"), PROJECTS.c.id == bindparam("project_id")
)
_INSERT = insert(SIGNING_KEYS).values(parameters(SIGNING_KEYS.c))
_REVOKE = update(SIGNING_KEYS).where(*_ONE).values(status="revoked", private_key=null())

CREATE = Statement(_INSERT)
CREATE_NEXT = Statement(with_outbox_entry(_INSERT.returning(SIGNING_KEYS.c.id).cte("new")))
GET_SETTINGS = Statement(_SETTINGS)
LOCK_PROJECT = Statement(_SETTINGS.with_for_update(key_share=True))
GET = Statement(select(*COLUMNS).where(*_ONE), SigningKeyRow)
GET_CURRENT = Statement(
    select(*COLUMNS).where(
        *_OF_PROJECT,
        or_(SIGNING_KEYS.c.status == "active", SIGNING_KEYS.c.status == "next"),
    ),
    SigningKeyRow,
)
ACTIVATE = Statement(
    update(SIGNING_KEYS).where(*_ONE).values(status="active", activated_at=bindparam("now"))
)
RETIRE = Statement(
    update(SIGNING_KEYS)
    .where(*_ONE)
    .values(
        {
            **assignments([SIGNING_KEYS.c.retires_at]),
            "status": "retiring",
            "private_key": null(),
        }
    )
)
REVOKE = Statement(_REVOKE)
REVOKE_RETIRING = Statement(with_outbox_entry(_REVOKE.returning(SIGNING_KEYS.c.id).cte("changed")))
LIST = Listing(
    row=SigningKeyRow,
    source=SIGNING_KEYS,
    columns=COLUMNS,
    key=SIGNING_KEYS.c.id,
    scope={"tenant_id": SIGNING_KEYS.c.tenant_id, "project_id": SIGNING_KEYS.c.project_id},
)


def to_signing_key(row: SigningKeyRow) -> dict[str, Any]:
    """The key as the API shows it: its public half alone."""
    return to_resource(row, SigningKey, json_columns=("public_jwk",))


async def generate_next_keys(
    keyring: Keyring, algorithm: Algorithm, count: int, *, tenant_id: str, project_id: str
) -> list[SigningKeyRow]:
    """The rows of new next keys, not yet stored. Raises Problem: 429, 503 (see `KeyGenerator`)."""
    materials = await GENERATOR.generate(algorithm, count, tenant_id)
    scope = {"tenant_id": tenant_id, "project_id": project_id}
    return [_next_key(keyring, algorithm, material, **scope) for material in materials]


def _next_key(
    keyring: Keyring,
    algorithm: Algorithm,
    material: key_material.KeyMaterial,
    *,
    tenant_id: str,
    project_id: str,
) -> SigningKeyRow:
    kid = new_id("sgk")
    public_jwk = key_material.to_jwk(material.public, kid, algorithm)
    return new_row(
        SigningKeyRow,
        tenant_id=tenant_id,
        project_id=project_id,
        id=kid,
        algorithm=algorithm,
        status="next",
        public_jwk=orjson.dumps(public_jwk).decode(),
        private_key=keyring.encrypt(material.private, key_material.secret_id(tenant_id, kid)),
        created_at=datetime.now(UTC),
        activated_at=None,
        retires_at=None,
    )


async def create_first_keys(
    conn: Connection, active_key: SigningKeyRow, next_key: SigningKeyRow
) -> None:
    """Stores the keys of a new project. Both are new; the first of them becomes active."""
    active_key = changed_row(active_key, status="active", activated_at=active_key.created_at)
    await CREATE.execute_many(conn, [vars(active_key), vars(next_key)])


def _scope(request: Request[Any, Any]) -> dict[str, str]:
    return {"tenant_id": request.tenant, "project_id": request.path["id"]}


@read_only()
async def list_signing_keys(conn: Connection, request: Request[Body, ListQuery]) -> Reply:
    scope = _scope(request)
    if await GET_SETTINGS.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    keys = [to_signing_key(row) for row in rows]
    return reply_to(request, {"signing_keys": keys, "pagination": pagination})


async def _get_current(
    conn: Connection | Pool, scope: dict[str, str]
) -> tuple[SigningKeyRow, SigningKeyRow]:
    """The active and the next key; after the lock they stay as they are. Raises Problem (404)."""
    found = {row.status: row for row in await GET_CURRENT.fetch_all(conn, **scope)}
    if len(found) < 2:  # the project was deleted meanwhile
        raise not_found()
    return found["active"], found["next"]


async def _generate_next(pool: Pool, request: Request[RotateSigningKey]) -> SigningKeyRow:
    scope = _scope(request)
    settings = await GET_SETTINGS.fetch_value(pool, **scope)
    if settings is None:
        raise not_found()
    if not request.body.force:
        _check_known_everywhere((await _get_current(pool, scope))[1], datetime.now(UTC))
    algorithm = request.body.algorithm or orjson.loads(settings)["signing_algorithm"]
    (new,) = await generate_next_keys(request.keyring, algorithm, 1, **scope)
    return new


@transactional(prepare=_generate_next)
async def rotate_signing_key(
    conn: Connection, request: Request[RotateSigningKey], new: SigningKeyRow
) -> Reply:
    """Next becomes active, active retires, and a new key is published as next."""
    scope = _scope(request)
    settings = await LOCK_PROJECT.fetch_value(conn, **scope)
    if settings is None:
        raise not_found()
    active_key, next_key = await _get_current(conn, scope)
    now = datetime.now(UTC)
    if not request.body.force:
        _check_known_everywhere(next_key, now)
    await jwks.check_size(conn, **scope)
    grace = request.body.grace_period
    if grace is None:
        grace = orjson.loads(settings)["signing_key_grace_period"]
    retires_at = now + timedelta(seconds=grace)
    await RETIRE.execute(conn, **scope, id=active_key.id, retires_at=retires_at)
    await ACTIVATE.execute(conn, **scope, id=next_key.id, now=now)
    value = to_signing_key(changed_row(next_key, status="active", activated_at=now))
    entry = create_entry(
        request.context,
        SigningKeyRotated,
        next_key.id,
        {
            "project_id": scope["project_id"],
            "signing_key": value,
            "retiring_key_id": active_key.id,
            "retires_at": retires_at,
            "next_key_id": new.id,
        },
    )
    await _create_next(conn, new, now, entry)
    return reply_to(request, value, created=next_key.id)


async def _create_next(
    conn: Connection, new: SigningKeyRow, now: datetime, entry: OutboxEntry
) -> None:
    """Published from now on, not from when it was generated before the lock."""
    await CREATE_NEXT.execute(conn, **vars(changed_row(new, created_at=now)), **entry.parameters())


def _check_known_everywhere(next_key: SigningKeyRow, now: datetime) -> None:
    earliest = next_key.created_at + timedelta(seconds=jwks.CACHE_SECONDS)
    if now < earliest:
        reason = "Before, caches may not know the next key. Or send force"
        raise jwks.rotation_too_soon(earliest, reason)


async def _generate_replacement(pool: Pool, request: Request) -> SigningKeyRow | None:
    """None for a key that is neither active nor next: it will never be so again."""
    scope, kid = _scope(request), request.path["kid"]
    row = await GET.fetch_one(pool, **scope, id=kid)
    if row is None:
        raise not_found()
    if row.status not in ("active", "next"):
        return None
    settings = orjson.loads(await GET_SETTINGS.fetch_value(pool, **scope) or b"{}")
    algorithm = settings.get("signing_algorithm", row.algorithm)
    (new,) = await generate_next_keys(request.keyring, algorithm, 1, **scope)
    return new


@transactional(prepare=_generate_replacement)
async def revoke_signing_key(
    conn: Connection, request: Request, new: SigningKeyRow | None
) -> Reply:
    """The key leaves the key set at once; an active or next key is replaced."""
    scope, kid = _scope(request), request.path["kid"]
    if await LOCK_PROJECT.fetch_value(conn, **scope) is None:
        raise not_found()
    row = await GET.fetch_one(conn, **scope, id=kid)
    assert row is not None, "keys are deleted only with their project"
    if row.status in ("retired", "revoked"):
        raise Problem("key_not_active", f"The key is {row.status} and signs nothing any more.")
    active_key, next_key = await _get_current(conn, scope)
    now = datetime.now(UTC)
    value = to_signing_key(changed_row(row, status="revoked"))
    data = {"project_id": scope["project_id"], "signing_key": value}
    if row.status == "retiring":
        data |= {"active_key_id": active_key.id, "next_key_id": next_key.id}
        entry = create_entry(request.context, SigningKeyRevoked, kid, data)
        await REVOKE_RETIRING.execute(conn, **scope, id=kid, **entry.parameters())
        return reply_to(request, value)
    assert new is not None, "an active or next key was one before"
    await REVOKE.execute(conn, **scope, id=kid)
    if row.status == "active":
        await ACTIVATE.execute(conn, **scope, id=next_key.id, now=now)
        active_key = next_key
    data |= {"active_key_id": active_key.id, "next_key_id": new.id}
    entry = create_entry(request.context, SigningKeyRevoked, kid, data)
    await _create_next(conn, new, now, entry)
    return reply_to(request, value)
