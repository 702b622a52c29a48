"""The unit of work: the only code that begins and commits transactions.

A handler says at its definition how it uses the database: `@read_only`, `@transactional` or
`@single_statement`. No connection is held while a `prepare` function calls another service.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import asyncpg
from contracts.problems import Problem

from chassis.database import CONFLICTS, Connection, Pool
from chassis.encryption import Keyring
from chassis.idempotency import IDEMPOTENCY, StoredReply
from chassis.replica import Replica
from chassis.request import Reply, Request, problem_reply

Function = Callable[..., Awaitable[Reply]]
"""`(connection or pool, request)`, and with `prepare` what that returned as a third argument."""
Prepare = Callable[..., Awaitable[Any]]
"""`(pool, request)`: what is done before the transaction. A statement that is run on the pool holds
a connection only while it runs. Must change nothing."""
Condition = Callable[[Any, Any], bool]
"""Whether a request with this body, and with what `prepare` returned, is one statement."""
_Work = Callable[[Connection], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that answers a call, and how it uses the database.

    `kind`: `read` runs without a transaction, `pool` too and gets the pool instead of a connection,
    `write` runs in a transaction, `single` without one if `condition` holds for the body:
    PostgreSQL runs one statement as a transaction, which saves the round trips of BEGIN and COMMIT.
    With an Idempotency-Key every write is a transaction. What `is_reserved` never waits for the
    places and connections of others.
    """

    function: Function
    kind: Literal["pool", "read", "write", "single"]
    prepare: Prepare | None = None
    condition: Condition = lambda *_: True
    is_reserved: bool = False

    def bind(self, **dependencies: Any) -> "Handler":
        """The handler with keyword arguments for `prepare`, or else for the function."""
        if self.prepare is not None:
            return replace(self, prepare=partial(self.prepare, **dependencies))
        return replace(self, function=partial(self.function, **dependencies))


def read_only(
    *, prepare: Prepare | None = None, on_pool: bool = False, reserved: bool = False
) -> Callable[[Function], Handler]:
    """Declares a handler that changes nothing. With `on_pool` it gets the pool: it holds a
    connection only while one of its statements runs, and may call another service in between.
    `reserved`: it has connections and places that no other handler can take.
    """
    kind: Literal["pool", "read"] = "pool" if on_pool else "read"
    return partial(Handler, kind=kind, prepare=prepare, is_reserved=reserved)


def transactional(*, prepare: Prepare | None = None) -> Callable[[Function], Handler]:
    """Declares a handler whose statements are one transaction."""
    return partial(Handler, kind="write", prepare=prepare)


def single_statement(
    *, when: Condition = lambda *_: True, prepare: Prepare | None = None
) -> Callable[[Function], Handler]:
    """Declares a handler that changes rows by exactly one statement, at least if `when` holds for
    the body and what `prepare` returned. Whoever adds a second statement declares it
    `@transactional()`.
    """
    return partial(Handler, kind="single", prepare=prepare, condition=when)


class UnitOfWork:
    """Runs handlers on the pool, or on that for reserved ones if there is one; those of calls that
    may lag on the replica, if there is one that answers. `after_commit` is called after every
    committed write.
    """

    def __init__(
        self,
        pool: Pool,
        keyring: Keyring,
        after_commit: Callable[[], None],
        reserved_pool: Pool | None = None,
        replica: Replica | None = None,
    ) -> None:
        self._pool = pool
        self._replica = replica
        self._reserved_pool = reserved_pool or pool
        self._keyring = keyring
        self._after_commit = after_commit

    async def run(self, handler: Handler, request: Request[Any, Any]) -> Reply:
        """The handler's reply, committed. Raises Problem, and the errors of the database."""
        if handler.kind == "pool":
            return await handler.function(self._pool, request)
        if handler.is_reserved:
            async with self._reserved_pool.acquire() as conn:
                return await handler.function(conn, request)
        if handler.kind == "read":
            work = _work(handler, request, await self._prepare(handler, request))
            return await self._ask_replica(work, request) or await self._run(work)
        if request.context.idempotency_key is not None:
            reply = await self._run_once(handler, request)
        else:
            prepared = await self._prepare(handler, request)
            is_single = handler.kind == "single" and handler.condition(request.body, prepared)
            run = self._run if is_single else self._run_in_transaction
            reply = await _retried(run, _work(handler, request, prepared))
        self._after_commit()
        return reply

    async def _prepare(self, handler: Handler, request: Request[Any, Any]) -> Any:
        return None if handler.prepare is None else await handler.prepare(self._pool, request)

    async def _ask_replica(self, work: _Work, request: Request[Any, Any]) -> Reply | None:
        """None: ask the primary, which has half of the time that is left."""
        context = request.context
        if self._replica is None or not request.call.may_lag or context.fresh:
            return None
        return await self._replica.run(work, (context.deadline - time.time()) / 2)

    async def _run(self, work: _Work) -> Reply:
        async with self._pool.acquire() as conn:
            return await work(conn)

    async def _run_in_transaction(self, work: _Work) -> Reply:
        async with self._pool.acquire() as conn, conn.transaction():
            return await work(conn)

    async def _run_once(self, handler: Handler, request: Request[Any, Any]) -> Reply:
        """The stored reply to the first request, or else the reply to this one, stored."""
        stored = StoredReply.of(request, self._keyring)
        if handler.prepare is not None:
            reply = await stored.get(self._pool)  # a repeat calls no other service again
            if reply is not None:
                return reply
        try:
            work = _work(handler, request, await self._prepare(handler, request))
        except Problem as problem:
            if problem.status >= 500:
                raise
            work = partial(_refuse, problem)

        async def get_or_run(work: _Work) -> Reply:
            async with self._pool.acquire() as conn, conn.transaction():
                reply = await stored.get(conn)
                if reply is not None:
                    return reply
                try:
                    async with conn.transaction():
                        reply = await work(conn)
                except Problem as problem:
                    reply = problem_reply(problem, request.context)
                await stored.create(conn, reply)
            return reply

        try:
            return await _retried(get_or_run, work)
        except asyncpg.UniqueViolationError as error:
            if error.table_name != IDEMPOTENCY.name:
                raise
            # The first request committed between our look and our lock: its reply is there now.
            return await get_or_run(work)


def _work(handler: Handler, request: Request[Any, Any], prepared: Any) -> _Work:
    """What is left to do with a connection."""
    if handler.prepare is None:
        return lambda conn: handler.function(conn, request)
    return lambda conn: handler.function(conn, request, prepared)


async def _refuse(problem: Problem, _: Connection) -> Reply:
    raise problem


async def _retried(run: Callable[[_Work], Awaitable[Reply]], work: _Work) -> Reply:
    """Runs it once more if another transaction was in the way."""
    try:
        return await run(work)
    except CONFLICTS:
        return await run(work)
