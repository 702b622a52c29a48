"""One running product for all contract tests; a tenant for each test."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, DummyCookieJar
from support.api import Api, new_tenant
from support.stack import Stack, running_stack


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        yield session


@pytest.fixture
def operator(stack: Stack, http: ClientSession) -> Api:
    return Api(http, stack.url, stack.ready["operator_key"])


@pytest.fixture
async def api(stack: Stack, http: ClientSession) -> Api:
    """Called as the root key of a fresh tenant."""
    return await new_tenant(http, stack.url, stack.ready["operator_key"])


@pytest.fixture
def anyone(stack: Stack, http: ClientSession) -> Api:
    """Called without a credential."""
    return Api(http, stack.url)
