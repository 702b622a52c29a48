"""The client against the product's own OpenAPI document, row by row: neither has what the other
lacks, in operations, paths, parameters, fields of bodies, statuses and what they answer.
"""

import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from aiohttp import ClientSession
from contracts.models import Body, Query
from edge.portable_schema import portable
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from support.stack import Stack
from tenantry_client import Lines, Pages, Request, api
from tenantry_client.requests import RawBody, Text

SAME_OPERATION = {
    "follow_events": "get_feed",
    "import_lines": "import_users",
}
"""Further ways to call an operation."""
EVERYWHERE = {"X-Request-Id", "Idempotency-Key", "If-Match", "If-None-Match", "Cache-Control"}
"""Headers that any request of the client can carry."""

Schema = dict[str, Any]


@pytest.fixture(scope="session")
async def document(stack: Stack, http: ClientSession) -> Schema:
    async with http.get(f"{stack.url}/openapi.json") as answer:
        return await answer.json()


@pytest.fixture(scope="session")
def operations(document: Schema) -> dict[str, tuple[str, str, Schema]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        if path.startswith("/v1/")  # health is for probes, without a credential
        for method, operation in methods.items()
    }


async def test_every_operation_of_the_document_is_one_of_the_client(operations: Any) -> None:
    names = {SAME_OPERATION.get(name, name) for name in api.__all__}
    assert names == set(operations)


@pytest.mark.parametrize("name", api.__all__)
async def test_an_operation_is_as_the_document_says(
    name: str, document: Schema, operations: Any
) -> None:
    function = getattr(api, name)
    method, path, operation = operations[SAME_OPERATION.get(name, name)]
    request = _called(function)
    assert (request.method, request.path) == (method, path)
    assert request.url_path.count("id-") == path.count("{")
    parameters = {
        place: {each["name"]: each for each in operation["parameters"] if each["in"] == place}
        for place in ("path", "query", "header")
    }
    assert set(parameters["header"]) <= EVERYWHERE
    fields = {} if request.query is None else type(request.query).model_fields
    known = {each.alias or name for name, each in fields.items()}
    assert known == set(parameters["query"])
    for field, parameter in parameters["query"].items():
        if field in known:
            _agree(type(request.query), field, parameter["schema"])
    _check_body(request, operation, document)
    _check_answers(name, function, request, operation, document)


def _called(function: Callable[..., Any]) -> Request[Any]:
    """The request that it makes of an identifier for each path parameter, and example bodies."""
    given = {}
    for position, (name, kind) in enumerate(_parameters(function).items()):
        if kind is str:
            given[name] = f"id-{position}"
        elif inspect.isclass(kind) and issubclass(kind, BaseModel):
            given[name] = kind.model_construct()
        elif get_origin(kind) is Iterable:
            given[name] = []
    return function(**given)


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(function)
    return {name: hints[name] for name in inspect.signature(function).parameters}


def _agree(model: type[Query] | None, field: str, documented: Schema) -> None:
    assert model is not None
    own = model.model_json_schema()["properties"][field]
    options = [each for each in own.get("anyOf", [own]) if each != {"type": "null"}]
    for word in ("type", "enum", "minimum", "maximum", "maxLength", "pattern", "format"):
        assert options[0].get(word) == documented.get(word), (field, word)


def _check_body(request: Request[Any], operation: Schema, document: Schema) -> None:
    described = operation.get("requestBody")
    if request.body is None:
        assert described is None
        return
    ((media_type, content),) = described["content"].items()
    if isinstance(request.body, RawBody):
        assert request.body.media_type == media_type
        return
    assert isinstance(request.body, Body)
    assert media_type == "application/json"
    schema = _whole(content["schema"], document["components"]["schemas"])
    own = _own(type(request.body), "validation")
    assert own["properties"].keys() == schema["properties"].keys()
    assert set(own.get("required", [])) == set(schema.get("required", []))
    for name, member in schema["properties"].items():
        for word in ("type", "enum", "pattern", "maxLength", "minimum", "maximum"):
            if word in member:
                assert own["properties"][name].get(word) == member[word], (name, word)


def _check_answers(
    name: str, function: Any, request: Request[Any], operation: Schema, document: Schema
) -> None:
    documented = {status for status in operation["responses"] if status.startswith("2")}
    assert {str(status) for status in request.responses} == documented
    models = set(request.responses.values())
    returned = get_type_hints(function)["return"]
    if isinstance(request, Lines):
        assert get_args(returned) == (request.item,)
        models = set()
    elif isinstance(request, Pages):
        page, item = get_args(returned)
        assert models == {page}
        assert page.model_fields[request.name].annotation == list[item]
    elif isinstance(request, Text):
        assert returned is Text
    else:
        assert models == {None if each is type(None) else each for each in _options(returned)}
    for status, model in request.responses.items():
        content = operation["responses"][str(status)].get("content", {})
        if model is not None:
            schema = _whole(
                content["application/json"]["schema"], document["components"]["schemas"]
            )
            assert _own(model, "serialization") == portable(schema), name
        elif isinstance(request, Text):
            assert list(content) == ["text/plain"]
        elif not isinstance(request, Lines):
            assert content == {}


def _options(returned: Any) -> tuple[Any, ...]:
    (result,) = get_args(returned)
    is_union = get_origin(result) in (Union, types.UnionType)
    return get_args(result) if is_union else (result,)


def _own(model: type[BaseModel], mode: Any) -> Any:
    reference, schema = models_json_schema([(model, mode)])
    return portable(_whole(reference[model, mode], schema["$defs"]))


def _whole(schema: Any, definitions: Schema) -> Any:
    """With each reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [_whole(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _whole(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    return {name: _whole(member, definitions) for name, member in schema.items()}
