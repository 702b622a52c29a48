"""Events evolve only by addition: what others read today they can read tomorrow."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.evolution import FROZEN, data_schema, differences, event_schema
from contracts.examples import example_event
from edge.routers import schemas
from jsonschema import Draft202012Validator, FormatChecker

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
NOW = {name: event_schema(kind) for name, kind in EVENT_TYPES.items()}


@pytest.mark.parametrize("folder", FROZEN)
def test_the_schemas_are_those_that_were_frozen(folder: str) -> None:
    files = (SCHEMAS / folder).glob("*.json")
    frozen = {path.stem: json.loads(path.read_text()) for path in files}
    found = differences(frozen, {name: event_schema(each) for name, each in FROZEN[folder].items()})
    breaking = [f"{each.where}: {each.what}" for each in found if not each.is_addition]
    assert not breaking, "Others rely on these: add a new field, or a new type."
    added = [f"{each.where}: {each.what}" for each in found]
    assert not added, (
        "Additions are welcome: accept them with `make schemas`, and commit the files."
    )


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_the_published_example_is_such_an_event(name: str) -> None:
    kind = EVENT_TYPES[name]
    example = example_event(kind)
    for schema, value in ((NOW[name], example), (data_schema(kind), example["data"])):
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)
        newer = {**value, "added_later": 1}
        Draft202012Validator(schema).validate(newer)
    kind.model_validate(example["data"])


def test_what_is_published_is_what_is_frozen() -> None:
    told = {each["type"]: each for each in json.loads(schemas._EVENT_TYPES)["event_types"]}
    assert set(told) == set(EVENT_TYPES)
    for name, kind in EVENT_TYPES.items():
        assert told[name]["schema"] == data_schema(kind)
        assert told[name]["example"] == example_event(kind)


def _user(schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"]["User"]


ADDITIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a new optional field": lambda s: _user(s)["properties"].update(x={"type": "string"}),
    "one beside data": lambda s: s["properties"].update(x={"type": "string"}),
    "another remark": lambda s: _user(s).update(description="Somebody."),
}
BREAKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a field that is gone": lambda s: _user(s)["properties"].pop("email"),
    "another type": lambda s: _user(s)["properties"]["version"].update(type="string"),
    "another format": lambda s: _user(s)["properties"]["email"].pop("format"),
    "a new required field": lambda s: (
        _user(s)["properties"].update(x={"type": "string"}),
        _user(s)["required"].append("x"),
    ),
    "a field that may be absent": lambda s: _user(s)["required"].remove("email"),
    "null where none was": lambda s: _user(s)["properties"].update(
        email={"anyOf": [_user(s)["properties"]["email"], {"type": "null"}]}
    ),
    "another choice": lambda s: _user(s)["properties"]["status"]["enum"].append("gone"),
    "one of two kinds changed": lambda s: _user(s)["properties"]["name"]["anyOf"][0].clear(),
}


@pytest.mark.parametrize("what", [*ADDITIONS, *BREAKS])
def test_an_addition_is_told_from_a_break(what: str) -> None:
    changed = copy.deepcopy(NOW["user.created"])
    (ADDITIONS | BREAKS)[what](changed)
    found = differences({"user.created": NOW["user.created"]}, {"user.created": changed})
    assert all(each.is_addition for each in found) == (what in ADDITIONS)
    assert bool(found) == (what != "another remark")


def test_a_new_type_is_an_addition_and_a_lost_one_is_not() -> None:
    (added,) = differences({}, {"user.created": NOW["user.created"]})
    (lost,) = differences({"user.created": NOW["user.created"]}, {})
    assert (added.is_addition, lost.is_addition) == (True, False)
