"""Two tenants full of data that must never meet."""

import pytest
from aiohttp import ClientSession
from security.sample_tenant import SampleTenant, create_sample_tenant
from support.api import new_tenant
from support.stack import Stack


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
