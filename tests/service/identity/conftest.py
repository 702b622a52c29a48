"""Identity on its database, with the projects service on its own."""

from collections.abc import AsyncIterator

import pytest
from chassis.request import Reply
from contracts.calls import Call
from contracts.context import Context
from identity import counters
from identity.last_active import LastActive
from identity.projects_client import CallService, ProjectsClient
from identity.rpc import handlers
from projects.rpc import HANDLERS
from service.identity.client import IdentityClient
from support.owner import Owner, owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def projects(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("projects", HANDLERS, servers) as owner:
        yield owner


@pytest.fixture(scope="session")
def last_active() -> LastActive:
    return LastActive()


@pytest.fixture(scope="session")
def call_projects(projects: Owner) -> CallService:
    """The projects service as identity calls it."""

    async def call_service(call: Call, context: Context, body: bytes) -> Reply:
        answer = await projects.call(
            call, context.tenant_id, body, path=context.path, request_id=context.request_id
        )
        return answer.reply

    return call_service


@pytest.fixture(scope="session")
async def identity(
    servers: Servers, call_projects: CallService, last_active: LastActive
) -> AsyncIterator[Owner]:
    table = handlers(ProjectsClient(call_projects), last_active)
    async with owner_of("identity", table, servers) as owner:
        yield owner


@pytest.fixture
async def client(identity: Owner, projects: Owner) -> IdentityClient:
    return await IdentityClient.create(identity, projects)


@pytest.fixture
async def other_client(identity: Owner, projects: Owner) -> IdentityClient:
    return await IdentityClient.create(identity, projects)


@pytest.fixture
async def folded(client: IdentityClient) -> None:
    """What other tests have counted is folded: a fold takes some at a time."""
    while await client.pool.fetchval("SELECT count(*) FROM tallies WHERE NOT folded"):
        await counters.fold(client.pool)
