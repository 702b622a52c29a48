"""The OpenAPI document: FastAPI's own, completed, and nothing of it is left over or dangling."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from chassis.health import Health
from contracts.problems import PROBLEMS
from edge.app import make_app
from edge.call_route import CallRoute
from edge.routers import ROUTES

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
        security = [{"bearer": list(route.scopes)}] if route.access else []
        assert operation_of(route)["security"] == security


def test_no_parameter_is_null_or_ours_alone() -> None:
    for route in ROUTES:
        for parameter in operation_of(route)["parameters"]:
            assert "anyOf" not in parameter["schema"]
            assert (route.call.name, parameter["name"]) != ("export_events", "before")
