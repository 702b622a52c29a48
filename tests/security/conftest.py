"""One running product for all of this room, and two tenants full of data that must never meet."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, DummyCookieJar
from security.sample_tenant import SampleTenant, create_sample_tenant
from support.api import Api, new_tenant
from support.stack import Stack, running_stack


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("secure")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        yield session


@pytest.fixture(scope="session")
def operator(stack: Stack, http: ClientSession) -> Api:
    return Api(http, stack.url, stack.ready["operator_key"])


@pytest.fixture
def anyone(stack: Stack, http: ClientSession) -> Api:
    """Called without a credential."""
    return Api(http, stack.url)


@pytest.fixture
async def api(stack: Stack, http: ClientSession) -> Api:
    """Called as the root key of a fresh tenant."""
    return await new_tenant(http, stack.url, stack.ready["operator_key"])


@pytest.fixture(scope="session")
async def here(stack: Stack, http: ClientSession) -> SampleTenant:
    return await create_sample_tenant(
        await new_tenant(http, stack.url, stack.ready["operator_key"])
    )


@pytest.fixture(scope="session")
async def there(stack: Stack, http: ClientSession) -> SampleTenant:
    return await create_sample_tenant(
        await new_tenant(http, stack.url, stack.ready["operator_key"])
    )
