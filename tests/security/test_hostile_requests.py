"""What no client sends: a 4xx problem or a closed connection, in bounded time, and others served.

Never a 5xx, never a process that ends.
"""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from security.raw_http import CLOSED, RawAnswer, held_open, send_raw, send_until_closed
from support.api import Api
from support.figures import FIGURES
from support.stack import Stack

USERS = "/v1/admin/users"
DEEP = 100_000


@pytest.fixture(autouse=True)
async def the_product_goes_on(stack: Stack, api: Api) -> object:
    """Whatever was sent, the same processes serve others afterwards."""
    before = stack.ready["processes"]
    yield
    assert (await api("GET", "/v1/admin/tenant")).status == 200
    assert stack.ready["processes"] == before


def head(api: Api, method: str, path: str, *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.key}", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def refused(said: RawAnswer) -> None:
    FIGURES["hostile inputs"] += 1
    assert said.status == CLOSED or 400 <= said.status < 500, said
    if said.status != CLOSED:
        assert said.problem["status"] == said.status
        assert said.problem["request_id"]


def bodies() -> Iterator[tuple[str, bytes]]:
    yield "deep arrays", b"[" * DEEP
    yield "deep objects", b'{"a":' * DEEP
    yield "deep and closed", b'{"metadata":' + b"[" * 5000 + b"]" * 5000 + b"}"
    yield "deep within", b'{"email":"a@b.cd","metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901
    yield "a huge number", b'{"email":' + b"9" * 200_000 + b"}"
    yield "a huge number within", b'{"email":"a@b.cd","metadata":{"n":' + b"9" * 5000 + b"}}"
    yield "a huge exponent", b'{"email":"a@b.cd","metadata":{"n":1e999999}}'
    yield "not a number", b'{"email":"a@b.cd","metadata":{"n":NaN}}'
    yield "infinity", b'{"email":"a@b.cd","metadata":{"n":-Infinity}}'
    yield "a lone surrogate", rb'{"email":"a@b.cd","metadata":{"s":"\ud800"}}'
    yield "surrogates the wrong way round", rb'{"email":"a@b.cd","name":"\udc00\ud800"}'
    yield "a surrogate for a key", rb'{"email":"a@b.cd","metadata":{"\udfff":1}}'
    yield "NUL", rb'{"email":"a@b.cd","name":"a\u0000b"}'
    yield "NUL for a key", rb'{"email":"a@b.cd","metadata":{"\u0000":1}}'
    yield "raw NUL", b'{"email":"a@b.cd\0"}'
    yield "nothing but NUL", b"\0" * 1000
    yield "a byte order mark", b'\xef\xbb\xbf{"email":1}'
    yield "UTF-16", '{"email":"a@b.cd"}'.encode("utf-16")
    yield "UTF-32", '{"email":"a@b.cd"}'.encode("utf-32-le")
    yield "latin-1", '{"email":"é@b.cd"}'.encode("latin-1")
    yield "overlong UTF-8", b'{"email":"\xc0\xae@b.cd"}'
    yield "a cut UTF-8 sequence", b'{"email":"\xe2\x82'
    yield "UTF-8 of a surrogate", b'{"email":"\xed\xa0\x80@b.cd"}'
    yield "half a document", b'{"email":"a@b.cd"'
    yield "two documents", b'{"email":"a@b.cd"}{"email":"c@d.ef"}'
    yield "a comment", b'{"email":"a@b.cd"}//'
    yield "single quotes", b"{'email':'a@b.cd'}"
    yield "an array", b"[]"
    yield "a string", b'"x"'
    yield "null", b"null"
    yield "true", b"true"
    yield "many unknown fields", json.dumps({f"f{n}": n for n in range(20_000)}).encode()
    yield "a million commas", b"[" + b"," * 250_000 + b"]"
    yield "XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    yield "a pickle", b"\x80\x04\x95c__builtin__\neval\n"
    yield "__proto__", b'{"email":"a@b.cd","__proto__":{"admin":true}}'


@pytest.mark.parametrize(("name", "body"), list(bodies()), ids=[name for name, _ in bodies()])
@pytest.mark.parametrize(
    "path", [USERS, "/v1/api-keys/verify", "/v1/sessions/refresh", "/v1/invitations/accept"]
)
async def test_a_hostile_body_is_refused(api: Api, path: str, name: str, body: bytes) -> None:
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    began = time.monotonic()
    refused(await send_raw(api.url, head(api, "POST", path, *fields), body))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "value",
    [
        b'{"n":18446744073709551617}', b'{"n":-9223372036854775809}', b'{"n":' + b"9" * 400 + b"}",
        b'{"n":1e999}', b'{"n":NaN}', rb'{"s":"\u0000"}', rb'{"\u0000":1}', b"null",
        b'{"a":"' + b"x" * 17_000 + b'"}', b'{"a":' * 20 + b"1" + b"}" * 20,
        b'{"a":' * 150 + b"1" + b"}" * 150, b"[1]", b'"x"', b"7",
    ],
)  # fmt: skip
async def test_a_hostile_value_in_a_patch_is_refused(api: Api, value: bytes) -> None:
    user = (await api("POST", USERS, {"email": "a@b.cd"})).headers["Location"]
    project = (await api("POST", "/v1/admin/projects", {"name": "P"})).headers["Location"]
    group = (await api("POST", "/v1/admin/organizations", {"name": "O"})).headers["Location"]
    tenant = f"/v1/admin/tenants/{api.tenant}"
    for path, field in (
        (user, "metadata"),
        (project, "metadata"),
        (project, "settings"),
        (group, "metadata"),
        (group, "settings"),
        (tenant, "settings"),
    ):
        answer = await api("PATCH", path, data=b'{"%s":%s}' % (field.encode(), value))
        assert answer.status in (400, 422), (path, field, answer.raw)
        FIGURES["hostile inputs"] += 1


async def test_of_a_repeated_member_one_counts_and_the_other_is_checked_with_it(api: Api) -> None:
    body = b'{"email":"one@b.cd","email":"two@b.cd"}'
    made = await api("POST", USERS, data=body)
    assert (made.status, made.body["email"]) == (201, "two@b.cd")
    wrong = await api("POST", USERS, data=b'{"email":"a@b.cd","nonsense":1,"nonsense":2}')
    assert wrong.status == 422


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Length: 40"], b"{}"),
        (["Content-Length: 2", "Content-Length: 3"], b"{}"),
        (["Content-Length: -1"], b"{}"),
        (["Content-Length: +2"], b"{}"),
        (["Content-Length: 0x2"], b"{}"),
        (["Content-Length: \xb2"], b"{}"),
        (["Content-Length: 99999999999999999999999"], b"{}"),
        (["Content-Length: 2, 2"], b"{}"),
        (["Content-Length: 2", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"ZZ\r\n{}\r\n"),
        (["Transfer-Encoding: chunked"], b"-2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"fffffffffffffffff\r\n{}\r\n"),
        (["Transfer-Encoding: chunked"], b"2\r\n{}0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"2;" + b"x" * 200_000),
        (["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\nX: " + b"y" * 200_000),
        (["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
        (["Transfer-Encoding: gzip, chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: xchunked"], b"{}"),
        (["Transfer-Encoding: chunked, identity"], b"2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding : chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
        (["Content-Length: 2", "Content-Encoding: gzip"], b"{}"),
        (["Content-Length: 2", "Expect: 200-nonsense"], b"{}"),
    ],
)  # fmt: skip
async def test_a_length_that_lies_is_refused(api: Api, fields: list[str], body: bytes) -> None:
    began = time.monotonic()
    refused(
        await send_raw(
            api.url, head(api, "POST", USERS, "Content-Type: application/json", *fields), body
        )
    )
    assert time.monotonic() - began < 12


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"nonsense\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"G\0T / HTTP/1.1\r\n\r\n", b"GET /\0 HTTP/1.1\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /?q=\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: folded\r\n\r\n", b"GET / HTTP/1.1\r\nX\xff: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\n\r\n", b"\r\n" * 100_000, b"\0" * 100_000,
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://evil/nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused(api: Api, sent: bytes) -> None:
    refused(await send_raw(api.url, sent, seconds=12))


@pytest.mark.parametrize("host", ["[::1", "[", "a b", "x" * 9000, "é", "evil.example", "a:b:c"])
async def test_whatever_host_is_named_the_same_is_answered(api: Api, host: str) -> None:
    request = head(api, "GET", f"{USERS}?q=abc").replace(b"Host: x", f"Host: {host}".encode())
    said = await send_raw(api.url, request)
    assert said.status == 200, said
    made = head(api, "POST", USERS, "Content-Type: application/json", "Content-Length: 18")
    said = await send_raw(
        api.url, made.replace(b"Host: x", f"Host: {host}".encode()), b'{"email":"a@b.cd"}'
    )
    assert said.status == 201, said
    assert b"location: /v1/admin/users/usr_" in said.head.lower()
    FIGURES["hostile inputs"] += 2


@pytest.mark.parametrize(
    "fields",
    [
        [f"X-{number}: a" for number in range(10_000)],
        ["X: a"] * 250,
        ["X: " + "a" * 1_000_000],
        ["If-Match: " + "a" * 12_000_000],
        ["If-Match: " + "\xff" * 60_000, "User-Agent: " + "\xff" * 10_000],
        ["Cookie: " + "a=b; " * 50_000],
        ["X" * 70_000 + ": a"],
    ],
    ids=["10,000", "250", "1 MB", "12 MB", "not ASCII", "cookies", "a name"],
)
async def test_a_head_beyond_bounds_is_refused(api: Api, fields: list[str]) -> None:
    for method, path in (("GET", USERS), ("PATCH", f"{USERS}/usr_01jt7a3v9qf8mbd2m0q5k4h6xz")):
        said = await send_raw(api.url, head(api, method, path, *fields))
        refused(said)
        assert said.status in (CLOSED, 431)


async def test_a_long_head_within_bounds_is_answered(api: Api) -> None:
    fields = [f"X-{number}: a" for number in range(150)]
    answer = await send_raw(
        api.url, head(api, "GET", USERS, *fields, "If-None-Match: " + "\xff" * 50_000)
    )
    assert answer.status == 200
    path = f"{USERS}/usr_01jt7a3v9qf8mbd2m0q5k4h6xz"
    plain = ["If-Match: " + "\xff" * 60_000, "Content-Length: 0"]
    assert (await send_raw(api.url, head(api, "DELETE", path, *plain))).status == 404


@pytest.mark.parametrize("size", [65_000, 70_000, 1_200_000])
async def test_an_endless_address_is_refused(api: Api, size: int) -> None:
    refused(await send_raw(api.url, head(api, "GET", f"{USERS}?q={'a' * size}")))
    refused(await send_raw(api.url, head(api, "GET", f"{USERS}/{'a' * size}")))
    refused(await send_raw(api.url, head(api, "GET", f"{USERS}?{'a=1&' * (size // 4)}")))


async def test_slow_senders_are_let_go_and_keep_nobody_waiting(api: Api) -> None:
    length = "Content-Length: 100"
    slow = {
        "no word": (b"",),
        "an address": (b"GET /",) + (b"x",) * 100,
        "a field": (b"GET / HTTP/1.1\r\nX: ",) + (b"a",) * 100,
        "a body": (head(api, "POST", USERS, "Content-Type: application/json", length), b"{")
        + (b" ",) * 50,
    }
    began = time.monotonic()

    async def others() -> float:
        times = []
        while time.monotonic() - began < 8:
            at = time.monotonic()
            assert (await api("GET", "/v1/admin/tenant")).status == 200
            times.append(time.monotonic() - at)
            await asyncio.sleep(0.1)  # the pace of a caller beside them
        return max(times)

    async with held_open(api.url, 300, b"GET /v1/admin/tenant HTTP/1.1\r\nX: "):
        longest, *said = await asyncio.gather(
            others(), *(send_raw(api.url, *parts, pause=0.5, seconds=20) for parts in slow.values())
        )
    assert 9 < time.monotonic() - began < 15
    assert [each.status for each in said] == [CLOSED, CLOSED, CLOSED, 408]
    assert longest < 2
    FIGURES["hostile inputs"] += 304


async def test_a_body_that_nobody_reads_is_let_go(api: Api) -> None:
    """Refused before its body, whose rest comes drop by drop."""
    request = head(api.as_key("nonsense"), "POST", USERS, "Content-Length: 1000")
    began = time.monotonic()
    refused(await send_raw(api.url, request))
    await send_until_closed(api.url, request, *((b"x",) * 60), pause=0.5, seconds=25)
    assert time.monotonic() - began < 15
