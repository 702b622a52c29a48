"""The console: what a page costs beside the calls of the API behind it, by the size of the tenant.

The calls of a page are made in turns with the page, so that both meet the same machine.
"""

import time
from dataclasses import dataclass
from statistics import median

import httpx
import psutil

from bench import seeding
from bench.callers import Caller, new_tenant
from bench.product import Product
from bench.results import Row

CPU_MS = 15.0
LARGEST_KB = 100
WARMING = 3
_LIST = "/v1/admin/{}?limit=50"
_PART = "/v1/admin/{}?limit=10"


@dataclass(frozen=True)
class Case:
    """A page, and the calls of the API behind it; `{user}` and the like are filled in."""

    name: str
    path: str
    calls: tuple[str, ...]


CASES = (
    Case("users", "/users", (_LIST.format("users"),)),
    Case("users, searched", "/users?q=smith", (_LIST.format("users") + "&q=smith",)),
    Case("users, by cursor", "/users?cursor={cursor}",
         (_LIST.format("users") + "&cursor={cursor}",)),
    Case("one user", "/users/{user}", ("/v1/admin/users/{user}",)),
    Case("edit a user", "/users/{user}/edit", ("/v1/admin/users/{user}",)),
    Case("delete a user", "/users/{user}/delete",
         ("/v1/admin/users/{user}?dry_run=true", "/v1/admin/users/{user}")),
    Case("one organization", "/organizations/{organization}",
         ("/v1/admin/organizations/{organization}",
          _PART.format("organizations/{organization}/members"),
          _PART.format("organizations/{organization}/invitations"))),
    Case("one project", "/projects/{project}",
         ("/v1/admin/projects/{project}", _PART.format("projects/{project}/api-keys"),
          _PART.format("projects/{project}/signing-keys"))),
    Case("audit", "/audit", (_LIST.format("audit"),)),
    Case("overview", "/", ("/health", "/v1/admin/overview", "/v1/admin/audit?limit=10")),
)  # fmt: skip
"""Without the calls of a page that cost less than those named."""


async def measure(product: Product, users: int, rounds: int) -> list[Row]:
    """Each page at a thousand users, and at `users` if that is more."""
    rows: list[Row] = []
    for size in sorted({1_000, max(users, 1_000)}):
        caller = await new_tenant(product, f"{size} users")
        names = await _seed(product, caller, size)
        rows += [await _measure(product, caller, case, names, size, rounds) for case in CASES]
    return rows


async def _seed(product: Product, caller: Caller, size: int) -> dict[str, str]:
    project = await caller("POST", "/v1/admin/projects", {"name": "Web App"})
    organization = await caller("POST", "/v1/admin/organizations", {"name": "Acme"})
    async with product.database("identity") as conn:
        await seeding.users(conn, caller.tenant_id, size)
        await seeding.members(conn, caller.tenant_id, organization["id"], min(size, 100_000))
    async with product.database("audit") as conn:
        await seeding.events(conn, caller.tenant_id, size)
    middle = await caller("GET", f"/v1/admin/users?limit=50&page={size // 100}")
    return {
        "user": middle["users"][0]["id"],
        "cursor": middle["pagination"]["next_cursor"],
        "organization": organization["id"],
        "project": project["id"],
    }


async def _measure(
    product: Product, caller: Caller, case: Case, names: dict[str, str], size: int, rounds: int
) -> Row:
    console = psutil.Process(product.ready["processes"]["console"])
    path = case.path.format(**names)
    calls = [each.format(**names) for each in case.calls]
    first, behind, cpu = list[float](), list[list[float]](), list[float]()
    headers = {"Authorization": f"Bearer {caller.key}"}
    async with (
        httpx.AsyncClient(base_url=product.ready["console"]["url"], timeout=30) as pages,
        httpx.AsyncClient(base_url=product.url, headers=headers, timeout=30) as api,
    ):
        await pages.post("/sign-in", data={"key": caller.key})
        for number in range(WARMING + 2 * rounds):
            before = _cpu(console)
            took, body = await _get(pages, path)
            spent = _cpu(console) - before
            each = [(await _get(api, call))[0] for call in calls]
            if number >= WARMING:
                first.append(took)
                cpu.append(spent)
                behind.append(each)
    slowest = max(median(each) for each in zip(*behind, strict=True))
    figures = (
        f"first byte {median(first):.0f} ms, slowest call {slowest:.0f} ms, "
        f"{len(body) / 1024:.0f} KB"
    )
    what = f"{size:,} users: {case.name}"
    assert len(body) <= LARGEST_KB * 1024, what
    return Row("pages", what, sum(cpu) / len(cpu), CPU_MS, "<=", " ms", figures)


async def _get(client: httpx.AsyncClient, path: str) -> tuple[float, bytes]:
    """Milliseconds to the first byte, and the body."""
    begun = time.perf_counter()
    method = "DELETE" if path.endswith("dry_run=true") else "GET"
    async with client.stream(method, path) as answer:
        took = (time.perf_counter() - begun) * 1000
        body = await answer.aread()
    answer.raise_for_status()
    return took, body


def _cpu(process: psutil.Process) -> float:
    """Milliseconds of processor time of a process so far."""
    used = process.cpu_times()
    return float(used.user + used.system) * 1000
