"""How fast requests are answered: reads, lists, writes, and the checking of credentials.

The yardstick reads and lists the product's own answers, stored as bytes.
"""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

from bench import checking, load, rounds, seeding, sink, streams, yardsticks
from bench.callers import Caller, new_tenant
from bench.product import Product, until
from bench.results import Row

IN_FLIGHT = 32
USERS = 1_000
READ = 200
"""Organizations that are read in turns."""


async def read(product: Product, seconds: float, times: int) -> list[Row]:
    """GET of one organization: throughput, and the time of one alone. Against the same yardstick,
    throughput of one user, and of the check of a session token.
    """
    caller = await new_tenant(product)
    ids = [
        (await caller("POST", "/v1/admin/organizations", {"name": f"Acme {n}"}))["id"]
        for n in range(READ)
    ]
    paths = [f"/v1/admin/organizations/{each}" for each in ids]
    of_a_user, verified = await _of_a_user(caller)
    async with _yardstick(product, "organization", {
        each: await caller("GET", path) for each, path in zip(ids, paths, strict=True)
    }) as url:  # fmt: skip
        theirs = itertools.cycle(
            [load.request("GET", url, f"/organization/{each}") for each in ids]
        ).__next__
        ours = caller.get_each(paths)
        many = await _rates(url, theirs, product, ours, seconds, times)
        user = await _rates(url, theirs, product, of_a_user, seconds, times)
        session = await _rates(url, theirs, product, verified, seconds, times)
        alone = await rounds.alternate(
            lambda: _alone(url, theirs, seconds / 2),
            lambda: _alone(product.url, ours, seconds / 2),
            times,
        )
    p50 = f"p50 {alone.ours:.2f} ms, yardstick {alone.yardstick:.2f} ms"
    return [
        _row("read", f"GET organization, {IN_FLIGHT} in flight", 0.62, many),
        _row("read", "GET user with sessions and organizations", 0.5, user),
        _row("read", "session token verified, not revoked", 0.6, session),
        Row("read", "GET organization, p50 alone", alone.ratio, 1.5, "<=", figures=p50),
    ]


async def _of_a_user(caller: Caller) -> tuple[load.Make, load.Make]:
    """The GET of a user, who has a session and an organization, and the check of its token."""
    user = await caller("POST", "/v1/admin/users", {"email": "ada@example.com"})
    organization = await caller("POST", "/v1/admin/organizations", {"name": "Acme"})
    project = await caller("POST", "/v1/admin/projects", {"name": "Acme"})
    path = f"/v1/admin/organizations/{organization['id']}/members"
    await caller("POST", path, {"user_id": user["id"], "role": "owner"})
    path = f"/v1/admin/users/{user['id']}/sessions"
    session = await caller("POST", path, {"project_id": project["id"]})
    body = json.dumps({"token": session["access_token"]}).encode()
    url, authorization = caller.product.url, f"Bearer {caller.key}"
    check = load.request("POST", url, "/v1/sessions/verify", body, authorization=authorization)
    return caller.get(f"/v1/admin/users/{user['id']}"), partial(bytes, check)


async def lists(product: Product, seconds: float, times: int) -> list[Row]:
    """Pages of 50: users, members, audit events."""
    caller = await new_tenant(product)
    organization = await caller("POST", "/v1/admin/organizations", {"name": "Acme"})
    async with product.database("identity") as conn:
        await seeding.users(conn, caller.tenant_id, USERS)
        await seeding.members(conn, caller.tenant_id, organization["id"], USERS)
    async with product.database("audit") as conn:
        await seeding.events(conn, caller.tenant_id, USERS)
    rows = []
    for what, key, path in (
        ("users", "users", "/v1/admin/users"),
        ("members", "members", f"/v1/admin/organizations/{organization['id']}/members"),
        ("audit", "events", "/v1/admin/audit"),
    ):
        page = await caller("GET", path)
        documents = {f"{number:03}": each for number, each in enumerate(page[key])}
        async with _yardstick(product, what, documents) as url:
            made = load.request("GET", url, f"/{what}/000")
            compared = await _rates(
                url, partial(bytes, made), product, caller.get(path), seconds, times
            )
        rows.append(_row("lists", f"list 50: {what}", 0.45, compared))
    return rows


async def write(product: Product, seconds: float, times: int) -> list[Row]:
    """POST of organizations, counted until all who hear of them have caught up."""
    rows = []
    for hearing in (False, True):
        caller = await new_tenant(product)
        async with sink.running() as receiver, _yardstick(product, "write", {}) as url:
            if hearing:
                hook = {"url": receiver.url, "events": ["organization.*"]}
                await caller("POST", "/v1/admin/webhooks", hook)

            compared = await rounds.alternate(
                partial(_rate, url, partial(write_to, url), seconds),
                partial(_written, caller, seconds),
                times,
            )
        what, wanted = (
            ("a webhook hears of it", 0.4) if hearing else ("audit and fan-out behind it", 0.45)
        )
        rows.append(_row("write", f"POST organization, {what}", wanted, compared))
    return rows


async def verify(product: Product, seconds: float, times: int) -> list[Row]:
    """A cached API key and a cached access token against an answer without either."""
    caller = await new_tenant(product)
    token = await caller.token()
    rows = []
    async with checking.running(product) as url:
        for what, credential in (("API key", caller.key), ("access token", token)):
            bare, checked = (
                partial(bytes, load.request("GET", url, path, authorization=f"Bearer {credential}"))
                for path in ("/bare", "/checked")
            )
            compared = await rounds.alternate(
                partial(_rate, url, bare, seconds), partial(_rate, url, checked, seconds), times
            )
            rows.append(_row("verify", f"{what} verified, cached", 0.75, compared))
    return rows


def write_to(url: str) -> bytes:
    """The yardstick's POST of something new."""
    body = json.dumps({"name": "Acme Incorporated", "slug": f"s-{uuid4().hex}"})
    return load.request("POST", url, f"/write/{uuid4().hex}", body.encode())


async def _written(caller: Caller, seconds: float) -> float:
    sample = await load.press(caller.product.url, caller.create_organizations(), IN_FLIGHT, seconds)
    behind = await streams.seconds_until_quiet(caller.product)
    # What is still on its way to receivers must not slow the yardstick of the next round.
    await until(partial(streams.is_quiet, caller.product, deliveries=True), 300)
    return len(sample.waits) / (sample.seconds + behind)


async def _rates(
    url: str, theirs: load.Make, product: Product, ours: load.Make, seconds: float, times: int
) -> rounds.Compared:
    for each, make in ((url, theirs), (product.url, ours)):
        await load.press(each, make, IN_FLIGHT, 0.3)  # connections, statements, plans
    return await rounds.alternate(
        lambda: _rate(url, theirs, seconds), lambda: _rate(product.url, ours, seconds), times
    )


async def _rate(url: str, make: load.Make, seconds: float) -> float:
    return (await load.press(url, make, IN_FLIGHT, seconds)).rate


async def _alone(url: str, make: load.Make, seconds: float) -> float:
    return (await load.press(url, make, 1, seconds)).percentile(50)


def _row(part: str, what: str, wanted: float, compared: rounds.Compared) -> Row:
    figures = f"{compared.ours:,.0f}/s, yardstick {compared.yardstick:,.0f}/s"
    return Row(part, what, compared.ratio, wanted, ">=", figures=figures)


@asynccontextmanager
async def _yardstick(
    product: Product, kind: str, documents: dict[str, object]
) -> AsyncIterator[str]:
    async with yardsticks.running(product) as url:
        async with product.database(yardsticks.DATABASE) as conn:
            await conn.execute("DELETE FROM documents WHERE kind = $1", kind)
            rows = [(kind, each, json.dumps(body)) for each, body in documents.items()]
            await conn.executemany("INSERT INTO documents VALUES ($1, $2, $3)", rows)
        yield url
