"""Lists, totals, searches, the feed and the exports: one's own alone; a cursor opens one list."""

import base64
from typing import Any

import pytest
from contracts.models import ListQuery
from edge.auth import access
from edge.call_route import CallRoute
from edge.routers import ROUTES
from security.sample_tenant import MANY, SampleTenant
from support.figures import FIGURES

LISTS = [
    route
    for route in ROUTES
    if issubclass(route.call.query, ListQuery) and route.access is not access.operator
]


def path_of(route: CallRoute, tenant: SampleTenant) -> str:
    return route.path.format(**{name: tenant.ids[p] for name, p in route.call.path.items()})


def named(route: CallRoute) -> str:
    return route.call.name


def rows(answer: Any) -> list[dict[str, Any]]:
    return next(value for value in answer.body.values() if isinstance(value, list))


@pytest.mark.parametrize("route", LISTS, ids=named)
async def test_a_list_and_its_total_are_ones_own(
    here: SampleTenant, there: SampleTenant, route: CallRoute
) -> None:
    answer = await here.api("GET", f"{path_of(route, here)}?limit=200")
    assert answer.status == 200, answer.raw
    assert there.word.encode() not in answer.raw
    for prefix, identifier in there.ids.items():
        assert identifier.encode() not in answer.raw, prefix
    assert answer.body["pagination"]["total"] == len(rows(answer)) >= 2


@pytest.mark.parametrize("route", [r for r in LISTS if "q" in r.call.query.model_fields], ids=named)
async def test_a_search_for_anothers_words_finds_nothing(
    here: SampleTenant, there: SampleTenant, route: CallRoute
) -> None:
    path = path_of(route, here)
    for word in (there.word, there.word[:5] + "%25", "_" * 13, f"{there.word}' OR '1'='1", "\\"):
        answer = await here.api("GET", f"{path}?q={word}")
        assert answer.status == 200, answer.raw
        assert rows(answer) == []
        assert answer.body["pagination"]["total"] == 0
    own = await here.api("GET", f"{path}?q={here.word}")
    assert own.body["pagination"]["total"] >= 1


async def test_a_search_for_what_is_anothers_finds_nothing(
    here: SampleTenant, there: SampleTenant
) -> None:
    nothing = {"results": [], "unavailable": []}
    for q in (*there.ids.values(), there.word, f"{there.word}-0", f"{there.word}.0@example.com"):
        assert (await here.api("GET", f"/v1/admin/search?q={q}")).body == nothing, q
        FIGURES["isolation cells, query"] += 1
    own = [each for prefix, each in here.ids.items() if prefix not in ("ten", "root")]
    for q in (*own, here.word, f"{here.word}/0"):
        assert (await here.api("GET", f"/v1/admin/search?q={q}")).body["results"], q
    for tenant, other in ((here, there), (there, here)):
        overview = await tenant.api("GET", "/v1/admin/overview")
        assert overview.body["users"]["total"] >= MANY
        assert other.word.encode() not in overview.raw
        for identifier in other.ids.values():
            assert identifier.encode() not in overview.raw


@pytest.mark.parametrize(
    "path", ["/v1/admin/events?limit=1000", "/v1/admin/audit/export?format=csv"]
)
async def test_the_feed_and_the_export_tell_of_nobody_else(
    here: SampleTenant, there: SampleTenant, path: str
) -> None:
    answer = await here.api("GET", path)
    assert answer.status == 200
    assert here.ids["whk"].encode() in answer.raw
    for identifier in (*there.ids.values(), there.word):
        assert identifier.encode() not in answer.raw


async def cursor_of(tenant: SampleTenant, route: CallRoute, query: str = "limit=1") -> str:
    answer = await tenant.api("GET", f"{path_of(route, tenant)}?{query}")
    return str(answer.body["pagination"]["next_cursor"])


async def refused(tenant: SampleTenant, path: str) -> None:
    answer = await tenant.api("GET", path)
    assert (answer.status, answer.body["code"]) == (422, "validation_failed"), answer.raw
    assert answer.body["errors"][0] == {
        "field": "cursor",
        "code": "invalid_cursor",
        "message": "is not a cursor of this list: take next_cursor of the same query",
    }
    FIGURES["cursors refused"] += 1


@pytest.mark.parametrize("route", LISTS, ids=named)
async def test_a_cursor_opens_its_own_list_alone(
    here: SampleTenant, there: SampleTenant, route: CallRoute
) -> None:
    cursor = await cursor_of(here, route)
    path = path_of(route, here)
    assert (await here.api("GET", f"{path}?cursor={cursor}")).status == 200
    await refused(here, f"{path}?cursor={await cursor_of(there, route)}")
    await refused(there, f"{path_of(route, there)}?cursor={cursor}")
    for other in LISTS:
        if other is not route:
            await refused(here, f"{path_of(other, here)}?cursor={cursor}")
    fields = route.call.query.model_fields
    for query in ("q=abc", "status=active", "sort=-name", "sort=name", "type=secret"):
        if query.partition("=")[0] in fields:
            answer = await here.api("GET", f"{path}?{query}&cursor={cursor}")
            assert answer.status == 422, answer.raw


async def test_no_changed_cursor_opens_a_list(here: SampleTenant) -> None:
    route = next(route for route in LISTS if route.call.name == "list_users")
    path, cursor = path_of(route, here), await cursor_of(here, route)
    for place, letter in enumerate(cursor):
        for other in {"A" if letter != "A" else "B", "_", chr(ord(letter) ^ 1)} - {letter}:
            if other.isalnum() or other in "-_":
                await refused(here, f"{path}?cursor={cursor[:place]}{other}{cursor[place + 1 :]}")
    data = base64.urlsafe_b64decode(cursor + "==")
    for forged in (b"", b"[1]", data[:12], data[12:], data[:12] + b"[9,[1,2]]", data + b" "):
        text = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
        await refused(here, f"{path}?cursor={text or 'A'}")
    for text in (cursor + "A", cursor + "%3D", cursor[:-1], "%20" + cursor, cursor * 2, "%00", "é"):
        answer = await here.api("GET", f"{path}?cursor={text}")
        assert answer.status == 422, (text, answer.raw)


async def test_a_walk_by_cursor_is_through_ones_own(here: SampleTenant) -> None:
    seen, cursor = [], None
    while True:
        query = f"?limit=1&q={here.word}" + (f"&cursor={cursor}" if cursor else "")
        page = await here.api("GET", "/v1/admin/users" + query)
        seen += [each["id"] for each in page.body["users"]]
        cursor = page.body["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == MANY
