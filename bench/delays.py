"""How soon a change is in the audit list and at a webhook, at half of the load that can be borne.

From the moment that the change carries as its own, which is before its commit.
"""

import asyncio
import time
from datetime import datetime
from statistics import quantiles
from uuid import uuid4

import aiohttp

from bench import load, sink, streams
from bench.answering import IN_FLIGHT
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row


async def measure(product: Product, seconds: float) -> list[Row]:
    """First finds what can be borne, a webhook listening, then goes half as fast."""
    caller = await new_tenant(product)
    async with sink.running() as receiver:
        hook = {"url": receiver.url, "events": ["organization.*"]}
        await caller("POST", "/v1/admin/webhooks", hook)
        most = await _bearable(caller)
        await receiver.forget()
        loading = asyncio.create_task(
            load.pace(product.url, caller.create_organizations(), most / 2, seconds)
        )
        listed = await _listed(caller, seconds)
        sample = await loading
        await until(lambda: streams.is_quiet(product, deliveries=True), 120)
        sent = (await receiver.told())["waits"]
    figures = f"{sample.rate:,.0f} changes/s of {most:,.0f}"
    return [
        row
        for what, waits in (("in the audit list", listed), ("received by a webhook", sent))
        for row in _rows(f"commit → {what}", waits, figures)
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


def _rows(what: str, waits: list[float], figures: str) -> list[Row]:
    cuts = quantiles(waits, n=100, method="inclusive")
    return [
        Row("delays", f"{what}, p50", cuts[49] * 1000, 50, "<=", " ms", figures),
        Row("delays", f"{what}, p99", cuts[98] * 1000, 500, "<=", " ms", f"{len(waits):,} seen"),
    ]
