"""Servers that all tests of one run share: real PostgreSQL, NATS and Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.servers import servers_on
from tenantry.servers import Servers


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """PostgreSQL, NATS and Redis on a folder of their own."""
    folder: Path = tmp_path_factory.mktemp("servers")
    async with servers_on(folder) as running:
        yield running
