"""Section 1 of the contract, over real HTTP: what holds for every endpoint."""

import pytest
from edge.auth.access import public
from edge.call_route import CallRoute
from edge.routers import ROUTES
from support.api import Api

IDS = {"kid": "sgk", "sid": "ses"}


def path_of(route: CallRoute) -> str:
    """The route's path with identifiers of the right form that do not exist."""
    ids = {name: f"{prefix}_01jt7a3v9qf8mbd2m0q5k4h6xz" for name, prefix in route.call.path.items()}
    return route.path.format(**ids)


def named(route: CallRoute) -> str:
    return route.call.name


GUARDED = [route for route in ROUTES if route.access is not public]
SCOPED = [route for route in ROUTES if route.scopes]


@pytest.mark.parametrize("route", GUARDED, ids=named)
async def test_every_endpoint_needs_a_credential(anyone: Api, route: CallRoute) -> None:
    bodies = set()
    for key in (None, "nonsense", "tnt_test_" + "a" * 36, "a.b.c"):
        answer = await anyone.as_key(key)(route.method, path_of(route), x_request_id="same")
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json"
        bodies.add(str({**answer.body, "trace_id": ""}))
    assert len(bodies) == 1


async def limited_key(api: Api, scopes: list[str]) -> Api:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", path, {"name": "k", "scopes": scopes})
    assert key.status == 201, key.raw
    return api.as_key(key.body["secret"])


@pytest.mark.parametrize("route", SCOPED, ids=named)
async def test_every_endpoint_names_the_scope_that_is_lacking(api: Api, route: CallRoute) -> None:
    (scope,) = route.scopes
    others = "users:read" if not scope.startswith("users") else "projects:read"
    answer = await (await limited_key(api, [others]))(route.method, path_of(route))
    assert (answer.status, answer.body["code"]) == (403, "insufficient_scope")
    assert scope in answer.body["detail"]


@pytest.mark.parametrize("route", [r for r in SCOPED if r.call.path], ids=named)
async def test_what_is_absent_or_malformed_is_the_same_404(api: Api, route: CallRoute) -> None:
    seen = set()
    for wrong in (None, "nonsense", "%00", "ten_01jt7a3v9qf8mbd2m0q5k4h6xz"):
        path = path_of(route)
        if wrong is not None:
            last = path_of(route).split("/")[4]
            path = path.replace(last, wrong)
        body = None if route.call.body is None else _valid(route)
        answer = await api(route.method, path, body, x_request_id="same")
        assert answer.status == 404, answer.raw
        seen.add(str({**answer.body, "trace_id": ""}))
    assert len(seen) == 1


def _valid(route: CallRoute) -> dict:
    from contracts.examples import example_of

    example = example_of(route.call.body)
    if "secret_sha256" in example:
        return {"secret": "x"}
    return example


@pytest.mark.parametrize(
    "route", [r for r in SCOPED if r.method == "POST" and not r.endpoint.reads_body], ids=named
)
async def test_bodies_are_json_of_bounded_size(api: Api, route: CallRoute) -> None:
    path = path_of(route)
    huge = await api("POST", path, data=b'"' + b"x" * 300_000 + b'"')
    assert (huge.status, huge.body["code"]) == (413, "payload_too_large")
    form = await api("POST", path, data=b"a=1", content_type="text/plain")
    assert (form.status, form.body["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "data", [b"{", b"\xff\xfe", b'{"name": "\\ud800"}', b"[1,", b"nul", b'{"a":' * 5000]
)
async def test_broken_json_is_a_400(api: Api, data: bytes) -> None:
    answer = await api("POST", "/v1/admin/organizations", data=data)
    assert (answer.status, answer.body["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": 1}, "name"),
        ({"name": None}, "name"),
        ({"name": "x", "nmae": "y"}, "nmae"),
        ({"name": "x", "slug": "Not A Slug"}, "slug"),
        ({"name": "x", "max_members": "3"}, "max_members"),
        ({"name": "x", "max_members": 0}, "max_members"),
        ({"name": "x", "metadata": {"a": "b" * 20_000}}, "metadata"),
        ({"name": "x", "metadata": {"a": "\u0000"}}, "metadata"),
        ({"name": "x", "metadata": {"a": 10**30 + 1}}, "metadata"),
        ({"name": "x", "metadata": []}, "metadata"),
        ({"name": "x", "owner_id": "usr_nobody"}, "owner_id"),
    ],
)
async def test_a_field_at_fault_is_named(api: Api, body: dict, field: str) -> None:
    answer = await api("POST", "/v1/admin/organizations", body)
    assert (answer.status, answer.body["code"]) == (422, "validation_failed"), answer.raw
    assert [error["field"] for error in answer.body["errors"]] == [field]
    listed = await api("GET", "/v1/admin/organizations")
    assert listed.body["pagination"]["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "page=0", "page=-1", "page=x", "page=1.0", "limit=0", "limit=201", "sort=nope", "nope=1",
        "page=1&page=2", "cursor=abc", "page=1&cursor=abc", "q=%00", "q=",
    ],
)  # fmt: skip
async def test_a_query_out_of_range_is_never_clamped(api: Api, query: str) -> None:
    answer = await api("GET", f"/v1/admin/organizations?{query}")
    assert (answer.status, answer.body["code"]) == (422, "validation_failed"), answer.raw


async def test_lists_page_by_number_and_by_cursor(api: Api) -> None:
    for number in range(5):
        await api("POST", "/v1/admin/organizations", {"name": f"Org {number}"})
    path = "/v1/admin/organizations?limit=2"
    seen, cursor = [], None
    while True:
        page = await api("GET", path + (f"&cursor={cursor}" if cursor else ""))
        assert page.body["pagination"]["total"] == 5
        assert page.body["pagination"]["total_exact"] is True
        seen += [each["name"] for each in page.body["organizations"]]
        cursor = page.body["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"Org {number}" for number in (4, 3, 2, 1, 0)]
    past = await api("GET", "/v1/admin/organizations?page=999999999999999999&limit=200")
    assert (past.status, past.body["organizations"]) == (200, [])


async def test_a_repeated_idempotency_key_gives_the_same_bytes(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    body = {"name": "k", "scopes": ["users:read"]}
    first = await api("POST", path, body, idempotency_key="once")
    again = await api("POST", path, body, idempotency_key="once")
    assert (again.status, again.raw) == (201, first.raw)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    other = await api("POST", path, {**body, "name": "other"}, idempotency_key="once")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    elsewhere = await api("POST", "/v1/admin/users", {"email": "a@b.co"}, idempotency_key="once")
    assert (elsewhere.status, elsewhere.body["code"]) == (422, "idempotency_key_reused")
    wrong = await api("POST", path, body, idempotency_key="with space")
    assert wrong.status == 422


async def test_versions_guard_against_lost_updates(api: Api) -> None:
    made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})
    path = made.headers["Location"]
    first = made.headers["ETag"]
    assert made.status == 201
    assert (await api("GET", path, if_none_match=first)).status == 304
    assert (await api("PATCH", path, {"name": "A"}, if_match='"9"')).status == 412
    patched = await api("PATCH", path, {"name": "A"}, if_match=first)
    assert (patched.status, patched.body["version"]) == (200, 2)
    assert (await api("GET", path, if_none_match=first)).status == 200
    assert (await api("DELETE", path, if_match=first)).status == 412
    assert (await api("DELETE", path, if_match=patched.headers["ETag"])).status == 204
    assert (await api("DELETE", path)).status == 404


async def test_request_ids_are_echoed_or_replaced(api: Api) -> None:
    good = await api("GET", "/v1/admin/tenant", x_request_id="my-id.1")
    assert good.headers["X-Request-Id"] == "my-id.1"
    bad = await api("GET", "/v1/admin/tenant", x_request_id="not ok!")
    assert bad.headers["X-Request-Id"].startswith("req_")
    problem = await api("GET", "/v1/admin/users/nope", x_request_id="my-id.2")
    assert problem.body["request_id"] == "my-id.2"


async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    nowhere = await api("GET", "/v1/admin/nowhere")
    assert (nowhere.status, nowhere.body["code"]) == (404, "not_found")
    put = await api("PUT", "/v1/admin/users")
    assert (put.status, put.body["code"]) == (405, "method_not_allowed")
    assert put.headers["Allow"] == "GET, HEAD, POST"


async def test_every_answer_tells_of_the_limit(api: Api) -> None:
    answer = await api("GET", "/v1/admin/tenant")
    assert answer.headers["RateLimit-Policy"] == '"default";q=100000;w=1'
    assert answer.headers["RateLimit"].startswith('"default";r=')
