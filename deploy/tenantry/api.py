"""A caller of the product's HTTP API, for commands: patient with a busy product, plain in failure.

Answers of 429 and 503, and connections that broke, are tried again where that is safe: for reads,
and for changes with an Idempotency-Key.
"""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from tenantry import installation
from tenantry.failing import Failed, Refused

TRIES = 8
LONGEST_WAIT = 10.0
TIMEOUT_SECONDS = 60.0
BLOCK = 64 * 1024

_FIXES = {
    401: "Check the key: it may be of another installation, revoked or expired.",
    403: "Use a credential that may do this.",
    404: "Check the identifier; it must be of this tenant.",
    429: "Wait, or raise TENANTRY_RATE_LIMIT at the edge.",
    503: "Run `tenantry doctor` to see which part is away.",
    504: "Run the command again; `tenantry doctor` shows which part is slow.",
}
PASSING = ("service_unavailable", "rate_limited", "idempotency_in_flight", "upstream_timeout")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]
    """Names in lower case."""


class Api:
    """Requests to one address with one credential. Raises Failed, or Refused for a problem."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._key = key
        self._was_there = False

    def get(self, path: str, **query: Any) -> Any:
        return self("GET", path, query=query).body

    def items(self, path: str, name: str, limit: int, **query: Any) -> dict[str, Any]:
        """At most that many of a list: `{name: [...], "total", "total_exact"}`."""
        found: list[Any] = []
        page = self.get(path, limit=max(1, min(limit, 200)), **query)
        total = page["pagination"]
        while True:
            found += page[name]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None or len(found) >= limit:
                break
            page = self.get(path, limit=200, cursor=cursor, **query)
        return {
            name: found[:limit],
            "total": total["total"],
            "total_exact": total["total_exact"],
        }

    def find(self, path: str, name: str, prefix: str, given: str) -> dict[str, Any]:
        """One of a list by its id, which begins with `prefix`, or by its slug."""
        if given.startswith(prefix):
            found: dict[str, Any] = self.get(f"{path}/{quote(given, safe='')}")
            return found
        for each in self.items(path, name, 10_000, q=given)[name]:
            if each["slug"] == given:
                return dict(each)
        raise Failed(
            f"there is no {name.removesuffix('s')} with the slug {given}",
            f"Name it by its id ({prefix}…) or by its whole slug.",
            code="not_found",
        )

    def __call__(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None
    ) -> Answer:
        """A request with a JSON body, or none."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid4())
        answer = self.send(method, _target(path, query), data, headers)
        return Answer(
            answer.status, json.loads(answer.body) if answer.body else None, answer.headers
        )

    def send(self, method: str, target: str, data: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer with its body as bytes, tried again where that helps."""
        for tried in range(1, TRIES + 1):
            wait = min(0.25 * 2**tried, LONGEST_WAIT)
            try:
                return self._send(method, target, data, headers)
            except Refused as refused:
                if refused.code not in PASSING or tried == TRIES:
                    raise
                wait = min(max(wait, refused.more.get("retry_after", 0)), LONGEST_WAIT)
            except (OSError, http.client.HTTPException) as error:
                # One that was there comes back in a moment; one that never was does not.
                never = isinstance(error, ConnectionRefusedError) and not self._was_there
                if never or tried == TRIES:
                    raise self._no_answer(error) from None
            time.sleep(wait)
        raise AssertionError("the last try answers or raises")

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """The body of a GET in blocks, in constant memory. Raises Failed if it is cut short."""
        with closing(self._connection()) as connection:
            try:
                connection.request("GET", self._parts.path + _target(path, query), b"", self._own())
                response = connection.getresponse()
                if response.status >= 400:
                    raise _refusal(response.status, response.read(), response)
                while block := response.read(BLOCK):
                    yield block
            except (OSError, http.client.HTTPException) as error:
                raise self._no_answer(error) from None

    def _send(self, method: str, target: str, data: bytes, headers: Mapping[str, str]) -> Answer:
        with closing(self._connection()) as connection:
            path = self._parts.path + target
            connection.request(method, path, data or None, {**self._own(), **headers})
            response = connection.getresponse()
            body = response.read()
        self._was_there = True
        if response.status >= 400:
            raise _refusal(response.status, body, response)
        lower = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, body, lower)

    def _own(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "User-Agent": "tenantry"}

    def _connection(self) -> http.client.HTTPConnection:
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        host = self._parts.hostname or ""
        return kind(host, self._parts.port, timeout=TIMEOUT_SECONDS)

    def _no_answer(self, error: Exception) -> Failed:
        return Failed(
            f"no answer from {self._url}: {error or type(error).__name__}",
            "Check that the product runs there; --url or TENANTRY_URL names another address.",
            code="no_answer",
        )


def operator(url: str | None, data: Path | None) -> Api:
    """With the operator's key."""
    return _with("operator_key", url, data)


def tenant(url: str | None, data: Path | None) -> Api:
    """With a tenant's API key: of `tenantry dev`, that of the demo tenant."""
    return _with("api_key", url, data)


def _with(kind: str, url: str | None, data: Path | None) -> Api:
    address = installation.address(url, data)
    return Api(address, installation.credential(kind, address, data))


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _refusal(status: int, body: bytes, response: http.client.HTTPResponse) -> Refused:
    try:
        problem: dict[str, Any] = json.loads(body)
        said = str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        problem, said = {}, f"the answer was {status}, and no problem document"
    fix = _FIXES.get(status, "Correct the request and run the command again.")
    refused = Refused(said, fix, status, problem)
    if (seconds := response.getheader("Retry-After", "")).isdecimal():
        refused.more["retry_after"] = int(seconds)
    return refused
