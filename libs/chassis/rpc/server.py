"""Answers calls over the NATS services protocol (ADR-32 of NATS).

Each message is a task, at most `limit` at a time: one more gets a 503 at once, never a place in a
queue; a call past its deadline is dropped. Only this file decides how failures look to callers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache

import asyncpg
import orjson
import structlog
from contracts.calls import Call
from contracts.context import CONTEXT_HEADER, REPLY_HEADER, Context
from contracts.problems import Problem, invalid
from contracts.topology import health_subject
from nats.errors import Error as NatsError
from nats.micro import add_service
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER
from nats.micro.request import Request as NatsRequest
from nats.micro.service import ServiceConfig

from chassis.database import CONFLICTS, UNAVAILABLE
from chassis.encryption import Keyring
from chassis.health import Health
from chassis.nats_client import NatsClient
from chassis.request import Reply, json_bytes, problem_reply, validate_request
from chassis.rpc.client import decode_context, unavailable
from chassis.telemetry import CALL_SECONDS, VERSION
from chassis.tracing import span
from chassis.unit_of_work import Handler, UnitOfWork

log = structlog.get_logger()
_seconds = cache(CALL_SECONDS.labels)
DRAIN_SECONDS = 2.0
HEADROOM = 64 * 1024
"""Bytes of a NATS message that are kept for the headers of a reply."""


class Server:
    """Answers the calls of one service, at most `limit` at a time."""

    def __init__(
        self, service: str, unit_of_work: UnitOfWork, keyring: Keyring, limit: int = 256
    ) -> None:
        self._name = service
        self._unit_of_work = unit_of_work
        self._keyring = keyring
        self._free = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._nats: NatsClient | None = None
        self._max_reply = 0

    async def start(
        self, nats: NatsClient, handlers: Mapping[Call, Handler], health: Health
    ) -> None:
        """Registers an endpoint for each call, and one for the service's health."""
        self._nats = nats
        self._max_reply = nats.max_payload - HEADROOM
        config = ServiceConfig(name=f"tenantry-{self._name}", version=VERSION)
        service = await add_service(nats, config)
        for call, handler in handlers.items():
            await service.add_endpoint(
                name=call.name, subject=call.subject, handler=self._accept(call, handler)
            )

        async def report(request: NatsRequest) -> None:
            await request.respond(json_bytes(await health.report()))

        await service.add_endpoint(
            name="health", subject=health_subject(self._name), handler=report
        )

    async def stop(self) -> None:
        """Takes no more calls, and finishes those that have come."""
        if self._nats is not None:
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._nats.drain_queues()
            except (OSError, TimeoutError, NatsError) as error:  # no connection just now
                log.warning("calls_not_drained", error=type(error).__name__)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _accept(self, call: Call, handler: Handler) -> Callable[[NatsRequest], Awaitable[None]]:
        async def accept(request: NatsRequest) -> None:
            if request.subject != call.subject:
                # Sent by a consumer of the stream, which may name any subject to send messages to.
                log.error("call_refused", call=call.name)
                return
            if self._free <= 0:
                busy = Problem("service_unavailable", "Too busy. Try again soon.", retry_after=1)
                await _respond(request, problem_reply(busy, None))
                return
            self._free -= 1
            task = asyncio.create_task(self._handle(call, handler, request))
            self._tasks.add(task)
            task.add_done_callback(self._done)

        return accept

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1

    async def _handle(self, call: Call, handler: Handler, request: NatsRequest) -> None:
        started = time.perf_counter()
        context = decode_context((request.headers or {})[CONTEXT_HEADER])
        if time.time() >= context.deadline:
            return
        with span(f"{self._name}.{call.name}", "SERVER", context.traceparent) as current:
            context.traceparent = current.traceparent
            reply = await self._reply(call, handler, context, request.data)
            current.set_status(reply.status)
        if len(reply.body) > self._max_reply:
            reply = problem_reply(_too_large(), context)
        await _respond(request, reply)
        elapsed = time.perf_counter() - started
        _seconds(call.name, reply.status).observe(elapsed)

    async def _reply(self, call: Call, handler: Handler, context: Context, body: bytes) -> Reply:
        try:
            async with asyncio.timeout(context.deadline - time.time()):
                request = validate_request(call, context, body, self._keyring)
                return await self._unit_of_work.run(handler, request)
        except Problem as problem:
            return problem_reply(problem, context)
        except asyncpg.DataError:
            # A value that PostgreSQL cannot hold and that no rule of ours has named before.
            refusal = Problem("validation_failed", "A value is not one that can be stored.")
            return problem_reply(refusal, context)
        except (TimeoutError, *UNAVAILABLE, *CONFLICTS) as error:
            log.warning(
                "database_unavailable",
                call=call.name,
                request_id=context.request_id,
                error=type(error).__name__,
            )
            return problem_reply(unavailable(self._name), context)
        except Exception:
            log.exception("call_failed", call=call.name, request_id=context.request_id)
            failure = Problem("internal_error", "Something went wrong. Tell us the request id.")
            return problem_reply(failure, context)


def _too_large() -> Problem:
    """Only pages of lists grow so large: of projects with hundreds of long redirects, say."""
    return invalid("limit", "must be lower: these rows are too large for one answer", "too_large")


async def _respond(request: NatsRequest, reply: Reply) -> None:
    head = {"status": reply.status, "headers": dict(reply.headers)}
    if reply.version is not None:
        head["version"] = reply.version
    if reply.created is not None:
        head["created"] = reply.created
    headers = {REPLY_HEADER: orjson.dumps(head).decode()}
    if reply.status >= 400:
        headers |= {ERROR_CODE_HEADER: str(reply.status), ERROR_HEADER: "problem"}
    await request.respond(reply.body, headers=headers)
