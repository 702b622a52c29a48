"""Webhooks alone on its database, with receivers of its deliveries on loopback."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from contracts.ids import new_id
from service.webhooks.world import World
from support.owner import owner_of
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.servers import Servers
from webhooks.connecting import open_session
from webhooks.dispatch import Dispatcher
from webhooks.rpc import routes
from webhooks.settings import WebhooksSettings


@pytest.fixture(scope="session")
async def world(servers: Servers) -> AsyncIterator[World]:
    async with owner_of("webhooks", routes(allow_private=True), servers, WebhooksSettings) as owner:
        yield World(owner)


@pytest.fixture
def tenant() -> str:
    """A tenant of this test alone."""
    return new_id("ten")


@pytest.fixture
async def endpoint() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as here:
        yield here


@pytest.fixture
async def another() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as here:
        yield here


@pytest.fixture
async def sending(world: World) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work."""
    dispatcher = Dispatcher(
        world.owner.pool,
        world.owner.keys,
        open_session(allow_private=True),
        allow_private=True,
    )
    task = asyncio.create_task(dispatcher.run())
    yield dispatcher
    await dispatcher.stop()
    task.cancel()
