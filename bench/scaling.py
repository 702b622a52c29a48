"""Scaling: the same load on one process of each service, and on two of each with two edges.

Where there are more than two cores the second ones are to help; on two they may only not hurt.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

from bench import load
from bench.answering import IN_FLIGHT
from bench.callers import new_tenant
from bench.product import Product, until
from bench.results import Row
from bench.yardsticks import accepts, free_port

PROCESSES = ("identity", "projects", "webhooks", "audit", "edge")


async def measure(product: Product, seconds: float, times: int) -> list[Row]:
    """Throughput with two of each by that with one, for a read and for a write."""
    caller = await new_tenant(product)
    organization = await caller("POST", "/v1/admin/organizations", {"name": "Acme"})
    makes = {
        "GET": caller.get(f"/v1/admin/organizations/{organization['id']}"),
        "POST": caller.create_organizations(),
    }
    one: dict[str, list[float]] = {what: [] for what in makes}
    two: dict[str, list[float]] = {what: [] for what in makes}
    for _ in range(times):
        for what, make in makes.items():
            one[what].append(await _rate([product.url], make, seconds))
        async with _twins(product) as url:
            for what, make in makes.items():
                two[what].append(await _rate([product.url, url], make, seconds))
    wanted = 0.8 if (os.cpu_count() or 1) <= 2 else 1.2
    return [
        Row(
            "scaling",
            f"{what} organization, two processes of each by one",
            median(two[what]) / median(one[what]),
            wanted,
            ">=",
            figures=f"one {median(one[what]):,.0f}/s, two {median(two[what]):,.0f}/s",
        )
        for what in makes
    ]


async def _rate(urls: list[str], make: load.Make, seconds: float) -> float:
    """Requests a second of all edges together, after a while for connections and plans."""
    for length in (0.5, seconds):
        samples = await asyncio.gather(
            *(load.press(url, make, IN_FLIGHT // len(urls), length) for url in urls)
        )
    return sum(sample.rate for sample in samples)


@asynccontextmanager
async def _twins(product: Product) -> AsyncIterator[str]:
    """A second process of each, with the environment of the first; answers the edge's URL."""
    async with AsyncExitStack() as stack:
        for name in PROCESSES:
            port = free_port()
            own = {"TENANTRY_HTTP_PORT": str(port), "TENANTRY_MANAGEMENT_PORT": str(free_port())}
            environment = {**product.environment_of(name), **own}
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", name),
                env=environment,
                stdout=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(_end, child)
            await until(lambda port=port: accepts(port))  # type: ignore[misc]
        yield f"http://127.0.0.1:{port}"


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
    await child.wait()
