"""One project of docker-compose.yml for all tests, made of images that are built first."""

from collections.abc import AsyncIterator

import pytest
from containers.compose import Compose, composed, up
from tenantry.servers.ports import HOST, free_ports

SETTINGS = {
    "TENANTRY_RATE_LIMIT": "100000/second",
    "TENANTRY_WEBHOOKS_ALLOW_PRIVATE": "true",
    "TENANTRY_DRAIN_SECONDS": "2",
}


def neighbours() -> tuple[int, int]:
    """Two ports in a row: a range is how compose gives one to each of two containers."""
    first, second = free_ports(2)
    while second != first + 1:
        first, second = second, free_ports(1)[0]
    return first, second


@pytest.fixture(scope="session")
def ports() -> tuple[int, int]:
    return neighbours()


@pytest.fixture(scope="session")
def console() -> str:
    return f"http://{HOST}:{free_ports(1)[0]}"


@pytest.fixture(scope="session")
async def compose(
    ports: tuple[int, int], console: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Compose]:
    """As a user has it: one of each."""
    folder = tmp_path_factory.mktemp("compose")
    console_port = console.rpartition(":")[2]
    published = {"TENANTRY_PORT": str(ports[0]), "TENANTRY_CONSOLE_PORT": console_port}
    async with composed(folder, **published, **SETTINGS) as project:
        await project("build", "migrate")  # the others have all its layers
        await project("build")
        await up(project)
        yield project
