"""The webhooks service alone on its database, with receivers on loopback."""

from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from contracts.ids import new_id
from service.webhooks.client import WebhooksClient
from service.webhooks.runners import run_dispatchers
from support.owner import owner_of
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.servers import Servers
from webhooks.rpc import handlers
from webhooks.settings import WebhooksSettings
from webhooks.worker.dispatcher import Dispatcher
from webhooks.worker.http_client import HttpClient


@pytest.fixture(scope="session")
async def client(servers: Servers) -> AsyncIterator[WebhooksClient]:
    development = handlers(allow_private=True)
    async with owner_of("webhooks", development, servers, WebhooksSettings) as owner:
        yield WebhooksClient(owner)


@pytest.fixture
def tenant() -> str:
    """A tenant of this test alone."""
    return new_id("ten")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture
async def other_receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture
async def dispatcher(client: WebhooksClient) -> AsyncIterator[Dispatcher]:
    async with run_dispatchers(client.owner, 1) as (running,):
        yield running


@pytest.fixture
async def http_client() -> AsyncIterator[HttpClient]:
    with closing(HttpClient(allow_private=True)) as opened:
        yield opened
