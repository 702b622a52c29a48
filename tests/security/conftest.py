"""One running product for all of this room, and two tenants full of data that must never meet."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from security.sample_tenant import SampleTenant, create_sample_tenant
from support.api import new_tenant
from support.stack import Stack, running_stack


@pytest.fixture(scope="package")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("secure")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture(scope="package")
async def here(stack: Stack, http: ClientSession) -> SampleTenant:
    return await create_sample_tenant(
        await new_tenant(http, stack.url, stack.ready["operator_key"])
    )


@pytest.fixture(scope="package")
async def there(stack: Stack, http: ClientSession) -> SampleTenant:
    return await create_sample_tenant(
        await new_tenant(http, stack.url, stack.ready["operator_key"])
    )
