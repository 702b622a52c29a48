"""The index of paths answers as FastAPI does without it, and finds every declared route."""

import json
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from chassis.health import Health
from contracts.ids import new_id
from edge.app import make_app
from edge.call_route import CallRoute
from edge.path_index import PathIndex
from edge.routers import ROUTES
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


async def _tell(route: CallRoute, request: Request) -> Response:
    """In place of the gateway: which route answers, and what it has understood."""
    return JSONResponse([request.method, route.method, route.path, request.path_params])


APP = make_app(SimpleNamespace(handle=_tell), Health())
INDEX = PathIndex(APP)


async def answer(app: ASGIApp, method: str, raw_path: str) -> tuple[int, dict[str, str], Any]:
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": b"",
        "headers": [
            (b"x-request-id", b"same"),
            (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(b"".join(each["body"] for each in rest))


def identifiers(route: CallRoute) -> dict[str, str]:
    return {name: new_id(prefix) for name, prefix in route.call.path.items()}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.call.name)
async def test_every_route_is_found_with_its_identifiers(route: CallRoute) -> None:
    given = identifiers(route)
    for method in route.answered_methods:
        assert INDEX.find(method, route.path.format(**given)) is not None
        for app in (APP, INDEX):
            status, _, body = await answer(app, method, route.path.format(**given))
            assert (status, body) == (200, [method, route.method, route.path, given])


def variants(path: str) -> Iterator[str]:
    """The path, and what looks like it."""
    head, _, last = path.rpartition("/")
    yield path
    yield path.upper()
    yield path + "/"
    yield path + "/more"
    yield path + "//"
    yield path + "%0A"
    yield head + "/"
    yield f"{head}//{last}"
    yield f"{head}%2F{last}"
    yield f"{head}%2f{last}"
    yield f"{head}/%{ord(last[0]):02X}{last[1:]}"
    yield f"{head}/{last}%2Fmore"
    yield f"{head}/%20{last}"
    yield f"{head}/%FF%25{last}"
    yield f"{head}/settings-schema"
    yield f"{head}/bulk"
    yield f"/{path}"
    yield path[1:]


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_the_answer_is_the_same_without_the_index(path: str) -> None:
    given = next(identifiers(route) for route in ROUTES if route.path == path)
    for each, method in product(variants(path.format(**given)), METHODS):
        assert await answer(INDEX, method, each) == await answer(APP, method, each), (method, each)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/admin/users", "GET, HEAD, POST"),
        ("/v1/admin/users/usr_1", "DELETE, GET, HEAD, PATCH"),
        ("/v1/admin/users/bulk", "POST"),
        ("/v1/admin/projects/settings-schema", "GET, HEAD"),
        ("/v1/admin/audit/export", "GET, HEAD"),
    ],
)
async def test_the_methods_are_those_of_the_literal_path(path: str, methods: str) -> None:
    for method in METHODS:
        status, headers, body = await answer(INDEX, method, path)
        if method in methods.split(", "):
            assert status == 200
            assert body[:2] == [method, "GET" if method == "HEAD" else method]
        else:
            assert (status, body["code"]) == (405, "method_not_allowed")
            assert body["detail"] == f"Allowed here: {methods}."
            assert (headers["allow"], headers["x-request-id"]) == (methods, "same")


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/admin/users/", "/v1/admin/users//sessions", "/v1/admin/users%0A",
     "/v1/admin/users/usr_1/more", "/v1/admin/users%2Fusr_1", "/v1/admin/users/usr_1%2fsessions",
     "/v1/admin/users/a%2Fb", "//v1/admin/users", "/v1/admin/USERS"],
)  # fmt: skip
async def test_nothing_else_is_found(path: str) -> None:
    for method in METHODS:
        status, headers, body = await answer(INDEX, method, path)
        assert (status, body["code"]) == (404, "not_found")
        assert headers["content-type"] == "application/problem+json"


async def test_segments_are_decoded_once_they_are_split() -> None:
    for app in (APP, INDEX):
        assert (await answer(app, "GET", "/v1/admin/us%65rs"))[2][2] == "/v1/admin/users"
        for raw, decoded in (("a%20b", "a b"), ("%252F", "%2F"), ("a%0A", "a\n"), ("%00", "\0")):
            _, _, body = await answer(app, "GET", f"/v1/admin/users/{raw}")
            assert body[3] == {"id": decoded}
