"""Scaling: the same load on one, two and three processes of each service and of the edge.

Where there are more than two cores the others are to help; on two they may only not hurt.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from statistics import median

from bench import load
from bench.answering import IN_FLIGHT
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row
from bench.yardsticks import accepts, free_port

PROCESSES = ("identity", "projects", "webhooks", "audit", "edge")
COUNTS = (1, 2, 3)
SECONDS = 1.5
"""Of a measurement, at most: there are nine in a round."""
ROUNDS = 2
LISTED = 50


async def measure(product: Product, seconds: float) -> list[Row]:
    """Throughput with two and with three of each by that with one."""
    caller = await new_tenant(product)
    makes = await _makes(caller)
    rates: dict[str, dict[int, list[float]]] = {
        what: {count: [] for count in COUNTS} for what in makes
    }
    for _ in range(ROUNDS):
        async with AsyncExitStack() as stack:
            urls = [product.url]
            for count in COUNTS:
                if count > 1:
                    urls.append(await _start_more(product, stack))
                for what, make in makes.items():
                    rate = await _rate(urls, make, min(seconds, SECONDS))
                    rates[what][count].append(rate)
    return [_row(what, rates[what], count) for what in makes for count in COUNTS[1:]]


async def _makes(caller: Caller) -> dict[str, load.Make]:
    path = "/v1/admin/organizations"
    made = [await caller("POST", path, {"name": f"Acme {n}"}) for n in range(LISTED)]
    return {
        "GET organization": caller.get(f"{path}/{made[0]['id']}"),
        "POST organization": caller.create_organizations(),
        f"list {LISTED} organizations": caller.get(f"{path}?limit={LISTED}"),
    }


def _row(what: str, rates: dict[int, list[float]], count: int) -> Row:
    one, more = median(rates[1]), median(rates[count])
    wanted = 1.2 if (os.cpu_count() or 1) > 2 else 0.8 if count == 2 else 0.7
    figures = f"one {one:,.0f}/s, {count} {more:,.0f}/s"
    return Row(
        "scaling", f"{what}, {count} processes of each by one", more / one, wanted, ">=",
        figures=figures,
    )  # fmt: skip


async def _rate(urls: list[str], make: load.Make, seconds: float) -> float:
    """Requests a second of all edges together, after a while for connections and plans."""
    for length in (0.5, seconds):
        samples = await asyncio.gather(
            *(load.press(url, make, IN_FLIGHT // len(urls), length) for url in urls)
        )
    return sum(sample.rate for sample in samples)


async def _start_more(product: Product, stack: AsyncExitStack) -> str:
    """One more process of each, with the environment of the first; answers the edge's URL."""
    ports = []
    for name in PROCESSES:
        ports.append(free_port())
        own = {"TENANTRY_HTTP_PORT": str(ports[-1]), "TENANTRY_MANAGEMENT_PORT": str(free_port())}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", name),
            env={**product.environment_of(name), **own},
            stdout=asyncio.subprocess.DEVNULL,
        )
        stack.push_async_callback(_end, child)
    for port in ports:
        await until(lambda port=port: accepts(port))  # type: ignore[misc]
    return f"http://127.0.0.1:{ports[-1]}"


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
    await child.wait()
