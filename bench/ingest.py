"""How fast audit takes events in, chain and all, against fetching, inserting and acking them."""

import contextlib
import time

import asyncpg
from contracts.topology import STREAM
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError

from bench import rounds, streams, yardsticks
from bench.callers import new_tenant
from bench.product import Product, until
from bench.results import Row

TENANTS = 8
BATCH = 256
PULLED = "BENCH"
_INSERT = """
INSERT INTO pulled (id, payload) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING
"""


async def measure(product: Product, count: int, times: int) -> list[Row]:
    """`count` events a round. Who else would hear them is held meanwhile."""
    tenants = [(await new_tenant(product)).tenant_id for _ in range(TENANTS)]
    async with yardsticks.running(product):  # for its database
        pass
    async with streams.opened(product) as js:
        await until(lambda: streams.is_quiet(product))
        compared = await rounds.alternate(
            lambda: _pulled(product, js, tenants, count),
            lambda: _ingested(product, js, tenants, count),
            times,
        )
    figures = f"{compared.ours:,.0f}/s, yardstick {compared.yardstick:,.0f}/s"
    what = "audit ingest, one process, chain included"
    return [Row("ingest", what, compared.ratio, 0.4, ">=", figures=figures)]


async def _ingested(
    product: Product, js: JetStreamContext, tenants: list[str], count: int
) -> float:
    before = await _length(product)
    async with product.held("webhooks", "identity", "projects"):
        async with product.held("audit"):
            await streams.publish(js, STREAM, streams.made_events(tenants, count))
        begun = time.monotonic()
        await until(lambda: _is_taken(js), 120)
        took = time.monotonic() - begun
    await until(lambda: streams.is_quiet(product), 120)
    if await _length(product) - before < count:
        raise RuntimeError("not every event was taken in")
    return count / took


async def _length(product: Product) -> int:
    """Of all trails together."""
    async with product.database("audit") as conn:
        length: int = await conn.fetchval("SELECT coalesce(sum(sequence), 0)::bigint FROM heads")
    return length


async def _is_taken(js: JetStreamContext) -> bool:
    return not await streams.pending(js, "audit")


async def _pulled(product: Product, js: JetStreamContext, tenants: list[str], count: int) -> float:
    with contextlib.suppress(NotFoundError):
        await js.delete_stream(PULLED)
    await js.add_stream(StreamConfig(name=PULLED, subjects=["bench.events.>"]))
    await js.add_consumer(PULLED, ConsumerConfig(durable_name="bench", max_ack_pending=2048))
    events = [
        (f"bench.events.{number % 8}", event_id, payload)
        for number, (_, event_id, payload) in enumerate(streams.made_events(tenants, count))
    ]
    await streams.publish(js, PULLED, events)
    async with product.held("audit", "webhooks", "identity", "projects"):
        conn = await asyncpg.connect(product.superuser(yardsticks.DATABASE))
        subscription = await js.pull_subscribe_bind("bench", PULLED)
        begun, left = time.monotonic(), count
        while left:
            messages = await subscription.fetch(BATCH, timeout=5)
            ids = [(each.headers or {})["Nats-Msg-Id"] for each in messages]
            await conn.execute(_INSERT, ids, [each.data.decode() for each in messages])
            for each in messages:
                await each.ack()
            left -= len(messages)
        took = time.monotonic() - begun
        await conn.close()
        await subscription.unsubscribe()
    return count / took
