"""The AsyncAPI document: valid by the specification's own JSON Schema, and complete in itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.evolution import event_schema
from contracts.examples import example_event
from edge.asyncapi import document
from jsonschema import Draft7Validator

SPECIFICATION = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())
DOCUMENT = json.loads(json.dumps(document()))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(reference: str, whole: Any) -> Any:
    """What a JSON pointer of the document refers to."""
    assert reference.startswith("#/")
    found = whole
    for part in unquote(reference[2:]).split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def inlined(value: Any, whole: Any) -> Any:
    """The schema with each reference replaced by what it refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            return inlined(resolve(value["$ref"], whole), whole)
        return {name: inlined(each, whole) for name, each in value.items()}
    return [inlined(each, whole) for each in value] if isinstance(value, list) else value


def test_the_document_is_valid_asyncapi() -> None:
    Draft7Validator.check_schema(SPECIFICATION)
    errors = [
        f"{'/'.join(map(str, each.path))}: {each.message}"
        for each in Draft7Validator(SPECIFICATION).iter_errors(DOCUMENT)
    ]
    assert errors == []


def test_every_reference_is_to_a_part_of_the_document() -> None:
    found = set(references(DOCUMENT))
    assert found
    for each in found:
        assert resolve(each, DOCUMENT)


def test_no_schema_changes_what_a_reference_is_relative_to() -> None:
    assert '"$id"' not in json.dumps(DOCUMENT)


def test_there_is_a_channel_and_an_operation_for_each_event_type() -> None:
    assert list(DOCUMENT["channels"]) == list(DOCUMENT["operations"]) == sorted(EVENT_TYPES)


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_channel_has_the_subject_the_schema_and_an_example_of_its_event(name: str) -> None:
    kind = EVENT_TYPES[name]
    channel, operation = DOCUMENT["channels"][name], DOCUMENT["operations"][name]
    assert channel["address"] == kind.subject()
    assert operation["action"] == "send"
    assert resolve(operation["channel"]["$ref"], DOCUMENT) == channel
    (message,) = inlined(channel["messages"], DOCUMENT).values()
    frozen = event_schema(kind)
    expected = inlined(frozen, frozen)
    for member in ("$id", "$schema", "$defs"):
        expected.pop(member, None)
    assert message["payload"] == expected | {"examples": [example_event(kind)]}
