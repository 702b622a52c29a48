"""The HTTP client connects to allowed addresses only, at every attempt, whatever DNS returns."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from contracts.events import CONTENT_TYPE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.webhook_receiver import Receiver
from webhooks.worker import attempt, connect
from webhooks.worker.attempt import AttemptResult, send
from webhooks.worker.http_client import HttpClient
from webhooks.worker.request import WebhookRequest

PUBLIC = "93.184.215.14"


def request_to(url: str) -> WebhookRequest:
    return WebhookRequest("whk_1", url, CONTENT_TYPE, "evt_1", b"{}", [b"secret"])


def port_of(receiver: Receiver) -> int:
    port = urlsplit(receiver.url).port
    assert port is not None
    return port


async def send_to(
    url: str, lookup: Callable[[], list[str]], *, allow_private: bool = False
) -> AttemptResult:
    async def look_up(_host: str, _port: int) -> list[str]:
        return lookup()

    with closing(HttpClient(allow_private=allow_private, lookup=look_up)) as client:
        return await send(client, request_to(url), allow_private=allow_private)


@asynccontextmanager
async def no_internet() -> AsyncIterator[list[str]]:
    """The addresses of connections, which are refused."""
    loop = asyncio.get_running_loop()
    real = loop.sock_connect
    connections: list[str] = []

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        connections.append(address[0])
        raise ConnectionRefusedError

    loop.sock_connect = connect  # type: ignore[method-assign, assignment]
    try:
        yield connections
    finally:
        loop.sock_connect = real  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_a_name_with_an_internal_address_is_a_refused_attempt(
    receiver: Receiver, address: str
) -> None:
    url = f"https://hooks.example.com:{port_of(receiver)}/"
    result = await send_to(url, lambda: [address])
    assert (result.outcome, result.response_status) == ("refused", None)
    assert result.error is not None
    assert address not in result.error
    assert receiver.received == []


async def test_a_name_whose_address_changes_is_checked_again(receiver: Receiver) -> None:
    """The connection is made to the address that was checked: there is no second lookup."""
    lookups: list[str] = []

    async def lookup(_host: str, _port: int) -> list[str]:
        lookups.append(PUBLIC if not lookups else "127.0.0.1")
        return lookups[-1:]

    url = f"https://hooks.example.com:{port_of(receiver)}/"
    with closing(HttpClient(allow_private=False, lookup=lookup)) as client:
        async with no_internet() as connections:
            first = await send(client, request_to(url))
            second = await send(client, request_to(url))
    assert (first.outcome, second.outcome) == ("unreachable", "refused")
    assert connections == [PUBLIC]
    assert len(lookups) == 2
    assert receiver.received == []


async def test_of_several_addresses_only_the_allowed_are_connected_to() -> None:
    async with no_internet() as connections:
        result = await send_to("https://example.com/", lambda: ["127.0.0.1", PUBLIC, "fd00::1"])
    assert result.outcome == "unreachable"
    assert connections == [PUBLIC]


async def test_a_name_with_thousands_of_addresses_costs_no_more_than_another() -> None:
    many = [f"93.184.{n // 250}.{n % 250 + 1}" for n in range(4000)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "NEXT_ADDRESS_SECONDS", 0.0)
        async with no_internet() as connections:
            result = await send_to("https://example.com/", lambda: many)
    assert result.outcome == "unreachable"
    assert set(connections) == set(many[: connect.MAX_ADDRESSES])


async def test_attempts_at_the_same_time_share_one_lookup_of_a_name(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: a name server that hangs cannot hold all threads."""
    real = socket.getaddrinfo
    release = threading.Event()
    names: list[object] = []

    def slow(host: object, *arguments: Any, **options: Any) -> Any:
        if host not in {b"hooks.example.com", b"nobody.example.com"}:
            return real(host, *arguments, **options)  # type: ignore[call-overload]
        names.append(host)
        release.wait(10)
        if host == b"nobody.example.com":
            raise socket.gaierror(socket.EAI_AGAIN, "Try again")
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(attempt, "TIMEOUT_SECONDS", 0.3)
    port = port_of(receiver)
    with closing(HttpClient(allow_private=True)) as client:

        async def send_all() -> set[str]:
            urls = [f"http://{name}.example.com:{port}/in" for name in ("hooks", "nobody")] * 20
            sending = (send(client, request_to(each), allow_private=True) for each in urls)
            return {each.outcome for each in await asyncio.gather(*sending)}

        assert await send_all() == {"timed_out"}
        assert len(names) == 2
        release.set()
        monkeypatch.setattr(attempt, "TIMEOUT_SECONDS", 5)
        assert await send_all() == {"succeeded", "unreachable"}
        assert len(receiver.received) == 20


async def test_an_address_that_does_not_respond_delays_the_next_a_moment(
    receiver: Receiver,
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            await asyncio.Event().wait()
        await real(sock, address)

    loop.sock_connect = connect  # type: ignore[method-assign, assignment]
    try:
        url = f"http://hooks.example.com:{port_of(receiver)}/in"
        result = await send_to(url, lambda: ["127.0.0.2", "127.0.0.1"], allow_private=True)
    finally:
        loop.sock_connect = real  # type: ignore[method-assign]
    assert result.outcome == "succeeded"
    assert result.duration_ms < 5000


async def test_a_literal_address_is_refused_at_the_attempt_too(receiver: Receiver) -> None:
    """Such as one that was stored while the development flag was on."""
    result = await send_to(receiver.url, list)
    assert result.outcome == "refused"
    with closing(HttpClient(allow_private=False)) as client:
        result = await send(client, request_to(receiver.url), allow_private=True)
    assert result.outcome == "refused"
    assert receiver.received == []


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, other_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other_receiver.url)
    result = await send_to(receiver.url, list, allow_private=True)
    assert result.outcome == "succeeded"
    assert other_receiver.received == []


async def test_the_error_says_that_a_name_could_not_be_resolved() -> None:
    def nobody() -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    result = await send_to("https://nobody.example.com/", nobody)
    assert (result.outcome, result.error) == ("unreachable", "The host name could not be resolved.")


async def test_a_receiver_that_does_not_respond_times_out(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "TIMEOUT_SECONDS", 0.2)

    async def forever(_: object) -> None:
        await asyncio.Event().wait()

    receiver.answer = forever  # type: ignore[assignment]
    result = await send_to(receiver.url, list, allow_private=True)
    assert (result.outcome, result.response_status) == ("timed_out", None)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and one of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + signed.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def test_the_certificate_is_checked_for_the_name_not_for_the_address(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, "hooks.example.com")
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/in", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side).start()
    port = runner.addresses[0][1]

    async def look_up(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    found = []
    for trusted, name in ((True, "hooks"), (False, "hooks"), (True, "other")):
        tls = trusting if trusted else None
        with closing(HttpClient(allow_private=True, lookup=look_up, tls=tls)) as client:
            url = f"https://{name}.example.com:{port}/in"
            found.append((await send(client, request_to(url), allow_private=True)).outcome)
    await runner.cleanup()
    assert found == ["succeeded", "unreachable", "unreachable"]
    assert len(receiver.received) == 1
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{port}"


async def test_a_response_that_is_not_http_is_a_failed_attempt() -> None:
    async def gibberish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    server = await asyncio.start_server(gibberish, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await send_to(f"http://127.0.0.1:{port}/", list, allow_private=True)
    assert result.outcome in {"failed", "unreachable"}
    assert result.response_status is None
