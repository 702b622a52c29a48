"""The OpenAPI document: FastAPI's own, completed, and nothing of it is left over or dangling."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.health import Health
from contracts.catalogue import EVENT_TYPES, EventTypes
from contracts.examples import example_of
from contracts.problems import PROBLEMS
from contracts.users import GET_USER
from contracts.webhooks import DeliveryDetail
from edge.app import make_app
from edge.auth.access import public
from edge.call_route import CallRoute, Endpoint
from edge.routers import ROUTES
from fastapi import APIRouter
from jsonschema import Draft202012Validator

DOCUMENT = make_app(SimpleNamespace(), Health()).openapi()


def operation_of(route: CallRoute) -> dict[str, Any]:
    return DOCUMENT["paths"][route.path][route.method.lower()]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            yield from nodes(each)


def examples(node: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Those of a media type, and those of a schema."""
    if isinstance(node.get("schema"), dict) and "example" in node:
        yield node["schema"], node["example"]
    if isinstance(node.get("examples"), list):
        for each in node["examples"]:
            yield node, each


def test_it_has_the_routes_and_health_and_no_other() -> None:
    found = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    health = {(route.path, "get") for route in Health().routes()}
    assert found == {(route.path, route.method.lower()) for route in ROUTES} | health


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
def test_health_has_a_schema_and_needs_no_credential(path: str) -> None:
    operation = DOCUMENT["paths"][path]["get"]
    assert operation["security"] == []
    for status in {"200", "503"} & operation["responses"].keys():
        (content,) = operation["responses"][status]["content"].values()
        assert DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]


def test_what_may_be_null_has_a_list_of_types() -> None:
    """Only a reference needs `anyOf`: generators make a class of every other one."""
    for node in nodes(DOCUMENT):
        for option in node.get("anyOf", ()):
            assert option.keys() == {"$ref"} or option == {"type": "null"}, node
    algorithm = DOCUMENT["components"]["schemas"]["RotateSigningKey"]["properties"]["algorithm"]
    assert algorithm["type"] == ["string", "null"]
    assert None in algorithm["enum"]


def test_no_default_stands_beside_a_reference() -> None:
    assert [node for node in nodes(DOCUMENT) if {"$ref", "default"} <= node.keys()] == []


def test_only_texts_are_enumerated() -> None:
    for node in nodes(DOCUMENT):
        for value in node.get("enum", ()):
            assert value is None or isinstance(value, str), node


def test_no_two_schemas_make_one_class() -> None:
    """Generators make `NewX` to build an `X`."""
    names = DOCUMENT["components"]["schemas"].keys()
    assert {f"New{name}" for name in names} & names == set()


def test_every_example_fits_its_schema() -> None:
    checked = 0
    for node in nodes(DOCUMENT):
        for schema, example in examples(node):
            validator = Draft202012Validator(schema | {"components": DOCUMENT["components"]})
            assert [each.message for each in validator.iter_errors(example)] == [], schema
            checked += 1
    assert checked > 400


def test_an_example_of_a_body_is_accepted() -> None:
    for route in ROUTES:
        if (body := route.endpoint.body_model) is not None:
            body.model_validate_json(json.dumps(example_of(body)))


def test_the_example_of_an_event_has_its_data() -> None:
    delivery = example_of(DeliveryDetail)
    event_type = example_of(EventTypes)["event_types"][0]
    for name, event in (
        (delivery["event_type"], delivery["payload"]),
        (event_type["type"], event_type["example"]),
    ):
        assert event["type"] == name
        EVENT_TYPES[name].model_validate(event["data"])


def test_linters_take_no_example_for_a_schema() -> None:
    """An object with `type` and `example` is one to them."""
    for response in nodes([DOCUMENT["paths"], DOCUMENT["components"]["responses"]]):
        for node in nodes([response["example"]] if "example" in response else []):
            assert not {"type", "example"} <= node.keys(), node


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
