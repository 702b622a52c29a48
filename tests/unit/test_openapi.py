"""The OpenAPI document: FastAPI's own, completed, and nothing of it is left over or dangling."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.health import Health
from contracts.problems import PROBLEMS
from contracts.users import GET_USER
from edge.app import make_app
from edge.auth.access import public
from edge.call_route import CallRoute, Endpoint
from edge.routers import ROUTES
from fastapi import APIRouter

DOCUMENT = make_app(SimpleNamespace(), Health()).openapi()


def operation_of(route: CallRoute) -> dict[str, Any]:
    return DOCUMENT["paths"][route.path][route.method.lower()]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            yield from nodes(each)


def test_it_has_the_routes_and_no_other() -> None:
    found = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert found == {(route.path, route.method.lower()) for route in ROUTES}


def test_every_word_of_a_schema_is_one_of_json_schema() -> None:
    for node in nodes(DOCUMENT):
        assert {"ge", "gt", "le", "lt"}.isdisjoint(node), node
    (limit,) = [
        each["schema"]
        for each in DOCUMENT["paths"]["/v1/admin/users"]["get"]["parameters"]
        if each["name"] == "limit"
    ]
    assert (limit["minimum"], limit["maximum"], limit["type"]) == (1, 200, "integer")


def test_a_parameter_that_takes_a_time_is_no_date() -> None:
    for node in nodes(DOCUMENT):
        assert node.get("format") != "date", node


def test_every_reference_leads_somewhere() -> None:
    for node in nodes(DOCUMENT):
        if "$ref" in node:
            target: Any = DOCUMENT
            for name in node["$ref"].removeprefix("#/").split("/"):
                target = target[name]


def test_every_refusal_is_a_problem() -> None:
    assert set(DOCUMENT["components"]["responses"]) == set(PROBLEMS)
    for route in ROUTES:
        responses = operation_of(route)["responses"]
        assert "422" in responses
        assert all(status.isdigit() for status in responses)
        for status, response in responses.items():
            if status >= "4":
                code = response.get("$ref", "").rpartition("/")[2]
                described = DOCUMENT["components"]["responses"][code] if code else response
                assert list(described["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def test_an_operation_names_its_scope() -> None:
    for route in ROUTES:
        security = [] if route.access is public else [{"bearer": list(route.scopes)}]
        assert operation_of(route)["security"] == security


def test_what_needs_no_credential_is_said_here_too() -> None:
    open_to_all = {route.call.name for route in ROUTES if route.access is public}
    assert open_to_all == {"accept_invitation", "get_jwks", "issue_token", "refresh_session"}


def test_a_route_that_names_nobody_cannot_be_declared() -> None:
    router = APIRouter(route_class=CallRoute)
    with pytest.raises(ValueError, match="unpack"):
        router.get("/v1/forgotten")(Endpoint(GET_USER))


def test_no_parameter_is_null_or_ours_alone() -> None:
    for route in ROUTES:
        for parameter in operation_of(route)["parameters"]:
            assert "anyOf" not in parameter["schema"]
            assert (route.call.name, parameter["name"]) != ("export_events", "before")
