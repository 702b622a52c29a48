"""What a request must name, and what every answer says to a browser."""

import pytest
from security.raw_http import send_raw
from support.api import Api

DOCUMENTS = ("/", "/docs", "/openapi.json", "/asyncapi.json")


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: x\r\n", b"host: x\r\nHOST: y\r\n"])
@pytest.mark.parametrize("path", [b"/v1/admin/tenant", b"/health/live", b"/docs"])
async def test_a_request_names_one_host(anyone: Api, path: bytes, hosts: bytes) -> None:
    answer = await send_raw(anyone.url, b"GET " + path + b" HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer.status == 400
    assert answer.problem["code"] == "malformed_request"
    assert "Host" in answer.problem["detail"]


async def test_a_request_of_http_1_0_may_name_none(anyone: Api) -> None:
    """RFC 9112 section 3.2: probes of balancers are such."""
    answer = await send_raw(anyone.url, b"GET /health/live HTTP/1.0\r\n\r\n")
    assert answer.status == 200
    twice = b"GET /health/live HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"
    assert (await send_raw(anyone.url, twice)).status == 400


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_cannot_be_framed_and_runs_nothing_foreign(anyone: Api, path: str) -> None:
    headers = (await anyone("GET", path)).headers
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, "/v1/admin/tenant", "/nowhere", "/health", "/health/live"]
)
async def test_no_answer_is_sniffed(anyone: Api, path: str) -> None:
    assert (await anyone("GET", path)).headers["X-Content-Type-Options"] == "nosniff"
    refused = await send_raw(anyone.url, b"nonsense\r\n\r\n")
    assert b"x-content-type-options: nosniff" in refused.head.lower()


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_is_sent_once_to_who_has_it(anyone: Api, path: str) -> None:
    first = await anyone("GET", path)
    assert first.status == 200
    again = await anyone("GET", path, if_none_match=f'"other", W/{first.headers["ETag"]}')
    assert (again.status, again.raw) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (await anyone("GET", path, if_none_match='"other"')).raw == first.raw
    head = await anyone("HEAD", path)
    assert (head.status, head.raw) == (200, b"")
    assert head.headers["Content-Length"] == str(len(first.raw))


async def test_metrics_are_not_on_the_port_of_the_api(anyone: Api) -> None:
    assert (await anyone("GET", "/metrics")).status == 404


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def test_a_browser_is_sent_to_the_documentation(anyone: Api) -> None:
    answer = await anyone("GET", "/", accept=BROWSER)
    assert (answer.status, answer.headers["Location"]) == (302, "/docs")
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0, */*"])
async def test_everyone_else_is_told_where_the_documents_are(anyone: Api, accept: str) -> None:
    answer = await anyone("GET", "/", accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert answer.body["name"] == "Tenantry"
    for path in answer.body["links"].values():
        assert (await anyone("GET", path)).status == 200
