"""Headers are read as RFC 9110 has them; each request is written by hand."""

import base64
import json

import pytest
from security.raw_http import RawAnswer, send_raw
from support.api import Api


async def _send(
    api: Api, line: str, *headers: str, body: bytes = b"", key: str | None = None
) -> RawAnswer:
    credential = f"Authorization: Bearer {api.key}" if key is None else key
    head = [f"{line} HTTP/1.1", "Host: x", credential, "Connection: close", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return await send_raw(api.url, "\r\n".join(filter(None, head)).encode() + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "application/json;", "application/json ; charset=utf-8",
        'Application/JSON; charset="UTF8"', "application/json\t ",
        "application/json; version=1; charset=utf-8",
    ],
)  # fmt: skip
@pytest.mark.parametrize("coding", ["", "Content-Encoding: Identity"])
async def test_media_types_and_codings_have_no_case(
    api: Api, content_type: str, coding: str
) -> None:
    body = json.dumps({"name": "Acme"}).encode()
    answer = await _send(
        *(api, "POST /v1/admin/organizations", f"Content-Type: {content_type}", coding), body=body
    )
    assert answer.status == 201, answer


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: application/json; charset=latin1", "Content-Type: text/json",
        "Content-Type: application/json\r\nContent-Type: application/json",
        "Content-Type: application/json\r\nContent-Encoding: gzip",
    ],
)  # fmt: skip
async def test_another_media_type_is_refused(api: Api, header: str) -> None:
    answer = await _send(api, "POST /v1/admin/organizations", header, body=b'{"name": "Acme"}')
    assert answer.status == 415, answer


async def test_blanks_follow_the_scheme_and_surround_values(api: Api) -> None:
    for credential in (
        f"Authorization: Bearer   {api.key}",
        f"Authorization:\t bearer {api.key} \t",
        f"authorization:BEARER {api.key}",
    ):
        assert (await _send(api, "GET /v1/admin/tenant", key=credential)).status == 200
    twice = f"Authorization: Bearer {api.key}\r\nAuthorization: Bearer {api.key}"
    assert (await _send(api, "GET /v1/admin/tenant", key=twice)).status == 401


async def test_several_lines_of_a_list_are_one_list(api: Api) -> None:
    made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})
    path = f"/v1/admin/organizations/{made.body['id']}"
    known = await _send(api, f"GET {path}", 'If-None-Match: "9"', 'If-None-Match: "1"')
    assert known.status == 304
    body, kind = b'{"name": "New"}', "Content-Type: application/json"
    other = await _send(api, f"PATCH {path}", kind, 'If-Match: "8"', 'If-Match: "9"', body=body)
    assert other.status == 412
    this = await _send(api, f"PATCH {path}", kind, 'If-Match: "9"', 'If-Match: "1"', body=body)
    assert this.status == 200


async def test_a_header_of_ours_comes_once(api: Api) -> None:
    headers = ("Content-Type: application/json", "Idempotency-Key: a", "Idempotency-Key: a")
    answer = await _send(api, "POST /v1/admin/organizations", *headers, body=b'{"name": "Acme"}')
    assert (answer.status, answer.problem["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_a_condition_without_a_version_is_not_ignored(api: Api) -> None:
    made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})
    user = await api("POST", "/v1/admin/users", {"email": "if-match@example.com"})
    path = f"/v1/admin/organizations/{made.body['id']}/members"
    body = {"user_id": user.body["id"]}
    refused = await api("POST", path, body, if_match='"1"')
    assert (refused.status, refused.body["code"]) == (412, "version_mismatch")
    assert (await api("POST", path, body)).status == 201
    refused = await api("DELETE", f"{path}/{user.body['id']}", if_match='"1"')
    assert refused.status == 412
    assert (await api("DELETE", f"{path}/{user.body['id']}", if_match="*")).status == 204


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/event-stream", "text/event-stream"),
        ("TEXT/EVENT-STREAM", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream; q=0.9", "text/event-stream"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=0.1, application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/event-streams", "application/json"),
    ],
)
async def test_accept_goes_by_its_q_values(api: Api, accept: str, media_type: str) -> None:
    answer = await api("HEAD", "/v1/admin/events", accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Cache-Control"] == "no-store"


async def test_an_export_is_not_stored(api: Api) -> None:
    answer = await api("GET", "/v1/admin/audit/export")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("value", ["%%%", "YWJj", base64.b64encode(b"\xff:x").decode()])
async def test_a_malformed_basic_credential_is_answered_with_basic(api: Api, value: str) -> None:
    answer = await _send(
        *(api, "POST /v1/auth/token", "Content-Type: application/x-www-form-urlencoded"),
        body=b"grant_type=client_credentials",
        key=f"Authorization: Basic {value}",
    )
    assert (answer.status, answer.problem["error"]) == (401, "invalid_client")
    assert b"www-authenticate: basic" in answer.head.lower()


async def test_deliveries_are_filtered_by_known_types(api: Api) -> None:
    made = await api(
        "POST", "/v1/admin/webhooks", {"url": "https://hooks.example.com/in", "events": ["*"]}
    )
    path = f"/v1/admin/webhooks/{made.body['id']}/deliveries"
    for event_type, status in (
        ("user.created", 200), ("user.*", 200), ("*", 200), ("webhook.test", 200),
        ("nope", 422), ("user.nope", 422), ("nope.*", 422),
    ):  # fmt: skip
        answer = await api("GET", f"{path}?event_type={event_type}")
        assert answer.status == status, event_type
