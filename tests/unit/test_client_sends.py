"""What both clients do with an httpx client of the caller's own, with files and with headers."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from contracts.examples import example_of
from contracts.tenants import WhoAmI
from tenantry_client import AsyncClient, Client, api
from tenantry_client.errors import NoResponseError, UnexpectedResponseError
from tenantry_client.models import ExportQuery

URL = "http://tenantry.example/behind/a/proxy/"


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off after its first block."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"id,sequence\n"
        raise httpx.RemoteProtocolError("peer closed connection")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self:
            yield block


def answer(request: httpx.Request) -> httpx.Response:
    """Three operations of the product."""
    assert request.headers["Authorization"] == "Bearer tnt_live_key"
    path = request.url.path.removeprefix("/behind/a/proxy/v1/admin/")
    if path == "tenant":
        return httpx.Response(200, json=example_of(WhoAmI))
    if path == "users/bulk":
        lines = [{"line": 1, "status": 201}, {"line": 2, "status": 400, "code": "malformed_json"}]
        content = "".join(json.dumps(line) + "\n" for line in lines)
        return httpx.Response(200, headers={"Idempotent-Replayed": "true"}, content=content)
    if request.url.params.get("actor_id") == "nobody":
        return httpx.Response(200, stream=Broken())
    return httpx.Response(200, content=f"{request.url.params['format']}\r\n\x85".encode("latin-1"))


@pytest.fixture
def client() -> Iterator[Client]:
    http = httpx.Client(transport=httpx.MockTransport(answer), headers={"User-Agent": "mine"})
    with Client(URL, "tnt_live_key", http=http) as client:
        yield client


@pytest.fixture
async def async_client() -> AsyncIterator[AsyncClient]:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with AsyncClient(URL, "tnt_live_key", http=http) as client:
        yield client


async def test_an_own_http_client_gets_url_and_key(
    client: Client, async_client: AsyncClient
) -> None:
    assert client.send(api.who_am_i()).request.headers["User-Agent"] == "mine"
    assert client(api.who_am_i()) == await async_client(api.who_am_i())


async def test_a_file_is_downloaded_byte_for_byte(
    client: Client, async_client: AsyncClient
) -> None:
    request = api.export_events(ExportQuery(format="csv"))
    assert b"".join(client.download(request)) == b"csv\r\n\x85"
    assert [block async for block in async_client.download(request)] == [b"csv\r\n\x85"]


async def test_a_download_that_breaks_off_is_an_error(
    client: Client, async_client: AsyncClient
) -> None:
    request = api.export_events(ExportQuery(actor_id="nobody"))
    blocks = client.download(request)
    assert next(blocks) == b"id,sequence\n"
    with pytest.raises(NoResponseError):
        next(blocks)
    with pytest.raises(NoResponseError):
        _ = [block async for block in async_client.download(request)]


async def test_a_response_has_its_headers_beside_its_lines(
    client: Client, async_client: AsyncClient
) -> None:
    request = api.import_lines([b'{"email": "ada@example.com"}', b"no json"])
    assert request.build(httpx.Client()).content == b'{"email": "ada@example.com"}\nno json\n'
    for response in (client.send(request), await async_client.send(request)):
        assert response.headers["Idempotent-Replayed"] == "true"
        assert [result.status for result in request.read_lines(response)] == [201, 400]
    assert list(client.lines(request)) == request.read_lines(client.send(request))


def test_an_unexpected_response_has_its_status() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(502, content=b"<html>Bad gateway"))
    client = Client(URL, http=httpx.Client(transport=transport))
    with client, pytest.raises(UnexpectedResponseError, match="502") as unexpected:
        client(api.who_am_i())
    assert unexpected.value.status == 502


def test_a_list_may_ask_for_what_was_just_written() -> None:
    with httpx.Client(base_url=URL) as http:
        sent = api.list_users().no_cache().build(http)
    assert sent.headers["Cache-Control"] == "no-cache"
