"""Exports, and what is forgotten: the time of a row by the size of the trail, and how long others
wait while old rows, weeks and months are deleted.

Old data are made here, and deleted by the product's own functions in the bench's process.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from aiohttp import ClientSession
from audit import partitions
from chassis import idempotency
from chassis.database import open_pool
from chassis.purge import purge
from identity.retention import purge_sessions
from outbox import inbox
from tenantry.operations.audit_retention import set_retention
from webhooks.retention import apply_retention

from bench import load, seeding
from bench.callers import Caller, new_tenant
from bench.cloning import SUFFIX, clone
from bench.product import Product
from bench.results import Row

SMALL = 10_000
RATE, QUIET_SECONDS = 100.0, 10.0
"""Requests a second whose p99 is compared."""
KEPT_DAYS = 180
_WEEK = """
DO $$ DECLARE week date := date_trunc('week', now() - interval '50 days'); parent text; BEGIN
  FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
    EXECUTE format(
      'CREATE TABLE IF NOT EXISTS partitions.%I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
      parent || '_' || to_char(week, 'YYYYMMDD'), parent, week::timestamptz,
      (week + 7)::timestamptz);
  END LOOP;
END $$
"""
_DELIVERIES = f"""
INSERT INTO deliveries (tenant_id, webhook_id, id, created_at, event_id, event_type, status,
                        attempt_count, completed_at)
SELECT $1, 'whk_' || n % 100, 'dlv_' || {SUFFIX}, date_trunc('week', now() - interval '50 days')
       + n % 600000 * interval '1 second', 'evt_' || {SUFFIX}, 'user.created', 'succeeded', 1, now()
  FROM generate_series(1, $2::int) AS n
"""
_INBOX = """
INSERT INTO inbox
SELECT 'evt_old_' || n, now() - interval '60 days' FROM generate_series(1, $1::int) AS n
"""
_IDEMPOTENCY = """
INSERT INTO idempotency (tenant_id, key, fingerprint, answer, created_at)
SELECT $1, 'old-' || n, md5(n::text), repeat(md5(n::text), 20), now() - interval '2 days'
  FROM generate_series(1, $2::int) n
"""
_TILES = """
INSERT INTO tiles (tenant_id, level, index, hashes, root)
SELECT $1, 0, n, '', '' FROM generate_series(0, $2::int / 256) n ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Deletion:
    """What a service deletes, from a pool of its own; and what is requested of it meanwhile."""

    what: str
    service: str
    path: str
    run: Callable[[asyncpg.Pool], Awaitable[object]]


DELETIONS = [
    Deletion("sessions", "identity", "/v1/admin/users?limit=50", purge_sessions),
    Deletion("stored responses", "identity", "/v1/admin/users?limit=50",
             lambda pool: purge(pool, idempotency.PURGE)),
    Deletion("events of the inbox", "audit", "/v1/admin/audit?limit=50",
             lambda pool: purge(pool, inbox.PURGE)),
    Deletion("months of the trail", "audit", "/v1/admin/audit?limit=50",
             lambda pool: partitions.drop_expired(pool, KEPT_DAYS)),
    Deletion("a week of deliveries", "webhooks", "/v1/admin/webhooks/{webhook}/deliveries?limit=50",
             apply_retention),
]  # fmt: skip


async def measure(product: Product, count: int) -> list[Row]:
    """The export of trails of two sizes, then each deletion of `count` old rows."""
    small, large = [await new_tenant(product, f"{size} events") for size in (SMALL, count)]
    async with product.database("audit") as conn:
        await seeding.events(conn, small.tenant_id, SMALL)
        await seeding.events(conn, large.tenant_id, count)
    rows = await _exports(product, small, large)
    webhook = await _fill(product, large, count)
    for each in DELETIONS:
        rows.append(await _deletion(product, large, each, each.path.format(webhook=webhook)))
    return rows


async def _exports(product: Product, small: Caller, large: Caller) -> list[Row]:
    await _export(small)  # what is made at the first one
    before = product.memory()
    times, counts = zip(*[await _export(caller) for caller in (small, large)], strict=True)
    after = product.memory()
    each = [1e6 * seconds / lines for seconds, lines in zip(times, counts, strict=True)]
    figures = f"{each[0]:.0f} µs of {counts[0]}, {each[1]:.0f} µs of {counts[1]}"
    grown = max(after[name] / before[name] for name in ("edge", "audit"))
    memory = ", ".join(f"{name} {before[name]:.0f} → {after[name]:.0f} MB"
                       for name in ("edge", "audit"))  # fmt: skip
    return [
        Row("retention", "export: time of a row", each[1] / each[0], 1.5, "<=", figures=figures),
        Row("retention", "export: memory of a process", grown, 1.2, "<=", figures=memory),
    ]


async def _export(caller: Caller) -> tuple[float, int]:
    """Seconds, and lines."""
    begun, lines = time.perf_counter(), 0
    headers = {"authorization": f"Bearer {caller.key}"}
    url = f"{caller.product.url}/v1/admin/audit/export"
    async with ClientSession() as http, http.get(url, headers=headers, timeout=None) as answer:
        async for chunk in answer.content.iter_any():
            lines += chunk.count(b"\n")
    return time.perf_counter() - begun, lines


async def _fill(product: Product, caller: Caller, count: int) -> str:
    """Old rows of each kind; returns a webhook."""
    user = await caller("POST", "/v1/admin/users", {"email": "ada@example.com"})
    project = await caller("POST", "/v1/admin/projects", {"name": "Acme"})
    session = {"project_id": project["id"]}
    await caller("POST", f"/v1/admin/users/{user['id']}/sessions", session)
    hook = {"url": "http://127.0.0.1:9/none", "events": ["project.deleted"]}
    made = await caller("POST", "/v1/admin/webhooks", hook)
    async with product.database("identity") as conn:
        mine = {"tenant_id": caller.tenant_id}
        await clone(
            conn, "sessions", mine, count // 10, id=f"'ses_' || {SUFFIX}", family_hash="NULL",
            refresh_hash="NULL", expires_at="now() - interval '60 days'",
        )  # fmt: skip
        await conn.execute(_IDEMPOTENCY, caller.tenant_id, count // 10)
    async with product.database("audit") as conn:
        await conn.execute(_INBOX, count)
        await conn.execute(_TILES, caller.tenant_id, count)
    await set_retention(product.superuser("audit"), KEPT_DAYS)
    async with product.database("webhooks") as conn:
        await conn.execute(_WEEK)
        await conn.execute(_DELIVERIES, caller.tenant_id, count)
    return str(made["webhook"]["id"] if "webhook" in made else made["id"])


async def _deletion(product: Product, caller: Caller, deletion: Deletion, path: str) -> Row:
    make = caller.get(path)
    await load.pace(product.url, make, RATE, 1.0)
    quiet = await load.pace(product.url, make, RATE, QUIET_SECONDS)
    pool = await open_pool(product.environment_of(deletion.service)["TENANTRY_DATABASE_URL"], 1)
    begun = time.perf_counter()
    running = asyncio.ensure_future(deletion.run(pool))
    samples = []
    while not running.done():
        samples.append(await load.pace(product.url, make, RATE, 1.0))
    await running
    took = time.perf_counter() - begun
    pool.terminate()
    meanwhile = load.Sample(took, [wait for each in samples for wait in each.waits])
    before, after = quiet.percentile(99), meanwhile.percentile(99)
    longest = f"longest {max(meanwhile.waits) * 1000:.0f} ms in {took:.1f} s"
    figures = f"{before:.1f} ms, {after:.1f} ms, {longest}"
    what = f"{deletion.what}: p99 of a GET meanwhile"
    return Row("retention", what, after / before, 3, "<=", figures=figures)
