"""A message that is no event of ours is recognised: it must not stop the consumer of a service."""

from typing import Any

import orjson
import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.examples import example_event
from nats.aio.client import Client
from nats.aio.msg import Msg
from outbox.inbox import parse_event

EVENT = example_event(EVENT_TYPES["user.created"])
NEEDED = ("id", "source", "type", "subject", "time", "tenantid", "requestid", "traceparent", "data")


def message(data: bytes, **headers: str) -> Msg:
    return Msg(
        Client(), subject="tenantry.events.identity.user.created", data=data, headers=headers
    )


def test_an_event_is_parsed_whole() -> None:
    event = parse_event(message(orjson.dumps(EVENT)))
    assert event is not None
    assert (event.id, event.type, event.event) == (EVENT["id"], "user.created", EVENT)


@pytest.mark.parametrize("data", [b"", b"no JSON", b"[]", b"null", b"7", b'"text"', b"{}", b"\xff"])
def test_a_body_of_another_form_is_no_event(data: bytes) -> None:
    assert parse_event(message(data)) is None


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, 7, [], "absent"])
def test_an_envelope_with_a_fault_is_no_event(name: str, value: Any) -> None:
    faulty = {**EVENT, name: value}
    if value == "absent":
        del faulty[name]
    assert parse_event(message(orjson.dumps(faulty))) is None


def test_an_agent_that_is_no_json_makes_no_event() -> None:
    headers = {"Tenantry-User-Agent": "curl/8"}
    assert parse_event(message(orjson.dumps(EVENT), **headers)) is None
