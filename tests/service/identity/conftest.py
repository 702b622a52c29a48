"""Identity on its database; projects beside it signs and publishes keys, as the real one does."""

from collections.abc import AsyncIterator

import pytest
from chassis.request import Reply
from contracts.calls import Call
from contracts.context import Context
from identity.activity import Activity
from identity.projects import Projects
from identity.rpc import routes
from projects.rpc import ROUTES as PROJECTS
from service.identity.people import People, new_tenant, settled
from support.owner import Owner, owner_of
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def projects(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("projects", PROJECTS, servers) as owner:
        yield owner


@pytest.fixture(scope="session")
def activity() -> Activity:
    return Activity()


@pytest.fixture(scope="session")
async def identity(servers: Servers, projects: Owner, activity: Activity) -> AsyncIterator[Owner]:
    async def ask(call: Call, context: Context, body: bytes) -> Reply:
        answer = await projects.call(
            call, context.tenant_id, body, path=context.path, request_id=context.request_id
        )
        return answer.reply

    async with owner_of("identity", routes(Projects(ask), activity), servers) as owner:
        yield owner


@pytest.fixture
async def tenant(projects: Owner) -> str:
    """A tenant of this test alone."""
    return await new_tenant(projects)


@pytest.fixture
async def people(identity: Owner, projects: Owner) -> People:
    """A tenant of this test alone, with a project."""
    return await settled(identity, projects)
