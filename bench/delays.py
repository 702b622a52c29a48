"""How soon a change is in the audit list and at a webhook: alone, at a steady rate, under load.

From the moment that the change carries as its own, which is before its commit.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from statistics import median, quantiles
from uuid import uuid4

import aiohttp

from bench import load, sink, streams
from bench.answering import IN_FLIGHT
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row

ALONE = 50
ALONE_SECONDS = (0.1, 0.9)
"""Between two changes: so they come at any moment of whatever is done at intervals."""
STEADY = 25.0
"""Changes a second."""


async def measure(product: Product, seconds: float) -> list[Row]:
    """All of it, with one webhook that hears of organizations."""
    async with _listening(product) as (caller, receiver):
        return [
            *await _alone(caller, receiver),
            *await _steady(caller, receiver, seconds),
            *await _under_full_load(caller, receiver, seconds),
            *await _at_half_load(caller, receiver, seconds),
        ]


@asynccontextmanager
async def _listening(product: Product) -> AsyncIterator[tuple[Caller, sink.Sink]]:
    caller = await new_tenant(product)
    async with sink.running() as receiver:
        hook = {"url": receiver.url, "events": ["organization.*"]}
        await caller("POST", "/v1/admin/webhooks", hook)
        # Connections, statements, plans.
        await load.press(product.url, caller.create_organizations(), 4, 1.0)
        await _settled(caller, receiver)
        yield caller, receiver


async def _settled(caller: Caller, receiver: sink.Sink) -> list[float]:
    """The delays of all that was sent, once there is nothing more to send."""
    await until(lambda: streams.is_quiet(caller.product, deliveries=True), 300)
    waits: list[float] = (await receiver.told())["waits"]
    await receiver.forget()
    return waits


async def _alone(caller: Caller, receiver: sink.Sink) -> list[Row]:
    """One change, and the next one a while after it was received."""
    make = caller.create_organizations()
    for _ in range(ALONE):
        await load.press(caller.product.url, make, 1, 0.0, least=1)
        await asyncio.sleep(random.uniform(*ALONE_SECONDS))  # noqa: S311 - no secret
    waits = await _settled(caller, receiver)
    what = "commit → received by a webhook, one alone"
    return [
        Row("delays", f"{what}, p50", median(waits) * 1000, 4, "<=", " ms"),
        Row("delays", f"{what}, longest of {len(waits)}", max(waits) * 1000, 25, "<=", " ms"),
    ]


async def _steady(caller: Caller, receiver: sink.Sink, seconds: float) -> list[Row]:
    await load.pace(caller.product.url, caller.create_organizations(), STEADY, seconds)
    waits = await _settled(caller, receiver)
    what = f"commit → received by a webhook, {STEADY:.0f} changes/s"
    return _rows(what, waits, f"{len(waits):,} seen", p50=6, p99=25)


async def _under_full_load(caller: Caller, receiver: sink.Sink, seconds: float) -> list[Row]:
    """As many changes as there can be: whether one webhook gets them as fast as they are made."""
    make = caller.create_organizations()
    sample = await load.press(caller.product.url, make, IN_FLIGHT, seconds)
    received = (await receiver.told())["count"]
    waits = await _settled(caller, receiver)
    rates = f"{received / sample.seconds:,.0f} of {sample.rate:,.0f} changes/s"
    what = "one webhook under full load"
    share = received / len(sample.waits)
    delay = median(waits) * 1000
    return [
        Row("delays", f"{what}, received meanwhile", share, 0.95, ">=", figures=rates),
        Row("delays", f"commit → received, {what}, p50", delay, 100, "<=", " ms"),
    ]


async def _at_half_load(caller: Caller, receiver: sink.Sink, seconds: float) -> list[Row]:
    """First finds what can be borne, a webhook listening, then goes half as fast."""
    most = await _bearable(caller)
    await receiver.forget()
    make = caller.create_organizations()
    loading = asyncio.create_task(load.pace(caller.product.url, make, most / 2, seconds))
    listed = await _listed(caller, seconds)
    sample = await loading
    sent = await _settled(caller, receiver)
    figures = f"{sample.rate:,.0f} changes/s of {most:,.0f}"
    return [
        row
        for what, waits in (("in the audit list", listed), ("received by a webhook", sent))
        for row in _rows(f"commit → {what}", waits, figures, p50=50, p99=500)
    ]


async def _bearable(caller: Caller) -> float:
    begun = time.monotonic()
    make = caller.create_organizations()
    sample = await load.press(caller.product.url, make, IN_FLIGHT, 4.0)
    await until(lambda: streams.is_quiet(caller.product, deliveries=True), 300)
    return len(sample.waits) / (time.monotonic() - begun)


async def _listed(caller: Caller, seconds: float) -> list[float]:
    """Probes one after another: each made, then looked for until it is listed."""
    waits = []
    headers = {"authorization": f"Bearer {caller.key}"}
    ends_at = time.monotonic() + seconds
    async with aiohttp.ClientSession(caller.product.url, headers=headers) as http:
        while time.monotonic() < ends_at:
            request_id = uuid4().hex
            body = {"name": "Probe", "slug": f"p-{request_id}"}
            async with http.post(
                "/v1/admin/organizations", json=body, headers={"X-Request-Id": request_id}
            ) as answer:
                made = await answer.json()
            while True:
                async with http.get(f"/v1/admin/audit?request_id={request_id}") as answer:
                    if (await answer.json())["events"]:
                        break
            begun = datetime.fromisoformat(made["created_at"]).timestamp()
            waits.append(time.time() - begun)
            await asyncio.sleep(0.02)
    return waits


def _rows(what: str, waits: list[float], figures: str, *, p50: float, p99: float) -> list[Row]:
    cuts = quantiles(waits, n=100, method="inclusive")
    return [
        Row("delays", f"{what}, p50", cuts[49] * 1000, p50, "<=", " ms", figures),
        Row("delays", f"{what}, p99", cuts[98] * 1000, p99, "<=", " ms", f"{len(waits):,} seen"),
    ]
