"""What becomes of calls to a service that stops: answered, or refused at once; never left alone."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

from chassis.health import Health
from chassis.nats_client import connect
from chassis.rpc.client import call_service
from chassis.rpc.server import Server
from chassis.unit_of_work import UnitOfWork
from contracts import projects as calls
from contracts.context import Context
from contracts.ids import new_id
from contracts.problems import Problem
from nats.aio.client import Client
from projects.rpc import HANDLERS
from support.owner import TRACE, owner_of
from tenantry.servers import Servers

CALLS = 300


async def outcome(nats: Client, tenant: str) -> str:
    deadline = datetime.now(UTC).timestamp() + 5
    context = Context(
        tenant_id=tenant, request_id=new_id("req"), traceparent=TRACE, deadline=deadline
    )
    try:
        return str((await call_service(nats, calls.LIST_PROJECTS, context)).status)
    except Problem as problem:
        return problem.code


async def test_each_call_that_has_reached_it_is_answered(servers: Servers) -> None:
    asking = await connect(servers.nats_url("edge"))
    async with owner_of("projects", HANDLERS, servers) as owner:
        answering = await connect(servers.nats_url("projects"))
        boundary = UnitOfWork(owner.pool, owner.keyring, lambda: None)
        server = Server("projects", boundary, owner.keyring, limit=CALLS)
        await server.start(answering, HANDLERS, Health())
        await answering.flush()
        await answering.flush()
        tenant = new_id("ten")
        assert await outcome(asking, tenant) == "200"
        asked = [asyncio.create_task(outcome(asking, tenant)) for _ in range(CALLS)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        await server.stop()
        outcomes = Counter(await asyncio.gather(*asked))
        assert set(outcomes) <= {"200", "service_unavailable"}, outcomes
        assert outcomes["200"]
        assert await outcome(asking, tenant) == "service_unavailable"
        await answering.close()
    await asking.close()
