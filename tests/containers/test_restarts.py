"""Two of each behind a balancer: a rolling restart under load loses no request."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from containers.compose import (
    NO_ENGINE,
    SERVICES,
    Balancer,
    Compose,
    balanced,
    command,
    healthy,
    under_load,
    up,
)
from support.api import new_tenant
from tenantry.servers.ports import HOST

pytestmark = pytest.mark.skipif(NO_ENGINE is not None, reason=f"NOTHING WAS RUN: {NO_ENGINE}")


@pytest.fixture(scope="module")
async def twofold(compose: Compose, ports: tuple[int, int]) -> AsyncIterator[Balancer]:
    """Two of each, and the edges behind a balancer."""
    compose.settings["TENANTRY_PORT"] = f"{ports[0]}-{ports[1]}"
    await up(compose, *(f"--scale={name}=2" for name in (*SERVICES, "edge")))
    async with balanced(*ports) as balancer:
        yield balancer


@pytest.mark.parametrize("service", [*SERVICES, "edge"])
async def test_a_rolling_restart_loses_no_request(
    compose: Compose, twofold: Balancer, service: str
) -> None:
    operator = compose.secrets["TENANTRY_OPERATOR_KEY"]
    url = f"http://{HOST}:{twofold.port}"
    async with ClientSession() as http:
        tenant = await new_tenant(http, url, operator)
        async with under_load(url, str(tenant.key)) as load:
            for container in await compose.names(service):
                before = len(load.made)
                await command("docker", "restart", "--time", "20", container)
                await healthy(container)
                assert len(load.made) > before
        assert load.failures == {}
        page = await tenant("GET", "/v1/admin/users?limit=1")
        assert page.body["pagination"]["total"] == len(load.made)
