"""Both clients raise TenantryError alone, whatever a server answers and whatever cannot be sent."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from contracts.audit import AuditPage
from contracts.examples import example_of
from contracts.users import User
from tenantry_client import AsyncClient, Client, Lines, Request, RetryPolicy, api
from tenantry_client.errors import (
    NoResponseError,
    NotSentError,
    ProblemError,
    TenantryError,
    UnexpectedResponseError,
)
from tenantry_client.models import AuditQuery, CreateUser, UsersQuery

HOST = "127.0.0.1"
POLICY = RetryPolicy(tries=2, max_wait=0.01)
PROBLEM = {"code": "slug_taken", "detail": "No.", "request_id": "r", "trace_id": "t"}
DEEP = b"[" * 200_000
EVENTS: Lines[Any] = api.export_events()

Call = Callable[[Client | AsyncClient, Request[Any]], Awaitable[Any]]


def answer(body: bytes, *headers: str, status: int = 200) -> bytes:
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def problem(status: int, **members: Any) -> bytes:
    return answer(json.dumps(PROBLEM | members).encode(), status=status)


def chunked(*blocks: bytes, headers: str = "") -> bytes:
    """Breaks off: the last chunk is missing."""
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)


@asynccontextmanager
async def server(content: bytes) -> AsyncIterator[str]:
    """Answers every request with these bytes and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(content)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as listening:
        yield f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"


async def call(client: Client | AsyncClient, request: Request[Any]) -> Any:
    if isinstance(client, Client):
        return await asyncio.to_thread(client, request)
    return await client(request)


async def send(client: Client | AsyncClient, request: Request[Any]) -> Any:
    if isinstance(client, Client):
        return await asyncio.to_thread(client.send, request)
    return await client.send(request)


async def lines(client: Client | AsyncClient, request: Any) -> Any:
    if isinstance(client, Client):
        return await asyncio.to_thread(lambda: list(client.lines(request)))
    return [item async for item in client.lines(request)]


async def download(client: Client | AsyncClient, request: Any) -> Any:
    if isinstance(client, Client):
        return await asyncio.to_thread(lambda: list(client.download(request)))
    return [block async for block in client.download(request)]


def user(**members: Any) -> bytes:
    return json.dumps(example_of(User) | members).encode()


GET_USER = api.get_user("usr_1")
UPDATE_USER = Request("PATCH", "/v1/admin/users/{id}", {200: User}, ("usr_1",))


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


MISBEHAVIOUR: dict[str, tuple[Call, Request[Any], bytes, type[TenantryError]]] = {
    "bad gzip": (call, GET_USER, answer(b"{}", "Content-Encoding: gzip"), UnexpectedResponseError),
    "bad deflate": (
        call, GET_USER, answer(b"{}", "Content-Encoding: deflate"), UnexpectedResponseError,
    ),
    "bad gzip of an error": (
        call, GET_USER, answer(b"{}", "Content-Encoding: gzip", status=503),
        UnexpectedResponseError,
    ),
    "bad gzip that is sent": (
        send, GET_USER, answer(b"{}", "Content-Encoding: gzip"), UnexpectedResponseError,
    ),
    "bad gzip in lines": (
        lines, EVENTS, answer(b"{}\n", "Content-Encoding: gzip"), UnexpectedResponseError,
    ),
    "bad gzip in a file": (
        download, EVENTS, answer(b"{}\n", "Content-Encoding: gzip"), UnexpectedResponseError,
    ),
    "half a gzip": (
        call, UPDATE_USER, answer(gzip.compress(user())[:80], "Content-Encoding: gzip"),
        UnexpectedResponseError,
    ),
    "no JSON": (call, UPDATE_USER, answer(b"<html>"), UnexpectedResponseError),
    "no UTF-8": (call, UPDATE_USER, answer(b'{"id": "\xff"}'), UnexpectedResponseError),
    "deep JSON": (call, UPDATE_USER, answer(DEEP), UnexpectedResponseError),
    "a list": (call, UPDATE_USER, answer(b"[]"), UnexpectedResponseError),
    "null": (call, UPDATE_USER, answer(b"null"), UnexpectedResponseError),
    "a date for a time": (
        call, UPDATE_USER, answer(user(created_at="2026-01-01")), UnexpectedResponseError,
    ),
    "no body": (call, UPDATE_USER, answer(b""), UnexpectedResponseError),
    "lines that are none": (lines, EVENTS, answer(b"<html>\n"), UnexpectedResponseError),
    "a line that ends early": (lines, EVENTS, answer(b'{"id": '), UnexpectedResponseError),
    "a deep line": (lines, EVENTS, answer(DEEP), UnexpectedResponseError),
    "a problem without JSON": (call, GET_USER, answer(b"", status=401), UnexpectedResponseError),
    "a deep problem": (call, GET_USER, answer(DEEP, status=422), UnexpectedResponseError),
    "a problem that is a list": (
        call, GET_USER, answer(b"[]", status=422), UnexpectedResponseError,
    ),
    "a problem that is null": (
        call, GET_USER, answer(b"null", status=422), UnexpectedResponseError,
    ),
    "a problem with strange errors": (
        call, GET_USER, problem(422, errors="none"), UnexpectedResponseError,
    ),
    "a problem with strange errors in a list": (
        call, GET_USER, problem(422, errors=["none"]), UnexpectedResponseError,
    ),
    "a problem with a strange code": (
        call, GET_USER, problem(422, code=[]), UnexpectedResponseError,
    ),
    "a status of nobody": (call, GET_USER, answer(b"{}", status=999), UnexpectedResponseError),
    "a status of success that is another": (
        call, GET_USER, answer(b"{}", status=207), UnexpectedResponseError,
    ),
    "a redirect": (
        call, GET_USER, answer(b"", "Location: http://elsewhere.example", status=302),
        UnexpectedResponseError,
    ),
    "lines that are a redirect": (
        lines, EVENTS, answer(b"", "Location: /login", status=302), UnexpectedResponseError,
    ),
    "a file that is a redirect": (
        download, EVENTS, answer(b"moved", "Location: /login", status=307),
        UnexpectedResponseError,
    ),
    "a file that is not there": (
        download, EVENTS, answer(b"", status=204), UnexpectedResponseError,
    ),
    "a redirect to nowhere": (
        call, GET_USER, answer(b"", "Location: http://[", status=302), UnexpectedResponseError,
    ),
    "a body that ends early": (
        call, GET_USER, answer(user())[:-10], NoResponseError,
    ),
    "an error that ends early": (call, GET_USER, problem(503)[:-10], NoResponseError),
    "lines that end early": (lines, EVENTS, chunked(b"\n"), NoResponseError),
    "a file that ends early": (download, EVENTS, chunked(b"id,sequence\n"), NoResponseError),
    "a feed that ends early": (
        lines, api.follow_events(), chunked(b": ping\n"), NoResponseError,
    ),
    "nothing": (call, GET_USER, b"", NoResponseError),
    "no HTTP": (call, GET_USER, b"SSH-2.0-OpenSSH_9.2\r\n", NoResponseError),
    "a header that is none": (call, GET_USER, answer(b"", "a b: c"), NoResponseError),
    "no length": (call, GET_USER, answer(b"{}", "Content-Length: x"), NoResponseError),
}  # fmt: skip


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_a_server_that_misbehaves_is_named(name: str, kind: Any) -> None:
    how, request, content, error = MISBEHAVIOUR[name]
    async with server(content) as url:
        client = kind(url, "key", retry_policy=POLICY)
        with pytest.raises(error) as raised:
            await how(client, request)
    assert str(raised.value)


async def test_headers_that_are_strange_are_borne(kind: Any) -> None:
    strange = ("Set-Cookie: \xe9=;;=", "Content-Type: x; charset=\xe9", "Retry-After: \xb2")
    body = json.dumps(PROBLEM).encode()
    async with server(answer(body, *strange, status=409)) as url:
        with pytest.raises(ProblemError) as raised:
            await call(kind(url, "key", retry_policy=POLICY), GET_USER)
    assert (raised.value.code, raised.value.retry_after) == ("slug_taken", None)


async def test_a_response_that_is_no_use_leaves_its_connection_free(kind: Any) -> None:
    http = httpx.Client if kind is Client else httpx.AsyncClient
    one = http(limits=httpx.Limits(max_connections=1), timeout=5)
    async with server(answer(b"{}\n", "Content-Encoding: gzip")) as url:
        client = kind(url, "key", retry_policy=POLICY, http=one)
        for how, request in ((call, GET_USER), (lines, EVENTS), (download, EVENTS)) * 2:
            with pytest.raises(UnexpectedResponseError):
                await how(client, request)


BAD_URLS = (
    "", "nonsense", "ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:99999",
    "http://127.0.0.1:x", "http://a..b", f"http://{'a' * 70}.example", "http://\u00e9..example",
    "http://a\nb", "http://\ud800.example", "http://127.0.0.1\x00.example",
)  # fmt: skip
BAD_TEXTS = ("\u00e9", "a\nb", "a\r\nX-Other: 1", "a\x00", "\ud800", "a ", "a\t")


@pytest.mark.parametrize("url", BAD_URLS)
async def test_an_address_that_is_none_is_named(url: str, kind: Any) -> None:
    with pytest.raises(NotSentError):
        await call(kind(url, "key"), GET_USER)


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(text: str, kind: Any) -> None:
    with pytest.raises(NotSentError) as raised:
        kind("http://127.0.0.1:9", f"tnt_live{text}")
    assert "tnt_live" not in str(raised.value)


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_header_that_cannot_be_sent_is_named(text: str) -> None:
    for set_header in (GET_USER.request_id, UPDATE_USER.idempotency_key):
        with pytest.raises(NotSentError):
            set_header(text)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: api.get_user("\ud800"),
        lambda: api.get_user("u" * 70_000),
        lambda: api.get_user(None),
        lambda: api.list_users(UsersQuery.model_construct(_fields_set={"q"}, q="\ud800")),
        lambda: api.create_user(CreateUser(email="a@example.com", metadata={"a": object()})),
        lambda: api.create_user(CreateUser.model_construct(_fields_set={"name"}, name="\ud800")),
        lambda: api.import_users([CreateUser.model_construct(_fields_set={"name"}, name="\ud800")]),
    ],
)
async def test_what_no_request_can_carry_is_named(request_of: Any, kind: Any) -> None:
    with pytest.raises(NotSentError):
        await call(kind("http://127.0.0.1:9", "key"), request_of())


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HTTP_PROXY", "nonsense://"), ("HTTP_PROXY", "http://[::1"), ("SSL_CERT_FILE", "/nowhere")],
)
async def test_settings_of_the_machine_that_are_wrong_are_named(
    variable: str, value: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(NotSentError):
        kind("http://127.0.0.1:9", "key")


async def test_what_was_made_without_validation_goes_on_past_a_page(kind: Any) -> None:
    """The API refuses what it does not want; no page of a list is refused by the client."""
    event = {"events": [], "pagination": example_of(AuditPage)["pagination"] | {"next_cursor": "c"}}
    query = AuditQuery.model_construct(_fields_set={"start_date"}, start_date="2026-01-01")
    request = api.list_events(query)
    async with server(answer(json.dumps(event).encode())) as url:
        page = await call(kind(url, "key"), request)
    following = request.after(page)
    assert following is not None
    assert following.query_parameters == {"start_date": "2026-01-01", "cursor": "c"}
