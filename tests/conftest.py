"""Servers that all tests of one run share: real PostgreSQL, NATS and Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tenantry.servers import Servers, backing_servers


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """PostgreSQL, NATS and Redis on a folder of their own."""
    folder: Path = tmp_path_factory.mktemp("servers")
    async with backing_servers(folder) as running:
        yield running
