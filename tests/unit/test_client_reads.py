"""What the client makes of bytes: webhooks, lines, and fields that are newer than itself."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.examples import example_event, example_of
from contracts.users import CreateUser, User, UserCreated
from standardwebhooks import Webhook
from tenantry_client import api
from tenantry_client.errors import InvalidSignatureError, UnexpectedResponseError
from tenantry_client.requests import LineSplitter
from tenantry_client.webhooks import data_of, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwZmFrZXNlY3JldCE="


def sent(body: bytes, age: timedelta = timedelta(0)) -> dict[str, str]:
    at = datetime.now(UTC) - age
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": Webhook(SECRET).sign("evt_1", at, body.decode()),
    }


def test_a_webhook_that_is_ours_is_an_event() -> None:
    body = json.dumps(example_event(UserCreated)).encode()
    event = verify(SECRET, body, sent(body))
    data = data_of(event)
    assert isinstance(data, UserCreated)
    assert data.user.id == event.subject


def test_a_webhook_of_somebody_else_or_of_long_ago_is_refused() -> None:
    body = json.dumps(example_event(UserCreated)).encode()
    headers = sent(body)
    refused = [
        (body + b" ", headers),
        (body, headers | {"Webhook-Signature": "v1,AAAA"}),
        (body, {}),
        (body, sent(body, timedelta(minutes=6))),
        (b"\xff", headers),
    ]
    for content, given in refused:
        with pytest.raises(InvalidSignatureError):
            verify(SECRET, content, given)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_\u00e9", "whsec_A", "\ud800"])
def test_a_secret_that_is_none_verifies_nothing(secret: str) -> None:
    body = json.dumps(example_event(UserCreated)).encode()
    with pytest.raises(InvalidSignatureError):
        verify(secret, body, sent(body))


def test_a_webhook_that_is_no_event_is_named() -> None:
    no_data = json.dumps(example_event(UserCreated) | {"data": None}).encode()
    for body in (b"", b"[]", b"[" * 200_000, no_data):
        with pytest.raises(UnexpectedResponseError):
            verify(SECRET, body, sent(body))


def test_data_of_another_type_is_named() -> None:
    body = json.dumps(example_event(UserCreated)).encode()
    event = verify(SECRET, body, sent(body))
    event.data["user"] |= {"created_at": "2026-01-01"}
    with pytest.raises(UnexpectedResponseError, match=r"user\.created"):
        data_of(event)


def test_a_type_that_is_newer_than_the_client_is_still_an_event() -> None:
    body = json.dumps(example_event(UserCreated) | {"type": "user.cloned"}).encode()
    assert data_of(verify(SECRET, body, sent(body))) is None


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_field_that_is_newer_than_the_client_is_let_go(name: str) -> None:
    event = example_event(EVENT_TYPES[name]) | {"newer": 1}
    for member in [event["data"], *event["data"].values()]:
        if isinstance(member, dict) and "from" not in str(member):
            member["newer"] = {"than": "you"}
    body = json.dumps(event).encode()
    assert data_of(verify(SECRET, body, sent(body))) is not None


def test_a_newer_answer_is_read_and_another_is_not() -> None:
    request = api.create_user(CreateUser(email="ada@example.com"))
    user = example_of(User)
    newer = httpx.Response(201, content=json.dumps(user | {"nickname": "A"}))
    assert request.read(newer).id == user["id"]
    for other in (httpx.Response(201, content=b"{}"), httpx.Response(202, content=b"{}")):
        with pytest.raises(UnexpectedResponseError):
            request.read(other)


def test_identifiers_stay_within_their_part_of_the_path() -> None:
    request = api.get_user("../tenants?x=#/")
    assert request.url_path == "/v1/admin/users/..%2Ftenants%3Fx%3D%23%2F"


def test_only_a_line_feed_ends_a_line() -> None:
    text = '{"name": "a\u2028b\x85c"}\n{"n'.encode()
    splitter = LineSplitter()
    found = [line for byte in text for line in splitter.lines(bytes([byte]))]
    assert found == [text.split(b"\n")[0]]
    assert splitter.rest() == b'{"n'
