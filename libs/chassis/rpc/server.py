"""Answering calls over the NATS services protocol (ADR-32 of NATS).

A task per message under a bound: full is an immediate 503, never a queue; a call past its
deadline is dropped.
This file alone decides what a failure looks like to the caller.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Any

import asyncpg
import orjson
import structlog
from contracts.calls import Call, health_subject
from contracts.context import CONTEXT_HEADER, REPLY_HEADER, Context
from contracts.problems import Problem, invalid
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service, ServiceConfig

from chassis.request import Request, Reply, json_bytes, problem_headers, validate_request
from chassis.unit_of_work import UnitOfWork, Routes
from chassis.database import CONFLICTS, UNAVAILABLE
from chassis.health import Health
from chassis.encryption import Keyring
from chassis.rpc.client import decode_context, unavailable
from chassis.telemetry import CALL_SECONDS, VERSION
from chassis.tracing import span

log = structlog.get_logger()
_seconds = cache(CALL_SECONDS.labels)
DRAIN_SECONDS = 2.0
HEADROOM = 64 * 1024
"""What is left of a message of NATS for the headers of an answer."""
Run = Callable[[Request[Any, Any]], Awaitable[Reply]]


class Server:
    """Answers the calls of one service, at most `limit` at a time."""

    def __init__(self, service: str, boundary: UnitOfWork, keys: Keyring, limit: int = 256) -> None:
        self._name = service
        self._boundary = boundary
        self._keys = keys
        self._free = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._service: Service | None = None

    async def start(self, nats: Client, routes: Routes, health: Health) -> None:
        """Registers an endpoint for each call, and one for the service's health."""
        config = ServiceConfig(name=f"tenantry-{self._name}", version=VERSION)
        self._service = await add_service(nats, config)
        runs = {call: partial(self._boundary.read, each) for call, each in routes.reads.items()}
        for call, function in routes.writes.items():
            runs[call] = partial(self._boundary.write, function, single=routes.single.get(call))
        for call, run in runs.items():
            await self._service.add_endpoint(
                name=call.name, subject=call.subject, handler=self._accept(call, run)
            )

        async def report(request: Request) -> None:
            await request.respond(json_bytes(await health.report()))

        await self._service.add_endpoint(
            name="health", subject=health_subject(self._name), handler=report
        )

    async def stop(self) -> None:
        """Takes no more, and finishes what is under way."""
        if self._service is not None:
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await _drain(self._service)
            except (OSError, TimeoutError, NatsError) as error:  # no connection just now
                log.warning("calls_not_drained", error=type(error).__name__)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _accept(self, call: Call, run: Run) -> Callable[[Request], Awaitable[None]]:
        async def accept(request: Request) -> None:
            msg: Msg = request._msg  # noqa: SLF001 - Request hides the reply subject
            if self._free <= 0:
                busy = Problem("service_unavailable", "Too busy. Try again soon.", retry_after=1)
                await _respond(msg, _problem_reply(busy, None))
                return
            self._free -= 1
            task = asyncio.create_task(self._handle(call, run, msg))
            self._tasks.add(task)
            task.add_done_callback(self._done)

        return accept

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1

    async def _handle(self, call: Call, run: Run, msg: Msg) -> None:
        started = time.perf_counter()
        context = decode_context((msg.headers or {})[CONTEXT_HEADER])
        if time.time() >= context.deadline:
            return
        with span(f"{self._name}.{call.name}", "SERVER", context.traceparent) as current:
            context.traceparent = current.traceparent
            reply = await self._outcome(call, run, context, msg.data)
            current.ended(reply.status)
        if len(reply.body) > msg._client.max_payload - HEADROOM:  # noqa: SLF001
            reply = _problem_reply(_too_much(), context)
        await _respond(msg, reply)
        elapsed = time.perf_counter() - started
        _seconds(call.name, reply.status).observe(elapsed)

    async def _outcome(self, call: Call, run: Run, context: Context, body: bytes) -> Reply:
        try:
            async with asyncio.timeout(context.deadline - time.time()):
                return await run(validate_request(call, context, body, self._keys))
        except Problem as problem:
            return _problem_reply(problem, context)
        except asyncpg.DataError:
            # A value that PostgreSQL cannot hold and that no rule of ours has named before.
            refusal = Problem("validation_failed", "A value is not one that can be stored.")
            return _problem_reply(refusal, context)
        except (TimeoutError, *UNAVAILABLE, *CONFLICTS) as error:
            log.warning(
                "database_unavailable",
                call=call.name,
                request_id=context.request_id,
                error=type(error).__name__,
            )
            return _problem_reply(unavailable(self._name), context)
        except Exception:
            log.exception("call_failed", call=call.name, request_id=context.request_id)
            return _problem_reply(
                Problem("internal_error", "Something went wrong. Tell us the request id."), context
            )


async def _drain(service: Service) -> None:
    """Takes leave of NATS, and hands over what has come till then; stop() would throw that away."""
    nats: Client = service._client  # noqa: SLF001
    endpoints, service._endpoints = service._endpoints, []  # noqa: SLF001
    subscriptions = [each._subscription for each in endpoints if each._subscription]  # noqa: SLF001
    for each in subscriptions:
        await nats._send_unsubscribe(each._id)  # noqa: SLF001
    await nats.flush()  # the PING of a drain can overtake what it is to follow
    await asyncio.gather(*(each.drain() for each in subscriptions))
    await service.stop()


def _too_much() -> Problem:
    """Only pages of lists grow so large: of projects with hundreds of long redirects, say."""
    return invalid("limit", "must be lower: these rows are too large for one answer", "too_large")


def _problem_reply(problem: Problem, context: Context | None) -> Reply:
    request_id, trace_id = (context.request_id, context.trace_id) if context else ("", "")
    body = json_bytes(problem.body(request_id, trace_id))
    return Reply(body, problem.status, headers=problem_headers(problem))


async def _respond(msg: Msg, reply: Reply) -> None:
    head = {"status": reply.status, "headers": dict(reply.headers)}
    if reply.version is not None:
        head["version"] = reply.version
    if reply.created is not None:
        head["created"] = reply.created
    headers = {REPLY_HEADER: orjson.dumps(head).decode()}
    if reply.status >= 400:
        headers["Nats-Service-Error-Code"] = str(reply.status)
        headers["Nats-Service-Error"] = "problem"
    # Not msg.respond(): it would send the request's own headers back.
    await msg._client.publish(msg.reply, reply.body, headers=headers)  # noqa: SLF001
