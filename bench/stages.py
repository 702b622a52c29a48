"""Where the time goes: processor time of each process for one request, ours and the yardstick's.

Processor time is the same on a busy machine, so this tells what to mend when ratios are in doubt.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench import load, yardsticks
from bench.answering import IN_FLIGHT, write_to
from bench.callers import new_tenant
from bench.product import Product
from bench.results import Row

_GROUPS = ("edge", "identity", "postgres", "nats", "audit", "webhooks", "projects", "redis")


@dataclass(frozen=True)
class Stages:
    """Microseconds of processor time for one request, by process."""

    what: str
    costs: dict[str, float]


async def measure(product: Product, seconds: float, folder: Path) -> list[Row]:
    """Keeps stages.json; the rows compare what edge and service alone need with the yardstick."""
    caller = await new_tenant(product)
    organization = await caller("POST", "/v1/admin/organizations", {"name": "Acme"})
    path = f"/v1/admin/organizations/{organization['id']}"
    async with yardsticks.running(product) as url:
        async with product.database(yardsticks.DATABASE) as conn:
            await conn.execute("DELETE FROM documents WHERE kind = 'organization'")
            values = ("organization", "one", json.dumps(organization))
            await conn.execute("INSERT INTO documents VALUES ($1, $2, $3)", *values)
        read = load.request("GET", url, "/organization/one")
        stages = [
            await _of("GET, yardstick", product, url, partial(bytes, read), seconds),
            await _of("GET", product, product.url, caller.get(path), seconds),
            await _of("POST, yardstick", product, url, partial(write_to, url), seconds),
            await _of("POST", product, product.url, caller.create_organizations(), seconds),
        ]
    kept = {each.what: each.costs for each in stages}
    (folder / "stages.json").write_text(json.dumps(kept, indent=2) + "\n")
    return [
        _row("GET", stages[0], stages[1], 1.5),
        _row("POST", stages[2], stages[3], 2.0),
    ]


async def _of(what: str, product: Product, url: str, make: load.Make, seconds: float) -> Stages:
    await load.press(url, make, IN_FLIGHT, 0.5)
    before = _spent(product)
    sample = await load.press(url, make, IN_FLIGHT, seconds)
    after = _spent(product)
    count = len(sample.waits)
    costs = {name: round((after[name] - before[name]) / count * 1e6, 1) for name in after}
    return Stages(what, costs)


def _spent(product: Product) -> dict[str, float]:
    """Seconds of processor time so far: of the stack, and of the yardsticks below this process."""
    spent: dict[str, float] = {}
    for name in _GROUPS:
        pid = product.ready["processes"].get(name)
        if pid is not None:
            parent = psutil.Process(pid)
            spent[name] = sum(map(_time, [parent, *parent.children(recursive=True)]))
    for child in psutil.Process().children():
        role = [part for part in child.cmdline() if part in ("edge", "service")]
        if "bench.yardsticks" in child.cmdline() and role:
            spent[f"yardstick {role[0]}"] = _time(child)
    return spent


def _time(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _row(what: str, theirs: Stages, ours: Stages, wanted: float) -> Row:
    """All of the edge, the service, the broker and the database; not those who only hear of it."""
    way = ("edge", "identity", "postgres", "nats", "yardstick edge", "yardstick service")
    least = sum(theirs.costs[name] for name in way)
    spent = sum(ours.costs[name] for name in way)
    figures = f"{spent:,.0f} us, yardstick {least:,.0f} us"
    return Row("stages", f"processor time of a {what}", spent / least, wanted, "<=", "", figures)
