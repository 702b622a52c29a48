"""How fast webhooks sends what is due, against a loop that posts signed bodies to the same sink.

And a burst of events of a tenant with as many webhooks as one may have.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from statistics import median

import aiohttp

from bench import load, rounds, sink, streams
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row

TENANTS = 16
WEBHOOKS = 8
"""Of each tenant; of one webhook eight are under way at first, of a tenant 192."""
IN_FLIGHT = 50
MANY = 100
"""Webhooks of one tenant, and events for all of them."""

_EVENT = """
INSERT INTO events (tenant_id, id, created_at, type, actor_id, payload)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
"""
_DELIVERIES = """
WITH made AS (
  INSERT INTO deliveries (tenant_id, webhook_id, id, created_at, event_id, event_type, status,
                          attempt_count, next_attempt_at)
  SELECT e.tenant_id, w.id, 'dlv_' || substr(e.id, 5, 10) || substr(md5(w.id || e.id), 1, 16),
         e.created_at, e.id, e.type, 'pending', 0, e.created_at
    FROM events e JOIN webhooks w USING (tenant_id) WHERE e.id = ANY($1)
  RETURNING *)
INSERT INTO queue (tenant_id, webhook_id, delivery_id, event_id, created_at, kind, tries, state,
                   due_at)
SELECT tenant_id, webhook_id, id, event_id, created_at, 1, 0, 'ready', created_at FROM made
"""


async def measure(product: Product, count: int, times: int) -> list[Row]:
    """About `count` deliveries a round, due all at once."""
    callers = [await new_tenant(product) for _ in range(TENANTS)]
    async with sink.running() as receiver:
        for caller in callers:
            for _ in range(WEBHOOKS):
                # An event that never comes here: the deliveries are put into the queue by hand.
                hook = {"url": receiver.url, "events": ["signing_key.rotated"]}
                await caller("POST", "/v1/admin/webhooks", hook)
        await until(lambda: streams.is_quiet(product, deliveries=True))
        compared = await rounds.alternate(
            lambda: _posted(receiver, callers, count),
            lambda: _dispatched(product, receiver, callers, count),
            times,
        )
    figures = f"{compared.ours:,.0f}/s, yardstick {compared.yardstick:,.0f}/s"
    what = "webhook dispatch to a fast sink, one process"
    rows = [Row("dispatch", what, compared.ratio, 0.5, ">=", figures=figures)]
    return [*rows, await _to_many(product, times)]


async def _to_many(product: Product, times: int) -> Row:
    """Deliveries a second, from the first change until the last is received."""
    caller = await new_tenant(product)
    rates = []
    async with sink.running() as receiver:
        for _ in range(MANY):
            hook = {"url": receiver.url, "events": ["organization.*"]}
            await caller("POST", "/v1/admin/webhooks", hook)
        await until(lambda: streams.is_quiet(product, deliveries=True))
        for _ in range(times):
            await receiver.forget()
            began = time.time()
            make = caller.create_organizations()
            sample = await load.press(product.url, make, IN_FLIGHT, 0.0, least=MANY)
            expected = len(sample.waits) * MANY
            told = await receiver.has(expected, 300)
            rates.append(expected / (told["last"] - began))
            await until(lambda: streams.is_quiet(product, deliveries=True))
    what = f"{MANY} events for {MANY} webhooks each"
    return Row("dispatch", what, median(rates), 4_500, ">=", "/s")


async def _dispatched(
    product: Product, receiver: sink.Sink, callers: list[Caller], count: int
) -> float:
    events = streams.made_events([each.tenant_id for each in callers], count // WEBHOOKS)
    ids = [event_id for _, event_id, _ in events]
    await receiver.forget()
    async with product.database("webhooks") as conn, conn.transaction():
        now = await conn.fetchval("SELECT now()")
        await conn.execute(
            _EVENT,
            [callers[n % len(callers)].tenant_id for n in range(len(events))],
            ids,
            [now] * len(events),
            ["organization.created"] * len(events),
            [None] * len(events),
            [payload.decode() for _, _, payload in events],
        )
        await conn.execute(_DELIVERIES, ids)
    await receiver.has(len(events) * WEBHOOKS, 300)
    await until(lambda: streams.is_quiet(product, deliveries=True))
    told = await receiver.told()
    return float(told["count"] / (told["last"] - told["first"]))


async def _posted(receiver: sink.Sink, callers: list[Caller], count: int) -> float:
    events = iter(streams.made_events([each.tenant_id for each in callers], count))
    secret = b"s" * 32
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def work() -> None:
            for _, event_id, body in events:
                moment = int(time.time())
                signed = hmac.new(secret, f"{event_id}.{moment}.".encode() + body, hashlib.sha256)
                headers = {
                    "webhook-id": event_id,
                    "webhook-timestamp": str(moment),
                    "webhook-signature": f"v1,{base64.b64encode(signed.digest()).decode()}",
                }
                async with http.post(receiver.url, data=body, headers=headers) as answer:
                    await answer.read()

        begun = time.monotonic()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return count / (time.monotonic() - begun)
