"""A message is an event of ours if subject, source, type and owner agree, and its form fits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.event_validation import RefusedEvent
from contracts.events import event_subject
from contracts.examples import example_event, example_of
from contracts.ids import new_id
from contracts.lifecycle import LIFECYCLE_TYPES
from nats.aio.client import Client
from nats.aio.msg import Msg
from outbox.inbox import ReceivedEvent, parse_event

EVENT = example_event(EVENT_TYPES["user.created"])
SUBJECT = "tenantry.events.identity.user.created"


def parse(event: Any, subject: str = SUBJECT, **headers: str) -> ReceivedEvent:
    data = event if isinstance(event, bytes) else orjson.dumps(event)
    return parse_event(Msg(Client(), subject=subject, data=data, headers=headers))


def reason(event: Any, subject: str = SUBJECT, **headers: str) -> str:
    """Why the message is refused."""
    with pytest.raises(RefusedEvent) as refused:
        parse(event, subject, **headers)
    return refused.value.reason


def test_an_event_is_parsed_whole() -> None:
    headers = {"Tenantry-Ip-Address": "2001:db8::7", "Tenantry-User-Agent": '"curl/8 \\u00e9"'}
    event = parse(EVENT, **headers)
    assert (event.id, event.type, event.event) == (EVENT["id"], "user.created", EVENT)
    assert (event.ip_address, event.user_agent) == ("2001:db8::7", "curl/8 \u00e9")


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_type_of_the_catalogue_is_an_event(name: str) -> None:
    kind = EVENT_TYPES[name]
    assert parse(example_event(kind), kind.subject()).type == name


@pytest.mark.parametrize("name", LIFECYCLE_TYPES)
def test_every_message_between_services_is_an_event(name: str) -> None:
    kind = LIFECYCLE_TYPES[name]
    resource = new_id("key") if name == "api_key.refused" else EVENT["tenantid"]
    for service in kind.services:
        event = {
            **EVENT,
            "type": name,
            "source": f"tenantry/{service}",
            "subject": resource,
            "data": example_of(kind),
        }
        assert parse(event, kind.subject(service)).type == name
    event["source"] = "tenantry/edge"
    assert reason(event, kind.subject("edge")) == "publisher"


@pytest.mark.parametrize(
    ("subject", "changed"),
    [
        ("tenantry.events.webhooks.user.created", {}),
        ("tenantry.events.webhooks.user.created", {"source": "tenantry/webhooks"}),
        ("tenantry.events.identity.user.created", {"source": "tenantry/webhooks"}),
        ("tenantry.events.identity.user.deleted", {}),
        ("tenantry.events.identity.user.created.x", {}),
        ("tenantry.rpc.identity.user.created", {}),
        ("user.created", {}),
        (
            "tenantry.events.webhooks.user.of_tomorrow",
            {"source": "tenantry/webhooks", "type": "user.of_tomorrow"},
        ),
    ],
)
def test_subject_source_type_and_owner_must_agree(subject: str, changed: dict[str, Any]) -> None:
    assert reason({**EVENT, **changed}, subject) == "publisher"


def test_what_a_later_release_adds_is_an_event() -> None:
    added = {**EVENT, "dataschema": "x", "data": {**EVENT["data"], "reason": "x"}}
    assert parse({**added, "data": {"user": {**EVENT["data"]["user"], "locale": "de"}}})
    for event_type in ("user.merged", "invoice.paid"):
        event = {**EVENT, "type": event_type, "data": {"anything": True}}
        assert parse(event, event_subject("identity", event_type)).type == event_type


@pytest.mark.parametrize("value", [{"status": "a word of tomorrow"}, {"name": "n" * 9999}])
def test_rules_of_requests_are_no_rules_of_events(value: dict[str, Any]) -> None:
    assert parse({**EVENT, "data": {"user": {**EVENT["data"]["user"], **value}}})


@pytest.mark.parametrize(
    "value", [{"id": "usr_1"}, {"email": 7}, {"metadata": []}, {"version": "1"}]
)
def test_data_of_another_form_is_refused(value: dict[str, Any]) -> None:
    event = {**EVENT, "data": {"user": {**EVENT["data"]["user"], **value}}}
    assert reason(event) == "data"
    assert reason({**EVENT, "data": {}}) == "data"


@pytest.mark.parametrize("data", [b"", b"no JSON", b"[]", b"null", b"7", b'"text"', b"\xff"])
def test_a_body_of_another_form_is_refused(data: bytes) -> None:
    assert reason(data) == "form"


@pytest.mark.parametrize("name", sorted(set(EVENT) - {"actorid"}))
@pytest.mark.parametrize("value", [None, 7, [], {"": ""}, "", "x\n", "x" * 10_000])
def test_an_envelope_with_a_fault_is_refused(name: str, value: Any) -> None:
    assert reason({**EVENT, name: value}) in ("envelope", "data")
    assert reason({key: EVENT[key] for key in EVENT if key != name}) == "envelope"


def test_an_actor_is_text_of_visible_characters_or_null() -> None:
    assert parse({**EVENT, "actorid": None})
    for actor in (7, [], "a b", "a\0b", "x" * 129):
        assert reason({**EVENT, "actorid": actor}) == "envelope"


def test_an_event_is_about_a_resource_of_its_type() -> None:
    assert reason({**EVENT, "subject": new_id("org")}) == "resource"
    tenant = example_event(EVENT_TYPES["tenant.updated"])
    subject = EVENT_TYPES["tenant.updated"].subject()
    assert reason({**tenant, "tenantid": new_id("ten")}, subject) == "resource"


def test_a_time_is_neither_before_the_product_nor_far_ahead() -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert parse({**EVENT, "time": soon})
    for time in (
        (datetime.now(UTC) + timedelta(days=2)).isoformat(),
        "2019-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "2026-02-30T00:00:00Z",
    ):
        assert reason({**EVENT, "time": time}) == "time"


def test_what_nests_too_deep_or_is_too_large_is_refused() -> None:
    def nested(levels: int) -> bytes:
        body = orjson.dumps(EVENT)[:-1] + b',"x":'
        return body + b"[" * levels + b"1" + b"]" * levels + b"}"

    assert parse(nested(30))
    assert parse(orjson.dumps({**EVENT, "x": [[]] * 5000}))
    assert reason(nested(40)) == "form"
    assert reason(nested(2000)) == "form"
    assert reason({**EVENT, "x": "x" * 3_000_000}) == "size"


@pytest.mark.parametrize(
    "headers",
    [
        {"Tenantry-User-Agent": "curl/8"},
        {"Tenantry-User-Agent": "[]"},
        {"Tenantry-User-Agent": '"' + "x" * 5000 + '"'},
        {"Tenantry-User-Agent": '"a\\u0000b"'},
        {"Tenantry-Ip-Address": "1.2.3.4, 5.6.7.8"},
        {"Tenantry-Ip-Address": "1" * 100},
    ],
)
def test_headers_of_another_form_are_refused(headers: dict[str, str]) -> None:
    assert reason(EVENT, **headers) == "headers"
