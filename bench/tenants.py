"""Cost as tenants grow: the same users in ten tenants and in a tenth as many tenants as users.

Each layout is a stack of its own; requests to both are made in turns. What the idle stacks need
tells whether a background loop works by the number of tenants.
"""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from bench import load, product, seeding
from bench.callers import Caller, new_tenant
from bench.cloning import SUFFIX, clone
from bench.product import Product
from bench.results import Row

FEW = 10
WANTED = 1.5
LEAST = 8
SETTLE_SECONDS, IDLE_SECONDS = 30, 20
_TENANT = "'ten_01jy' || lpad(to_hex(n), 6, '0') || 'e008000000000000'"
"""As `seeding.other_tenants` names them."""


async def measure(users: int, seconds: float, times: int) -> list[Row]:
    """Requests to one tenant of each layout, then both at rest."""
    layouts = [(FEW, users // FEW), (users // FEW, FEW)]
    async with AsyncExitStack() as stacks:
        callers = []
        for tenants, each in layouts:
            folder = Path(stacks.enter_context(tempfile.TemporaryDirectory()))
            stack = await stacks.enter_async_context(product.running(folder))
            callers.append(await _fill(stack, tenants, each))
        await asyncio.sleep(SETTLE_SECONDS)
        rows = [await _request(what, callers, seconds, times) for what in _REQUESTS]
        return [*rows, await _idle([caller.product for caller in callers])]


async def _fill(stack: Product, tenants: int, each: int) -> Caller:
    """A tenant with so many users, and as many others beside it as make up the number."""
    caller = await new_tenant(stack)
    async with stack.database("identity") as conn:
        await seeding.other_tenants(conn, tenants - 1, each)
        await seeding.users(conn, caller.tenant_id, each)
    await caller("POST", "/v1/admin/projects", {"name": "Acme"})
    hook = {"url": "http://127.0.0.1:9/none", "events": ["project.deleted"]}
    await caller("POST", "/v1/admin/webhooks", hook)
    mine = {"tenant_id": caller.tenant_id}
    async with stack.database("projects") as conn:
        copies: list[tuple[str, Mapping[str, str], dict[str, str]]] = [
            ("tenants", {"id": caller.tenant_id}, {"id": _TENANT, "slug": "'other-' || n"}),
            ("projects", mine, {"tenant_id": _TENANT, "id": f"'prj_' || {SUFFIX}"}),
            ("signing_keys", {**mine, "status": "active"}, {
                "tenant_id": _TENANT, "project_id": f"'prj_' || {SUFFIX}",
                "id": f"'sgk_' || {SUFFIX}",
            }),
            ("api_keys", mine, {
                "tenant_id": _TENANT, "id": f"'key_' || {SUFFIX}", "secret_hash": "'other' || n",
            }),
        ]  # fmt: skip
        for table, row, other in copies:
            await clone(conn, table, row, tenants - 1, **other)
    async with stack.database("webhooks") as conn:
        other = {"tenant_id": _TENANT, "id": f"'whk_' || {SUFFIX}"}
        await clone(conn, "webhooks", mine, tenants - 1, **other)
    async with stack.database("audit") as conn:
        await clone(conn, "heads", mine, tenants - 1, tenant_id=_TENANT)
    return caller


_REQUESTS = ("GET user", "list 50 users", "search", "POST organization")


async def _request(what: str, callers: list[Caller], seconds: float, times: int) -> Row:
    seen: list[list[float]] = [[] for _ in callers]
    for _ in range(times):
        for found, caller in zip(seen, callers, strict=True):
            make = await _make(what, caller)
            sample = await load.press(caller.product.url, make, 1, seconds, LEAST)
            found.append(sample.percentile(50))
    few, many = (median(each) for each in seen)
    return Row("tenants", what, many / few, WANTED, "<=", figures=f"{few:.1f} ms, {many:.1f} ms")


async def _make(what: str, caller: Caller) -> load.Make:
    if what == "POST organization":
        return caller.create_organizations()
    if what == "GET user":
        (user,) = (await caller("GET", "/v1/admin/users?limit=1"))["users"]
        return caller.get(f"/v1/admin/users/{user['id']}")
    return caller.get("/v1/admin/users?limit=50" + ("&q=smith" if what == "search" else ""))


async def _idle(stacks: list[Product]) -> Row:
    """Processor time while nothing happens."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = [stack.processor_time() for stack in stacks]
    await asyncio.sleep(IDLE_SECONDS)
    few, many = (
        {name: 1000 * (spent - old.get(name, 0)) / IDLE_SECONDS
         for name, spent in stack.processor_time().items()}
        for stack, old in zip(stacks, before, strict=True)
    )  # fmt: skip
    figures = ", ".join(f"{name} {few[name]:.1f} → {many[name]:.1f}" for name in sorted(few))
    ratio = sum(many.values()) / sum(few.values())
    return Row("tenants", "processor time at rest", ratio, WANTED, "<=", figures=figures)
