"""Examples, made from the examples of the fields: for OpenAPI, for event types, for test events."""

from typing import Any

from pydantic import BaseModel

from contracts.events import Event, EventData

_CHANGE = {"name": {"from": "Acme", "to": "Acme Inc."}}


def example_of(model: type[BaseModel]) -> Any:
    """A plausible value of the model, as JSON would carry it."""
    schema = model.model_json_schema(by_alias=True)
    return _example(schema, schema.get("$defs", {}))


def example_event(kind: type[EventData]) -> dict[str, Any]:
    """A whole event of that type as it goes over the wire."""
    data = example_of(kind)
    resource = data.get(kind.type.split(".")[0])
    # A member is known by its user.
    known = resource if isinstance(resource, dict) else {}
    identifier = known.get("id", known.get("user_id"))
    named = [value for name, value in data.items() if name.endswith("_id")]
    envelope: dict[str, Any] = example_of(Event)
    return envelope | {
        "source": f"tenantry/{kind.service}",
        "type": kind.type,
        "subject": identifier or (named[-1] if named else envelope["subject"]),
        "data": data,
    }


def _example(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:  # noqa: C901, PLR0911
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _example(definitions[name], definitions)
    for word in ("const", "default"):
        if schema.get(word) is not None:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], definitions)
    match schema.get("type"):
        case "object":
            return _object(schema, definitions)
        case "array":
            return [_example(schema["items"], definitions)]
        case "string":
            return "text"
        case "boolean":
            return False
        case "integer":
            return schema.get("minimum", 1)
    return None


def _object(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if "properties" in schema:
        return {
            name: _CHANGE if name == "changes" else _example(member, definitions)
            for name, member in schema["properties"].items()
        }
    return {}
