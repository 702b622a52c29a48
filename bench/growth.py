"""Growth: the same request at a thousand and at a million; what it costs alone, as p50.

All sizes lie in one database, ten thousand other tenants beside them, and are measured in turns.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import quote

from bench import load, plans, plots, seeding
from bench.callers import Caller, new_tenant
from bench.product import Product
from bench.results import FOLDER, Row

OTHER_TENANTS = 10_000
MOST_MEMBERS = 100_000
LIMIT = 50
LEAST = 8
"""Requests of a round; the first ones on a connection make its plans."""
ACTOR = "key_01jz000003e008000000000000"


@dataclass(frozen=True)
class Case:
    """A list and its query; `{middle}` and `{cursor}` are filled in for each size."""

    group: str
    what: str
    path: str
    query: str
    wanted: float


_USERS = "/v1/admin/users"
_MEMBERS = "/v1/admin/organizations/{organization}/members"
_AUDIT = "/v1/admin/audit"
_FEED = "/v1/admin/events"
_DAYS = "start_date={start}&end_date={end}"
CASES = [
    Case("users", "first page", _USERS, "", 1.5),
    Case("users", "cursor in the middle", _USERS, "cursor={cursor}", 1.5),
    Case("users", "page in the middle", _USERS, "page={middle}", 3),
    Case("users", "search, common word", _USERS, "q=smith", 3),
    Case("users", "search, rare word", _USERS, "q=quixley", 3),
    Case("users", "search, nothing found", _USERS, "q=zzyzx", 3),
    Case("users", "search, trigrams all share", _USERS, "q=user777@", 3),
    Case("users", "search, two letters", _USERS, "q=sm", 3),
    Case("users", "search, one letter", _USERS, "q=q", 3),
    Case("users", "search, sorted by email", _USERS, "q=smith&sort=email", 3),
    Case("users", "search, with a status", _USERS, "q=smith&status=active", 3),
    Case("users", "search, with a rare status", _USERS, "q=smith&status=suspended", 3),
    Case("users", "status", _USERS, "status=suspended", 2),
    Case("users", "email", _USERS, "email=user7@example.com", 2),
    Case("users", "external id", _USERS, "external_id=ext-7", 2),
    Case("users", "created after", _USERS, "created_after={start}", 2),
    Case("users", "organization", _USERS, "organization_id={organization}", 2),
    Case("users", "sorted by email", _USERS, "sort=email", 2),
    Case("users", "sorted by last sign-in", _USERS, "sort=-last_sign_in_at", 2),
    Case("users", "status, sorted by email", _USERS, "status=suspended&sort=-email", 2),
    Case("members", "first page", _MEMBERS, "", 1.5),
    Case("members", "cursor in the middle", _MEMBERS, "cursor={cursor}", 1.5),
    Case("members", "role", _MEMBERS, "role=owner", 2),
    Case("members", "search, common word", _MEMBERS, "q=smith", 3),
    Case("audit", "first page", _AUDIT, "", 3),
    Case("audit", "cursor in the middle", _AUDIT, "cursor={cursor}", 3),
    Case("audit", "page in the middle", _AUDIT, "page={middle}", 3),
    Case("audit", "days", _AUDIT, _DAYS, 3),
    Case("audit", "days, page in the middle", _AUDIT, f"{_DAYS}&page={{few}}", 3),
    Case("audit", "action", _AUDIT, "action=user.created", 3),
    Case("audit", "action, page in the middle", _AUDIT, "action=user.*&page={few}", 3),
    Case("audit", "actor", _AUDIT, f"actor_id={ACTOR}", 3),
    Case("audit", "feed from the beginning", _FEED, "after=0", 3),
    Case("audit", "feed from the middle", _FEED, "after={after}", 3),
    Case("audit", "actor and action", _AUDIT, f"actor_id={ACTOR}&action=api_key.created", 3),
]


@dataclass
class Place:
    """A tenant of one size. `names` fill in the queries."""

    size: int
    caller: Caller
    names: dict[str, str] = field(default_factory=dict)

    def url(self, case: Case) -> str:
        path = case.path.format(**self.names)
        middle = self.names[f"{case.group}_middle"]
        named = {
            **self.names,
            "middle": middle,
            "few": str(max(1, int(middle) // 10)),
            "cursor": quote(self.names.get(f"{case.group}_cursor", "")),
        }
        query = case.query.format(**named)
        return f"{path}?limit={LIMIT}" + (f"&{query}" if query else "")


async def measure(
    product: Product, users: int, events: int, seconds: float, times: int, folder: Path = FOLDER
) -> list[Row]:
    """Measures every case at every size, draws the curves and keeps the plans."""
    memory = product.memory()
    identities = await _identities(product, users)
    audits = await _audits(product, events)
    curves: dict[str, dict[str, dict[int, float]]] = {}
    rows = []
    for case in CASES:
        places = audits if case.group == "audit" else identities
        curve = await _curve(case, places, seconds, times)
        curves.setdefault(case.group, {})[case.what] = curve
        rows.append(_row(case, curve))
    _keep(folder, curves)
    plots.draw(folder)
    biggest = {"users": identities[-1], "members": identities[-1], "audit": audits[-1]}
    await plans.keep(product, folder, [
        (case.group, case.what, biggest[case.group].caller.tenant_id, biggest[case.group].url(case))
        for case in CASES if case.path != _FEED
    ])  # fmt: skip
    after = product.memory()
    services = ("edge", "identity", "projects", "webhooks", "audit")
    grown = max(after[name] / memory[name] for name in services)
    figures = ", ".join(f"{name} {memory[name]:.0f} → {after[name]:.0f} MB" for name in services)
    return [*rows, Row("growth", "memory of a process", grown, 1.5, "<=", figures=figures)]


def _sizes(first: int, last: int) -> list[int]:
    sizes = [first]
    while sizes[-1] * 10 <= last:
        sizes.append(sizes[-1] * 10)
    return sizes


async def _identities(product: Product, most: int) -> list[Place]:
    places = []
    async with product.database("identity") as conn:
        await seeding.other_tenants(conn, OTHER_TENANTS, 10)
        for size in _sizes(1_000, most):
            caller = await new_tenant(product, f"{size} users")
            organization = (await caller("POST", "/v1/admin/organizations", {"name": "All"}))["id"]
            count = min(size, MOST_MEMBERS)
            await seeding.users(conn, caller.tenant_id, size)
            await seeding.members(conn, caller.tenant_id, organization, count)
            place = Place(size, caller, {"organization": organization})
            await _find_middle(place, "users", _USERS, size)
            await _find_middle(place, "members", _MEMBERS.format(**place.names), count)
            newest = (await caller("GET", _USERS))["users"]
            place.names["start"] = newest[-1]["created_at"]
            places.append(place)
    return places


async def _audits(product: Product, most: int) -> list[Place]:
    places = []
    async with product.database("audit") as conn:
        for size in _sizes(10_000, most):
            caller = await new_tenant(product, f"{size} events")
            await seeding.events(conn, caller.tenant_id, size)
            place = Place(size, caller)
            middle = await _find_middle(place, "audit", _AUDIT, size)
            month = middle["events"][0]["created_at"][:7]
            place.names |= {"start": f"{month}-01", "end": f"{month}-28", "after": str(size // 2)}
            places.append(place)
    return places


async def _find_middle(
    place: Place, group: str, path: str, size: int
) -> dict[str, list[dict[str, str]]]:
    number = size // 2 // LIMIT
    page = await place.caller("GET", f"{path}?limit={LIMIT}&page={number}")
    place.names |= {
        f"{group}_middle": str(number),
        f"{group}_cursor": page["pagination"]["next_cursor"],
    }
    return page


async def _curve(case: Case, places: list[Place], seconds: float, times: int) -> dict[int, float]:
    seen: dict[int, list[float]] = {place.size: [] for place in places}
    for _ in range(times):
        for place in places:
            make = place.caller.get(place.url(case))
            sample = await load.press(
                place.caller.product.url, make, 1, seconds, LEAST, tolerant=True
            )
            seen[place.size].append(sample.percentile(50))
    return {size: median(each) for size, each in seen.items()}


def _row(case: Case, curve: dict[int, float]) -> Row:
    sizes = sorted(curve)
    figures = ", ".join(f"{size:,}: {curve[size]:.1f} ms" for size in (sizes[0], sizes[-1]))
    ratio = curve[sizes[-1]] / curve[sizes[0]]
    return Row("growth", f"{case.group}: {case.what}", ratio, case.wanted, "<=", figures=figures)


def _keep(folder: Path, curves: dict[str, dict[str, dict[int, float]]]) -> None:
    (folder / "growth.json").write_text(json.dumps(curves, indent=2) + "\n")
