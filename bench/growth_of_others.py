"""Growth of everything beside users, members and audit: the same request to a tenant with a
thousand of something and to one with a hundred thousand; deliveries up to a million or more.
"""

from datetime import UTC, datetime, timedelta
from statistics import median

from bench import load
from bench.callers import Caller, new_tenant
from bench.cloning import AGO, SUFFIX, clone
from bench.growth import LEAST, LIMIT, Case
from bench.product import Product, until
from bench.results import Row

SMALL, LARGE = 1_000, 100_000
_WANTED = 3.0
_ORGANIZATIONS = "/v1/admin/organizations"
_INVITATIONS = "/v1/admin/organizations/{organization}/invitations"
_SESSIONS = "/v1/admin/users/{user}/sessions"
_PROJECTS = "/v1/admin/projects"
_KEYS = "/v1/admin/projects/{project}/api-keys"
_WEBHOOKS = "/v1/admin/webhooks"
_DELIVERIES = "/v1/admin/webhooks/{webhook}/deliveries"
CASES = [
    Case("organizations", "first page", _ORGANIZATIONS, "", _WANTED),
    Case("organizations", "page in the middle", _ORGANIZATIONS, "page={middle}", _WANTED),
    Case("organizations", "sorted by name", _ORGANIZATIONS, "sort=name", _WANTED),
    Case("organizations", "search, all match", _ORGANIZATIONS, "q=acme", _WANTED),
    Case("organizations", "search, rare word", _ORGANIZATIONS, "q=number-77-", _WANTED),
    Case("invitations", "first page", _INVITATIONS, "", _WANTED),
    Case("invitations", "pending", _INVITATIONS, "status=pending", _WANTED),
    Case("sessions", "first page", _SESSIONS, "", _WANTED),
    Case("sessions", "active", _SESSIONS, "status=active", _WANTED),
    Case("sessions", "the user", "/v1/admin/users/{user}", "", _WANTED),
    Case("projects", "first page", _PROJECTS, "", _WANTED),
    Case("projects", "search, all match", _PROJECTS, "q=acme", _WANTED),
    Case("API keys", "first page", _KEYS, "", _WANTED),
    Case("API keys", "active", _KEYS, "status=active", _WANTED),
    Case("webhooks", "first page", _WEBHOOKS, "", _WANTED),
    Case("deliveries", "first page", _DELIVERIES, "", _WANTED),
    Case("deliveries", "failed", _DELIVERIES, "status=failed", _WANTED),
    Case("deliveries", "succeeded", _DELIVERIES, "status=succeeded", _WANTED),
    Case("deliveries", "pending", _DELIVERIES, "status=pending", _WANTED),
    Case("deliveries", "a type", _DELIVERIES, "event_type=user.created", _WANTED),
    Case("deliveries", "created after a day", _DELIVERIES, "created_after={start}", _WANTED),
    Case("deliveries", "created after a time", _DELIVERIES, "created_after={time}", _WANTED),
    Case("overview", "of the tenant", "/v1/admin/overview", "", _WANTED),
]


async def measure(product: Product, deliveries: int, seconds: float, times: int) -> list[Row]:
    """Every case at two sizes, in turns."""
    small = await _fill(product, SMALL, 10_000)
    large = await _fill(product, LARGE, deliveries)
    rows = []
    for case in CASES:
        seen: list[list[float]] = [[], []]
        for _ in range(times):
            for found, (caller, names) in zip(seen, (small, large), strict=True):
                query = case.query.format(**names)
                limit = f"?limit={LIMIT}" if case.what not in ("the user", "of the tenant") else ""
                url = case.path.format(**names) + limit + (f"&{query}" if query else "")
                sample = await load.press(product.url, caller.get(url), 1, seconds, LEAST)
                found.append(sample.percentile(50))
        before, after = (median(each) for each in seen)
        figures = f"{before:.1f} ms, {after:.1f} ms"
        what = f"{case.group}: {case.what}"
        rows.append(Row("growth-others", what, after / before, case.wanted, "<=", figures=figures))
    return rows


async def _fill(product: Product, size: int, deliveries: int) -> tuple[Caller, dict[str, str]]:
    """A tenant with so many of each, and what fills in the paths."""
    caller = await new_tenant(product, f"{size} of others")
    names = {"middle": str(size // 2 // LIMIT), "start": _day(1), "time": _day(1) + "T12:00:00Z"}
    await _fill_identity(product, caller, names, size)
    await _fill_projects(product, caller, names, size)
    await _fill_webhooks(product, caller, names, size, deliveries)
    return caller, names


def _day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


async def _fill_identity(
    product: Product, caller: Caller, names: dict[str, str], size: int
) -> None:
    mine = {"tenant_id": caller.tenant_id}
    user = await caller("POST", "/v1/admin/users", {"email": "ada@example.com"})
    organization = await caller("POST", _ORGANIZATIONS, {"name": "Acme"})
    project = await caller("POST", _PROJECTS, {"name": "Acme"})
    names |= {"user": user["id"], "organization": organization["id"], "project": project["id"]}
    invited = {"email": "bob@example.com"}
    await caller("POST", _INVITATIONS.format(**names), invited)
    await caller("POST", _SESSIONS.format(**names), {"project_id": project["id"]})
    async with product.database("identity") as conn:
        await clone(
            conn, "organizations", mine, size, id=f"'org_' || {SUFFIX}", name="'Acme ' || n",
            slug="'number-' || n || '-x'", created_at=AGO.format(count=size),
        )  # fmt: skip
        # As the service does once a second, of no more at once than are written in one.
        await conn.execute("SELECT fold_tallies($1)", size + 1)
        await conn.execute("VACUUM ANALYZE tallies")
        await clone(
            conn, "invitations", mine, size, id=f"'inv_' || {SUFFIX}",
            email="'bob' || n || '@x.test'",
            token_hash=f"'{caller.tenant_id}' || n",
            status="CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'revoked' END",
        )  # fmt: skip
        await clone(
            conn, "sessions", mine, size, id=f"'ses_' || {SUFFIX}", family_hash="NULL",
            refresh_hash="NULL", status="CASE WHEN n % 1000 = 0 THEN 'active' ELSE 'revoked' END",
        )  # fmt: skip


async def _fill_projects(
    product: Product, caller: Caller, names: dict[str, str], size: int
) -> None:
    mine = {"tenant_id": caller.tenant_id}
    key = await caller("POST", _KEYS.format(**names), {"name": "One", "scopes": ["users:read"]})
    async with product.database("projects") as conn:
        await clone(
            conn, "projects", mine, size, id=f"'prj_' || {SUFFIX}", slug="'number-' || n || '-x'",
            name="'Acme ' || n",
        )  # fmt: skip
        await clone(
            conn, "api_keys", {**mine, "id": key["id"]}, size,
            id=f"'key_' || substr('{caller.tenant_id}', 8, 7) || lpad(n::text, 19, '0')",
            secret_hash=f"'{caller.tenant_id}' || n",
            status="CASE WHEN n % 100 = 0 THEN 'active' ELSE 'revoked' END",
        )  # fmt: skip


async def _fill_webhooks(
    product: Product, caller: Caller, names: dict[str, str], size: int, deliveries: int
) -> None:
    hook = {"url": "http://127.0.0.1:9/none", "events": ["project.deleted"]}
    made = await caller("POST", _WEBHOOKS, hook)
    names["webhook"] = made["id"] if "id" in made else made["webhook"]["id"]
    mine = {"tenant_id": caller.tenant_id}
    async with product.database("webhooks") as conn:
        await clone(
            conn, "webhooks", mine, size // 100, id=f"'whk_' || {SUFFIX}", status="'disabled'"
        )
        await caller("POST", f"{_WEBHOOKS}/{names['webhook']}/test", {})

        async def has_delivery() -> object:
            return await conn.fetchval(
                "SELECT 1 FROM deliveries WHERE tenant_id = $1", caller.tenant_id
            )

        await until(has_delivery)
        await clone(
            conn, "deliveries", mine, deliveries, id=f"'dlv_' || {SUFFIX}",
            status="CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'succeeded' END",
            event_type="CASE WHEN n % 1000 = 1 THEN 'user.created' ELSE 'user.updated' END",
            created_at=f"now() - ({deliveries} - n) * (interval '20 days' / {deliveries})",
        )  # fmt: skip
