"""The overview and the search: each credential gets what it may read, of its own tenant."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from contracts.overview import Overview
from contracts.scopes import SCOPES
from contracts.search import SearchResults
from support.api import Api
from support.waiting import until

PARTS = {
    "users:read": {"users", "live_sessions"},
    "organizations:read": {"organizations"},
    "projects:read": {"projects"},
    "webhooks:read": {"webhooks", "outcomes"},
    "audit:read": {"events"},
}
FOUND_BY = {
    "usr": "users:read",
    "ses": "users:read",
    "org": "organizations:read",
    "inv": "organizations:read",
    "prj": "projects:read",
    "key": "api_keys:read",
    "sgk": "signing_keys:read",
    "whk": "webhooks:read",
    "dlv": "webhooks:read",
    "evt": "audit:read",
}


async def made(api: Api, path: str, body: Any = None) -> Any:
    answer = await api("POST", f"/v1/admin/{path}", body)
    assert answer.status in (201, 202), answer.raw
    return answer.body


async def overview_of(api: Api) -> dict[str, Any]:
    answer = await api("GET", "/v1/admin/overview")
    assert answer.status == 200, answer.raw
    assert answer.headers["Cache-Control"] == "no-store"
    Overview.model_validate_json(answer.raw)
    return dict(answer.body)


async def search(api: Api, q: str) -> list[dict[str, Any]]:
    answer = await api("GET", f"/v1/admin/search?q={q}")
    assert answer.status == 200, answer.raw
    SearchResults.model_validate_json(answer.raw)
    assert answer.body["unavailable"] == []
    return list(answer.body["results"])


async def key_for(api: Api, *scopes: str) -> Api:
    project = await made(api, "projects", {"name": "Keys", "slug": f"keys-{uuid4().hex}"})
    body = {"name": "narrow", "scopes": list(scopes)}
    key = await made(api, f"projects/{project['id']}/api-keys", body)
    return api.as_key(key["secret"])


async def one_of_each(api: Api) -> dict[str, str]:
    """Identifiers by prefix."""
    user = await made(api, "users", {"email": "ada@example.com", "name": "Ada Shared"})
    project = await made(api, "projects", {"name": "Shared shop", "slug": "shop"})
    organization = await made(api, "organizations", {"name": "Shared Inc."})
    invited = {"email": "eve@example.com"}
    invitation = await made(api, f"organizations/{organization['id']}/invitations", invited)
    begun = await made(api, f"users/{user['id']}/sessions", {"project_id": project["id"]})
    body = {"name": "Backend", "scopes": ["users:read"]}
    key = await made(api, f"projects/{project['id']}/api-keys", body)
    keys = await api("GET", f"/v1/admin/projects/{project['id']}/signing-keys")
    webhook = await made(api, "webhooks", {"url": "http://127.0.0.1:9/in", "events": ["user.*"]})
    delivery = await made(api, f"webhooks/{webhook['id']}/test")

    async def told() -> Any:
        return (await api("GET", f"/v1/admin/audit?resource_id={webhook['id']}")).body["events"]

    return {
        "usr": user["id"],
        "ses": begun["session"]["id"],
        "org": organization["id"],
        "inv": invitation["id"],
        "prj": project["id"],
        "key": key["id"],
        "sgk": keys.body["signing_keys"][0]["id"],
        "whk": webhook["id"],
        "dlv": delivery["id"],
        "evt": (await until(told))[0]["id"],
    }


async def test_the_overview_counts_what_there_is(api: Api) -> None:
    ids = await one_of_each(api)

    async def told() -> bool:
        overview = await overview_of(api)
        tried = sum(hour["retried"] for hour in overview["outcomes"])
        return tried == 1 and sum(hour["total"] for hour in overview["events"]) >= 8

    await until(told)
    overview = await overview_of(api)
    assert set(overview) == set.union(*PARTS.values()) | {"unavailable"}
    assert overview["unavailable"] == []
    assert overview["users"] == {"total": 1, "active": 1, "suspended": 0}
    for part in ("live_sessions", "organizations", "projects"):
        assert overview[part] == {"total": 1, "total_exact": True}
    assert (overview["webhooks"]["total"], overview["webhooks"]["disabled"]) == (1, 0)
    (failing,) = overview["webhooks"]["failing"]
    assert (failing["id"], failing["status"]) == (ids["whk"], "active")
    for part in ("events", "outcomes"):
        starts = [datetime.fromisoformat(hour["start"]) for hour in overview[part]]
        assert starts == [starts[-1] - timedelta(hours=back) for back in reversed(range(24))]
    one = await api("GET", f"/v1/admin/webhooks/{ids['whk']}/outcomes")
    assert one.body["hours"] == overview["outcomes"]


@pytest.mark.parametrize("scope", [each for each in SCOPES if each != "*"])
async def test_a_key_gets_the_parts_that_it_may_read(api: Api, scope: str) -> None:
    overview = await overview_of(await key_for(api, scope))
    assert set(overview) == PARTS.get(scope, set()) | {"unavailable"}


async def test_a_search_finds_each_kind_by_its_id_and_by_its_scope(api: Api) -> None:
    ids = await one_of_each(api)
    assert set(ids) == set(FOUND_BY)
    for prefix, scope in FOUND_BY.items():
        (result,) = await search(api, ids[prefix])
        assert result["id"] == ids[prefix]
        shown = await api("GET", result["path"])
        assert shown.status == 200
        assert ids[prefix].encode() in shown.raw
        assert await search(await key_for(api, scope), ids[prefix]) == [result]
        other = "projects:read" if scope != "projects:read" else "users:read"
        assert await search(await key_for(api, other), ids[prefix]) == []


async def test_a_search_by_text_finds_users_organizations_and_projects(api: Api) -> None:
    ids = await one_of_each(api)
    found = {each["type"]: each["id"] for each in await search(api, "shared")}
    assert found == {"user": ids["usr"], "organization": ids["org"], "project": ids["prj"]}
    narrow = await key_for(api, "organizations:read", "api_keys:read")
    assert [each["type"] for each in await search(narrow, "shared")] == ["organization"]
    assert [each["id"] for each in await search(api, "shop")] == [ids["prj"]]


async def test_the_operator_finds_and_counts_tenants_and_nothing_of_them(
    api: Api, operator: Api
) -> None:
    ids = await one_of_each(api)
    overview = await overview_of(operator)
    assert set(overview) == {"tenants", "unavailable"}
    assert overview["tenants"]["total"] >= overview["tenants"]["active"] >= 1
    assert api.tenant in [each["id"] for each in await search(operator, api.tenant)]
    for q in (*ids.values(), "shared", "ada@example.com"):
        assert await search(operator, q) == []
    assert await search(api, api.tenant) == []


@pytest.mark.parametrize(
    "path", ["search", "search?q=", "search?q=a&q=b", "search?q=a&x=1", "overview?x=1",
             "search?q=" + "x" * 256, "search?q=%00"],
)  # fmt: skip
async def test_what_is_wrong_with_a_query_is_said_whatever_the_scope(api: Api, path: str) -> None:
    for caller in (api, await key_for(api, "users:write")):
        answer = await caller("GET", f"/v1/admin/{path}")
        assert (answer.status, answer.body["code"]) == (422, "validation_failed"), answer.raw
