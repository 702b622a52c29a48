"""Sends each request to the product and to the model: what they say otherwise fails the test."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import note
from stateful.model import USER_AGENT, ApiError, Expected, Model, Request
from stateful.values import TimeBetween


@dataclass
class Client:
    """`name` tells the requests and tenants of one example apart; `calls` counts the requests."""

    http: httpx.Client
    model: Model
    name: str
    calls: Counter[str]
    sent: int = 0

    def send(self, request: Request) -> httpx.Response:
        """The response, which is as the model expects it."""
        self.sent += 1
        request.id = f"{self.name}.{self.sent}"
        began = datetime.now(UTC)
        response = request.response = self.fetch(request, x_request_id=request.id)
        request.times = (began, datetime.now(UTC))
        sent = (request.caller, request.path, request.query, request.json, request.headers)
        note(f"{request.method} {sent} -> {response}")
        path = re.sub(r"/v1|/admin|/[a-z]+_\w+", "", request.path)
        code = response.json()["code"] if response.is_error else ""
        self.calls[f"{request.method} {path} {response.status_code} {code}"] += 1
        check(self.model.expect(request), request)
        return response

    def fetch(self, request: Request, **headers: str) -> httpx.Response:
        """The response, whatever it is."""
        headers |= request.headers | {"user_agent": USER_AGENT}
        if key := request.headers.get("idempotency_key"):
            headers["idempotency_key"] = f"{self.name}-{key}"
        if secret := self.model.accounts[request.caller].secret:
            headers["authorization"] = f"Bearer {secret}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        url = request.path + ("?" + urlencode(request.query) if request.query else "")
        return self.http.request(request.method, url, json=request.json, headers=headers)


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first truthy answer; an AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(0.02)
    return answer


def check(expected: Expected | ApiError, request: Request) -> None:
    response, headers = request.response, request.response.headers
    status = response.status_code
    body: Any = response.json() if response.content else None
    difference = f"{expected}, but {response} {response.text}"
    if isinstance(expected, Expected) and (first := expected.replay_of):
        assert (status, response.content) == (first.status_code, first.content), difference
        assert headers["Idempotent-Replayed"] == "true"
        return
    assert headers["X-Request-Id"] == request.id
    assert "Idempotent-Replayed" not in headers
    if isinstance(expected, ApiError):
        assert response.is_error, difference
        assert (status, body["code"]) in expected.allowed, difference
        assert headers["Content-Type"] == "application/problem+json"
        assert body["request_id"] == request.id
        if expected.field is not None:
            assert [each["field"] for each in body["errors"]] == [expected.field], body
        return
    if expected.may_be_accepted and status == 202:
        return
    assert status == expected.status, difference
    check_same(expected.body, body)
    if request.headers.get("if_none_match"):
        assert headers["ETag"] == request.headers["if_none_match"]
    if body and "version" in body:
        assert headers["ETag"].strip('"').split(".")[0] == str(body["version"]), headers
    if expected.created_id is not None:
        assert headers["Location"] == f"{request.path}/{expected.created_id}"


def check_same(expected: Any, got: Any, at: str = "body") -> None:
    """Strictly: the same members, and `true` is not 1. A time must be within its bounds."""
    if isinstance(expected, TimeBetween):
        expected.check(got)
        return
    assert type(expected) is type(got), f"{at}: {expected!r}, but {got!r}"
    if isinstance(expected, dict):
        assert expected.keys() == got.keys(), f"{at}: {sorted(expected)}, but {sorted(got)}"
        for name, value in expected.items():
            check_same(value, got[name], f"{at}.{name}")
    elif isinstance(expected, list):
        for number, (value, other) in enumerate(zip(expected, got, strict=False)):
            check_same(value, other, f"{at}[{number}]")
        missing, surplus = expected[len(got) :], got[len(expected) :]
        assert (missing, surplus) == ([], []), f"{at}: missing {missing}, surplus {surplus}"
    else:
        assert expected == got, f"{at}: {expected!r}, but {got!r}"
