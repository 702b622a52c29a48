"""How many users a second an import takes in, through the edge and with all who hear of them."""

import json
import time
from functools import partial
from statistics import median
from uuid import uuid4

from aiohttp import ClientSession

from bench import streams
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row

USERS = 10_000
"""As many as one request may bring."""


async def measure(product: Product, times: int) -> list[Row]:
    """From the first byte of the request to the last of the answer."""
    caller = await new_tenant(product)
    rates = []
    for _ in range(times):
        rates.append(await _rate(caller))
        await until(partial(streams.is_quiet, product), 300)
    figures = ", ".join(f"{rate:,.0f}" for rate in rates)
    return [Row("import", "users imported", median(rates), 7_000, ">=", "/s", figures)]


async def _rate(caller: Caller) -> float:
    run = uuid4().hex
    lines = [
        json.dumps({"email": f"{run}-{number}@example.com", "name": f"User {number}"})
        for number in range(USERS)
    ]
    headers = {
        "authorization": f"Bearer {caller.key}",
        "content-type": "application/x-ndjson",
    }
    url = f"{caller.product.url}/v1/admin/users/bulk"
    began = time.perf_counter()
    async with (
        ClientSession() as http,
        http.post(url, data="\n".join(lines), headers=headers) as answer,
    ):
        told = await answer.read()
    seconds = time.perf_counter() - began
    if told.count(b'"status":201') != USERS:
        raise RuntimeError(f"not all were created, such as {told[:300]!r}")
    return USERS / seconds
