"""A search while others write: PostgreSQL keeps what is written in a list that each search reads.

The service moves that list to its place once a second, so that no search pays for many writes.
"""

import asyncio
from functools import partial

from bench import load, rounds, seeding, streams
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row

USERS = 1_000
FILLED = 3_500
"""Users of another tenant that are written at once: about as many as such a list holds."""
WRITES = 50.0
"""A second, while it is searched."""


async def measure(product: Product, seconds: float, times: int) -> list[Row]:
    """The search of one user: while nothing is written, and behind and beside many writes."""
    caller, writer = await new_tenant(product), await new_tenant(product)
    async with product.database("identity") as conn:
        await seeding.users(conn, caller.tenant_id, USERS)
    compared = await rounds.alternate(
        lambda: _quiet(caller, seconds), lambda: _busy(caller, writer, seconds), times
    )
    figures = f"p50 {compared.ours:.2f} ms, without writes {compared.yardstick:.2f} ms"
    what = f"search of one user, {WRITES:.0f} writes a second beside it"
    return [Row("searching", what, compared.ratio, 1.2, "<=", figures=figures)]


async def _quiet(caller: Caller, seconds: float) -> float:
    await until(partial(streams.is_quiet, caller.product), 120)
    return await _search(caller, seconds)


async def _busy(caller: Caller, writer: Caller, seconds: float) -> float:
    """The list is filled at once by a writer that does not move it, as another replica would."""
    async with caller.product.database("identity") as conn:
        await conn.execute("DELETE FROM users WHERE tenant_id = $1", writer.tenant_id)
        await seeding.written_users(conn, writer.tenant_id, FILLED)
    make = writer.create_users()
    writing = asyncio.create_task(load.pace(caller.product.url, make, WRITES, 2 * seconds))
    await asyncio.sleep(seconds)
    p50 = await _search(caller, seconds)
    await writing
    return p50


async def _search(caller: Caller, seconds: float) -> float:
    make = caller.get("/v1/admin/users?q=Quixley")
    return (await load.press(caller.product.url, make, 1, seconds)).percentile(50)
