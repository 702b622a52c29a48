"""Writes what the command knows of the API, from the declarations of the routes (`make commands`).

A route of the edge is a command by this alone: its noun and verb follow from its path, its options
from the models of its query and its body, its columns from the page of the console.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any

from console.resources import TOP, Resource
from contracts.models import DeleteQuery, ListQuery
from edge.auth import access
from edge.call_route import CallRoute
from edge.routers import ROUTES
from pydantic import BaseModel

FILE = Path(__file__).parent / "tenantry" / "cli" / "operations.json"
Json = dict[str, Any]

_NOUNS = {"api-keys": "keys"}
_PLACES = {
    "who_am_i": ("tenants", "whoami"),
    "issue_token": ("keys", "issue-token"),
    "get_feed": ("events", "list"),
    "get_proof": ("audit", "prove"),
    "get_jwks": ("projects", "jwks"),
    "import_users": ("users", "import"),
    "get_overview": ("overview", "get"),
    "search": ("search", "find"),
}
"""Of operations whose path does not say it."""
_CREDENTIALS = {
    access.public: "none",
    access.operator: "operator_key",
    access.tenant: "api_key",
    access.tenant_or_operator: "either",
}
_STATES = {"suspended": ("suspend", "resume"), "disabled": ("disable", "enable")}
"""The verbs that set such a status, and `active` again."""
_UNSHOWN = ("version", "updated_at")
_MOST_COLUMNS = 8


def operations() -> list[Json]:
    """What each route is as a command, in the order of the routes."""
    collections = {
        path[index - 1]
        for path in map(_segments, ROUTES)
        for index, part in enumerate(path)
        if index and part.startswith("{")
    }
    columns = {each.list.__name__: each.columns for each in _kinds(TOP)}
    found: list[Json] = []
    for route in ROUTES:
        if route.endpoint.reads_body:
            continue  # a file that is streamed: such a command is written by hand
        operation = _operation(route, collections, columns.get(route.call.name, ()))
        found += [operation, *_status_verbs(operation)]
    listed = {each["noun"] for each in found if each["verb"] == "list"}
    found += [
        part
        for route in ROUTES
        for part in _listed_parts(route, {each["noun"] for each in found} - listed)
    ]
    finders = dict(_finders())
    for operation in found:
        for parent in operation["parents"]:
            if finder := finders.get(parent["prefix"]):
                parent["find"] = finder
    return found


def _segments(route: CallRoute) -> list[str]:
    return [part for part in route.path.split("/")[2:] if part not in ("", "admin")]


def _kinds(resources: Iterable[Resource]) -> Iterator[Resource]:
    for resource in resources:
        yield resource
        yield from _kinds(resource.parts)


def _operation(route: CallRoute, collections: set[str], columns: tuple[str, ...]) -> Json:
    call, body = route.call, route.endpoint.body_model
    noun, verb = _place(route, collections)
    is_paged = issubclass(call.query, ListQuery)
    fields = _fields(body) if body else []
    operation: Json = {
        "id": call.name,
        "noun": noun,
        "verb": verb,
        "method": route.method,
        "path": route.path,
        "help": "\n\n".join(filter(None, [f"{route.summary}.", _text(route, body)])),
        "credential": _CREDENTIALS[route.access],
        "parents": _parents(route),
        "query": _fields(call.query, ListQuery if is_paged else DeleteQuery),
        "body": [each for each in fields if "fixed" not in each],
        "fixed": {each["name"]: each["fixed"] for each in fields if "fixed" in each},
        "previews": issubclass(call.query, DeleteQuery),
        "shows_secret": call.shows_secret,
        "is_form": route.endpoint.media_type == "application/x-www-form-urlencoded",
        "is_paged": is_paged,
    }
    if call.result is not None and verb == "list":
        operation |= _list(call.result, columns)
    return operation


def _parents(route: CallRoute) -> list[Json]:
    """Its identifiers: what they are called on the command line, and their prefix."""
    literals = [part for part in _segments(route) if not part.startswith("{")]
    return [
        {"name": name, "prefix": prefix, "metavar": _singular(_NOUNS.get(literal, literal), name)}
        for (name, prefix), literal in zip(route.call.path.items(), literals, strict=False)
    ]


def _singular(noun: str, name: str) -> str:
    if not noun.endswith("s"):
        return name.removesuffix("_id")
    return noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")


def _listed_parts(route: CallRoute, nouns: set[str]) -> Iterator[Json]:
    """Lists that have no path of their own: they stand in the resource that they belong to."""
    result = route.call.result
    if route.method != "GET" or result is None or not route.path.endswith("}"):
        return
    for name in nouns & set(result.model_fields):
        operation = _operation(route, {_segments(route)[0]}, ())
        text = f"List the {name} that `{operation['noun']} get` shows."
        yield operation | {"noun": name, "verb": "list", "help": text} | _list(result, (), name)


def _finders() -> Iterator[tuple[str, Json]]:
    """By prefix: the list in which a resource is found by its slug or its email address."""
    for route in ROUTES:
        call = route.call
        if route.method != "GET" or call.path or not issubclass(call.query, ListQuery):
            continue
        items = _list(call.result, ())["items"] if call.result else ""
        (one,) = [
            each.call.path for each in ROUTES
            if each.method == "GET" and each.path.startswith(f"{route.path}/{{")
            and each.path.endswith("}") and len(each.call.path) == 1
        ]  # fmt: skip
        members = _members(call.result, items) if call.result else {}
        by = next((each for each in ("slug", "email") if each in members), None)
        if by:
            query = by if by in call.query.model_fields else "q"
            finder = {"path": route.path, "items": items, "by": by, "query": query}
            yield next(iter(one.values())), finder


def _text(route: CallRoute, body: type[BaseModel] | None) -> str:
    """What its route and its body say about it, beyond who may use it."""
    said = [part for part in route.description.split("\n\n") if part != getdoc(route.access)]
    text = getdoc(body) if body is not None and body.__doc__ else None
    return "\n\n".join([*filter(None, [text]), *said])


def _place(route: CallRoute, collections: set[str]) -> tuple[str, str]:
    """The noun and the verb: `/users/{id}` is `users get`, `/webhooks/{id}/test` `webhooks test`.

    What is done to a whole collection by DELETE ends with `-all`.
    """
    if route.call.name in _PLACES:
        return _PLACES[route.call.name]
    word = route.call.name.partition("_")[0]
    path = _segments(route)
    literals = [part for part in path if not part.startswith("{")]
    noun = next((part for part in reversed(literals) if part in collections), literals[0])
    last = path[-1]
    if last.startswith("{"):
        verb = {"GET": "get", "PATCH": "update"}.get(route.method, word)
    elif last == noun:
        verb = {"GET": "list", "DELETE": f"{word}-all"}.get(route.method, word)
    else:
        verb = last
    return _NOUNS.get(noun, noun), verb


def _list(page: type[BaseModel], columns: tuple[str, ...], name: str | None = None) -> Json:
    """Under which name the items stand, by what one is identified, and what a table shows."""
    if name is None:
        properties = page.model_json_schema()["properties"]
        name = next(key for key, each in properties.items() if each.get("type") == "array")
    members = _members(page, name)
    key = "id" if "id" in members else next(iter(members))
    plain = [each for each in members if each not in _UNSHOWN and _is_scalar(members[each])]
    others = [
        each
        for each in columns or plain
        if each not in (key, "project_id") and (each in plain or each == "user")
    ]
    return {"items": name, "key": key, "columns": [key, *others][:_MOST_COLUMNS]}


def _members(page: type[BaseModel], name: str) -> Json:
    """The schemas of what an item of the list has."""
    schema = page.model_json_schema()
    reference = schema["properties"][name]["items"]["$ref"].rpartition("/")[2]
    members: Json = schema["$defs"][reference]["properties"]
    return members


def _is_scalar(schema: Json) -> bool:
    kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
    items = schema.get("items", {})
    return "object" not in kinds and "$ref" not in str(schema) and items.get("type") != "object"


def _fields(model: type[BaseModel], without: type[BaseModel] | None = None) -> list[Json]:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    return [
        _field(name, each, schema.get("$defs", {}), required=name in required)
        for name, each in schema.get("properties", {}).items()
        if not each.get("x-internal") and (without is None or name not in without.model_fields)
    ]


def _field(name: str, schema: Json, definitions: Json, *, required: bool) -> Json:
    options = schema.get("anyOf", [schema])
    kinds = [each for each in options if each.get("type") != "null"]
    kind = kinds[0]
    members: Json = {}
    if "$ref" in kind:
        kind = definitions[kind["$ref"].rpartition("/")[2]]
        members = kind.get("properties", {})
    field: Json = {"name": name, "kind": _kind(kind)}
    choices = kind.get("enum") or kind.get("items", {}).get("enum")
    examples = (
        kind.get("examples") or schema.get("examples") or kind.get("items", {}).get("examples")
    )
    texts = [schema.get("description"), *_limits(kind)]
    if members:
        texts.append(f"Members: {', '.join(members)}.")
    elif examples and not choices:
        example = examples[0][0] if isinstance(examples[0], list) and examples[0] else examples[0]
        texts.append(f"Such as {_example(example)}" if example != [] else None)
    if isinstance(schema.get("default"), str | int) and schema["default"] is not False:
        texts.append(f"Default: {schema['default']}.")
    field["help"] = " ".join(filter(None, texts))
    field |= {"fixed": kind["const"]} if "const" in kind else {}
    field |= {"choices": choices} if choices else {}
    field |= {"required": True} if required else {}
    field |= {"nullable": True} if len(options) > len(kinds) else {}
    return field


def _kind(schema: Json) -> str:
    if schema.get("format") == "date-time" or "RFC 3339" in schema.get("description", ""):
        return "time"
    kinds = {"array": "list", "string": "text"}
    return kinds.get(schema.get("type", "object"), schema.get("type", "object"))


def _limits(schema: Json) -> Iterator[str]:
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']} to {schema['maximum']}."


def _example(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={json.dumps(each).strip(chr(34))}" for name, each in value.items())
    return str(value)


def _status_verbs(operation: Json) -> Iterator[Json]:
    """`suspend` and `resume` of a resource whose update sets such a status."""
    status = next((each for each in operation["body"] if each["name"] == "status"), None)
    if operation["verb"] != "update" or status is None:
        return
    for state, (stop, go) in _STATES.items():
        if state in status["choices"]:
            one = operation["noun"].removesuffix("s")
            for verb, value in ((stop, state), (go, "active")):
                text = f"{verb.capitalize()} a {one}: its status becomes {value}."
                given = {"verb": verb, "help": text, "body": [], "fixed": {"status": value}}
                yield operation | given


def render() -> str:
    """One operation a line, so that a change of one shows as one."""
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in operations())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(operations())} operations\n")
