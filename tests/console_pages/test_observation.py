"""What the console shows of itself: health, and a metric of each page by its route."""

import re

import httpx
import psutil
import pytest
from support.stack import Stack
from tenantry.servers.ports import HOST


@pytest.fixture
def management(stack: Stack) -> str:
    environment = psutil.Process(stack.ready["processes"]["console"]).environ()
    return f"http://{HOST}:{environment['TENANTRY_MANAGEMENT_PORT']}"


async def test_its_health_is_on_both_ports_and_its_metrics_on_one(
    console: str, management: str
) -> None:
    async with httpx.AsyncClient() as client:
        for url in (console, management):
            for path in ("/health", "/health/ready", "/health/live"):
                assert (await client.get(f"{url}{path}")).json()["status"] == "ok"
        assert (await client.get(f"{management}/metrics")).status_code == 200
        assert (await client.get(f"{console}/metrics")).status_code == 404


async def test_pages_are_counted_by_their_route(http: httpx.AsyncClient, management: str) -> None:
    for path in ("/users/usr_1", "/users/usr_2", "/nonsense/1", "/nonsense/2", "/static/none"):
        assert (await http.get(path)).status_code == 404
    async with httpx.AsyncClient() as client:
        lines = (await client.get(f"{management}/metrics")).text.splitlines()
    counts = [line for line in lines if line.startswith("tenantry_page_seconds_count")]
    assert any('route="/users/{id}",status="404"} 2.0' in line for line in counts), counts
    assert any('route="unrouted",status="404"}' in line for line in counts), counts
    assert not [line for line in counts if re.search("nonsense|usr_|static|health", line)]
