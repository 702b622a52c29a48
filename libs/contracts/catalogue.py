"""Every call and every event type in one place: importing this fills `EVENT_TYPES`."""

from typing import Any

from pydantic import Field

from contracts import (
    api_keys,
    audit,
    invitations,
    members,
    operator_calls,
    organizations,
    overview,
    projects,
    search,
    sessions,
    signing_keys,
    tenants,
    users,
    webhooks,
)
from contracts.calls import Call
from contracts.events import EVENT_TYPES, Event
from contracts.examples import example_event
from contracts.models import Resource

CALLS: list[Call] = [
    value
    for module in (
        api_keys,
        audit,
        invitations,
        members,
        operator_calls,
        organizations,
        overview,
        projects,
        search,
        sessions,
        signing_keys,
        tenants,
        users,
        webhooks,
    )
    for value in vars(module).values()
    if isinstance(value, Call)
]


class EventType(Resource):
    type: str = Field(examples=["user.created"])
    description: str = Field(examples=["A user was created."])
    json_schema: dict[str, Any] = Field(alias="schema", examples=[{"type": "object"}])
    example: Event = Field(examples=[example_event(users.UserCreated)])


class EventTypes(Resource):
    event_types: list[EventType]


class SettingsSchema(Resource):
    """The JSON Schema of a project's settings, with the defaults."""

    json_schema: dict[str, Any] = Field(alias="schema", examples=[{"type": "object"}])


LIST_EVENT_TYPES = Call("edge", "list_event_types", result=EventTypes)
GET_SETTINGS_SCHEMA = Call("edge", "get_settings_schema", result=SettingsSchema)
GET_OVERVIEW = Call("edge", "get_overview", result=overview.Overview)
SEARCH = Call("edge", "search", query=search.SearchQuery, result=search.SearchResults)

__all__ = [
    "CALLS",
    "EVENT_TYPES",
    "GET_OVERVIEW",
    "GET_SETTINGS_SCHEMA",
    "LIST_EVENT_TYPES",
    "SEARCH",
]
