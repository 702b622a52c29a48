"""The boundary: the one place that begins and commits, and where a repeat meets the first answer.

With an Idempotency-Key the answer is stored in the transaction of the change, sealed, for 24
hours. draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from contracts.calls import Call
from contracts.problems import Problem
from sqlalchemy import (
    Column,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import BIGINT

from chassis.request import Request, Reply, json_bytes, problem_headers
from chassis.database import CONFLICTS, ID, TIME, Connection, Pool
from chassis.encryption import Keyring
from chassis.statements import Statement

Function = Callable[[Connection, Any], Awaitable[Reply]]

IDEMPOTENCY = Table(
    "idempotency",
    MetaData(),
    Column("tenant_id", ID, primary_key=True),
    Column("key", ID, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", TIME, nullable=False, index=True, server_default=func.now()),
)


@dataclass(frozen=True)
class Routes:
    """Which function answers which call, and how it wants its connection.

    `reads` run without a transaction, `writes` in one. `single` says of which bodies a write is
    one statement, which needs no BEGIN and COMMIT of its own: one round trip.
    """

    reads: Mapping[Call, Function]
    writes: Mapping[Call, Function]
    single: Mapping[Call, Callable[[Any], bool]] = field(default_factory=dict)


_FIND = Statement(
    select(
        func.pg_try_advisory_xact_lock(bindparam("lock", type_=BIGINT)).label("mine"),
        select(IDEMPOTENCY.c.fingerprint)
        .where(
            IDEMPOTENCY.c.tenant_id == bindparam("tenant_id"),
            IDEMPOTENCY.c.key == bindparam("key"),
        )
        .scalar_subquery()
        .label("fingerprint"),
        select(IDEMPOTENCY.c.answer)
        .where(
            IDEMPOTENCY.c.tenant_id == bindparam("tenant_id"),
            IDEMPOTENCY.c.key == bindparam("key"),
        )
        .scalar_subquery()
        .label("answer"),
    )
)
_STORE = Statement(
    insert(IDEMPOTENCY).values(
        tenant_id=bindparam("tenant_id"),
        key=bindparam("key"),
        fingerprint=bindparam("fingerprint"),
        answer=bindparam("answer"),
    )
)
EXPIRE = Statement(
    delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at < func.now() - text("interval '24 hours'"))
)


class UnitOfWork:
    """Runs handlers on the pool. `after_commit` is told of every committed write."""

    def __init__(self, pool: Pool, keys: Keyring, after_commit: Callable[[], None]) -> None:
        self._pool = pool
        self._keys = keys
        self._after_commit = after_commit

    async def read(self, function: Function, request: Request[Any, Any]) -> Reply:
        async with self._pool.acquire() as conn:
            return await function(conn, request)

    async def write(
        self,
        function: Function,
        request: Request[Any, Any],
        single: Callable[[Any], bool] | None = None,
    ) -> Reply:
        if request.context.idempotency_key is not None:
            once = self._idempotent
        elif single is not None and single(request.body):
            once = self.read
        else:
            once = self._transaction
        try:
            reply = await once(function, request)
        except CONFLICTS:
            reply = await once(function, request)
        self._after_commit()
        return reply

    async def _transaction(self, function: Function, request: Request[Any, Any]) -> Reply:
        async with self._pool.acquire() as conn, conn.transaction():
            return await function(conn, request)

    async def _idempotent(self, function: Function, request: Request[Any, Any]) -> Reply:
        try:
            return await self._first_or_stored(function, request)
        except asyncpg.UniqueViolationError as error:
            if error.table_name != IDEMPOTENCY.name:
                raise
            # The first committed between our look and our lock: its answer is there now.
            return await self._first_or_stored(function, request)

    async def _first_or_stored(self, function: Function, request: Request[Any, Any]) -> Reply:
        fingerprint = _fingerprint(request)
        owner = _owner(request, fingerprint)
        key = request.context.idempotency_key or ""
        associated_data = f"idempotency:{owner}:{key}"
        async with self._pool.acquire() as conn, conn.transaction():
            found = await _FIND.fetch_one(
                conn, lock=_lock(associated_data), tenant_id=owner, key=key
            )
            assert found is not None
            if found["answer"] is not None:
                if found["fingerprint"] != fingerprint:
                    raise Problem(
                        "idempotency_key_reused",
                        "This Idempotency-Key belongs to another request. Use a fresh one.",
                    )
                return _replayed(self._keys.open(found["answer"], associated_data))
            if not found["mine"]:
                raise Problem(
                    "idempotency_in_flight",
                    "The first request with this Idempotency-Key is still running. Try again soon.",
                )
            try:
                async with conn.transaction():
                    reply = await function(conn, request)
            except Problem as problem:
                reply = problem_reply(problem, request)
            sealed = self._keys.seal(_stored(reply), associated_data)
            await _STORE.execute(
                conn, tenant_id=owner, key=key, fingerprint=fingerprint, answer=sealed
            )
        return reply


def problem_reply(problem: Problem, request: Request[Any, Any]) -> Reply:
    """A refusal as an answer that can be stored and repeated."""
    body = json_bytes(problem.body(request.context.request_id, request.context.trace_id))
    return Reply(body, problem.status, headers=problem_headers(problem))


def _owner(request: Request[Any, Any], fingerprint: str) -> str:
    """Whose keys they are. Who has no credential shares them with the same request alone: what
    strangers send has nothing to do with it.
    """
    if request.context.tenant_id is not None:
        return request.context.tenant_id
    return "operator" if request.context.actor_type == "operator" else f"anyone:{fingerprint}"


def _fingerprint(request: Request[Any, Any]) -> str:
    """What is asked, and with what rights: an answer may hold what only these may see."""
    scopes = sorted(request.context.scopes)
    parts = [request.call.subject, request.context.path, request.context.query, scopes]
    return hashlib.sha256(orjson.dumps(parts) + b"\0" + request.encoded).hexdigest()


def _lock(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _stored(reply: Reply) -> bytes:
    head = orjson.dumps([reply.status, reply.version, reply.created, dict(reply.headers)])
    return head + b"\n" + reply.body


def _replayed(stored: bytes) -> Reply:
    head, _, body = stored.partition(b"\n")
    status, version, created, headers = orjson.loads(head)
    return Reply(body, status, version, created, {**headers, "Idempotent-Replayed": "true"})
