"""The keys that sign access tokens: one active, one next, and those that retire.

Edges know the next key long before it signs. Private halves are encrypted as those of projects'
signing keys are, and no other service can open them. Whoever changes the keys holds a lock, so that
replicas that start together make one pair. Beside processes of version 0.1 the first key is theirs,
for a day.
"""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from chassis.database import TIME, Connection, Pool
from chassis.encryption import Keyring, SecretId
from chassis.request import Reply, Request, reply_to, stored_json
from chassis.rows import new_row
from chassis.service import Service
from chassis.statements import Statement, parameters
from chassis.unit_of_work import read_only
from contracts.problems import Problem
from contracts.tenants import TOKEN_KEY_RELEASE, TOKEN_LIFETIME
from contracts.topology import TOKEN_KEYS_CHANGED, Lock
from sqlalchemy import BigInteger, bindparam, delete, func, insert, null, or_, select, update

from projects.signing import key_material
from projects.tables import TOKEN_KEYS, TokenKeyRow

ROTATION = timedelta(days=90)
"""How long a key signs before the next one does."""
OF_0_1_SIGNS = timedelta(days=1)
"""How long the key of version 0.1 signs before the next one does."""
PUBLISHED = timedelta(minutes=5)
"""How long a next key is published before it signs, unless its predecessor has leaked."""
MAINTENANCE_SECONDS = 2.0
RETIRING = timedelta(seconds=TOKEN_LIFETIME + 60)
"""How long a key verifies once it signs no more: longer than its last token lives."""

LOCK = Statement(select(func.pg_advisory_xact_lock(bindparam("lock", type_=BigInteger))))
GET_ALL = Statement(select(TOKEN_KEYS).order_by(TOKEN_KEYS.c.created_at), TokenKeyRow)
GET_ACTIVE = Statement(
    select(TOKEN_KEYS.c.id, TOKEN_KEYS.c.private_key).where(TOKEN_KEYS.c.status == "active"),
    TokenKeyRow,
)
LIST_PUBLIC_KEYS = Statement(
    select(TOKEN_KEYS.c.public_jwk)
    .where(or_(TOKEN_KEYS.c.retires_at.is_(None), TOKEN_KEYS.c.retires_at > func.now()))
    .order_by(TOKEN_KEYS.c.created_at),
    TokenKeyRow,
)
CREATE = Statement(insert(TOKEN_KEYS).values(parameters(TOKEN_KEYS.c)))
RETIRE = Statement(
    update(TOKEN_KEYS)
    .where(TOKEN_KEYS.c.status == "active")
    .values(status="retiring", private_key=null(), retires_at=bindparam("retires", type_=TIME))
)
ACTIVATE = Statement(
    update(TOKEN_KEYS)
    .where(TOKEN_KEYS.c.status == "next")
    .values(status="active", activated_at=bindparam("now", type_=TIME))
)
DELETE = Statement(delete(TOKEN_KEYS).where(TOKEN_KEYS.c.id == bindparam("id")))
DELETE_RETIRED = Statement(delete(TOKEN_KEYS).where(TOKEN_KEYS.c.retires_at <= func.now()))


def secret_id(kid: str) -> SecretId:
    """A private key decrypts as that key alone."""
    return SecretId("token_key", "", kid)


@read_only(reserved=True)
async def get_token_keys(conn: Connection, request: Request) -> Reply:
    """The public keys as a JSON Web Key Set."""
    rows = await LIST_PUBLIC_KEYS.fetch_all(conn)
    return reply_to(request, {"keys": [stored_json(row.public_jwk) for row in rows]})


async def get_active(conn: Connection, keyring: Keyring) -> tuple[str, key_material.PrivateKey]:
    """The id and the private key of the active key. Raises Problem (503) if there is none yet."""
    row = await GET_ACTIVE.fetch_one(conn)
    if row is None or row.private_key is None:
        raise Problem("service_unavailable", "No token can be signed just now.", retry_after=1)
    return row.id, _private_key(keyring, row.id, row.private_key)


@lru_cache(maxsize=8)
def _private_key(keyring: Keyring, kid: str, encrypted: str) -> key_material.PrivateKey:
    return key_material.load(keyring.decrypt(encrypted, secret_id(kid)))


async def maintain(pool: Pool, keyring: Keyring) -> list[str]:
    """Makes the first keys, rotates by schedule and deletes retired ones; returns the ids of the
    keys that are published.
    """
    rows = await GET_ALL.fetch_all(pool)
    if _is_due(rows, datetime.now(UTC)):
        async with pool.acquire() as conn, conn.transaction():
            await _maintain_locked(conn, keyring)
        rows = await GET_ALL.fetch_all(pool)
    return [row.id for row in rows]


def _is_due(rows: list[TokenKeyRow], now: datetime) -> bool:
    return not rows or any(
        (row.retires_at is not None and row.retires_at <= now)
        or (row.activated_at is not None and _ends_by_schedule(row, now))
        for row in rows
    )


def _ends_by_schedule(row: TokenKeyRow, now: datetime) -> bool:
    return (
        row.status == "active"
        and row.activated_at is not None
        and (row.activated_at + ROTATION <= now)
    )


async def _maintain_locked(conn: Connection, keyring: Keyring) -> None:
    await LOCK.execute(conn, lock=Lock.TOKEN_KEYS)
    await DELETE_RETIRED.execute(conn)
    rows, now = await GET_ALL.fetch_all(conn), datetime.now(UTC)
    if not rows and keyring.writes_as_0_1:
        await _create_of_0_1(conn, keyring, now)
        await _create(conn, keyring, "next", now)
    elif not rows:
        for status in ("active", "next"):
            await _create(conn, keyring, status, now)
    elif any(_ends_by_schedule(row, now) for row in rows):
        await _replace_active(conn, keyring, now)


async def rotate(conn: Connection, keyring: Keyring, *, leaked: bool = False) -> str:
    """The next key signs from now on; returns its id. Runs in the caller's transaction.

    A key that has leaked is deleted: its tokens end with it. Otherwise it verifies them until the
    last one has ended, and the next key must have been published for some minutes: raises Problem
    (409) if not.
    """
    await LOCK.execute(conn, lock=Lock.TOKEN_KEYS)
    rows, now = {row.status: row for row in await GET_ALL.fetch_all(conn)}, datetime.now(UTC)
    if "next" not in rows:
        raise Problem("key_not_active", "There are no token keys yet. Start the projects service.")
    earliest = rows["next"].created_at + PUBLISHED
    if leaked:
        await DELETE.execute(conn, id=rows["active"].id)
    elif now < earliest:
        raise Problem("rotation_too_soon", f"Edges may not know the next key before {earliest}.")
    await _replace_active(conn, keyring, now)
    return rows["next"].id


async def _replace_active(conn: Connection, keyring: Keyring, now: datetime) -> None:
    await RETIRE.execute(conn, retires=now + RETIRING)
    await ACTIVATE.execute(conn, now=now)
    await _create(conn, keyring, "next", now)


async def _create(conn: Connection, keyring: Keyring, status: str, now: datetime) -> None:
    material = key_material.generate("EdDSA")
    kid = hashlib.sha256(orjson.dumps(material.public)).hexdigest()[:16]
    row = _row(keyring, status, material, key_material.to_jwk(material.public, kid, "EdDSA"), now)
    await CREATE.execute(conn, **vars(row))


async def _create_of_0_1(conn: Connection, keyring: Keyring, now: datetime) -> None:
    """The one key of version 0.1, derived from its hash key: either release verifies its tokens."""
    material = key_material.from_seed(keyring.derive("access-token")[0])
    x = material.public["x"]
    kid = hashlib.sha256(base64.urlsafe_b64decode(f"{x}=")).hexdigest()[:16]
    jwk = {**key_material.to_jwk(material.public, kid, "EdDSA"), TOKEN_KEY_RELEASE: "0.1"}
    row = _row(keyring, "active", material, jwk, now)
    row.activated_at = now - ROTATION + OF_0_1_SIGNS
    await CREATE.execute(conn, **vars(row))


def _row(
    keyring: Keyring,
    status: str,
    material: key_material.KeyMaterial,
    jwk: dict[str, Any],
    now: datetime,
) -> TokenKeyRow:
    return new_row(
        TokenKeyRow,
        id=jwk["kid"],
        status=status,
        public_jwk=orjson.dumps(jwk).decode(),
        private_key=keyring.encrypt(material.private, secret_id(jwk["kid"])),
        created_at=now,
        activated_at=now if status == "active" else None,
        retires_at=None,
    )


class Maintenance:
    """Keeps the token keys of a running service, and announces each change of them to the edges."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._published: list[str] = []

    async def step(self) -> None:
        published = await maintain(self._service.pool, self._service.keyring)
        if published != self._published:
            await self._service.nats.publish(TOKEN_KEYS_CHANGED, b"{}")
            self._published = published
