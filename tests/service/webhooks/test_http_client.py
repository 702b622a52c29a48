"""The HTTP client connects to allowed addresses only, at every attempt, whatever DNS returns."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.webhook_receiver import Receiver
from webhooks.worker import attempt
from webhooks.worker.attempt import AttemptResult, WebhookRequest, send
from webhooks.worker.http_client import FilteringResolver, open_session

PUBLIC = "93.184.215.14"


def request_to(url: str) -> WebhookRequest:
    return WebhookRequest(url, "evt_1", b"{}", [b"secret"])


def port_of(receiver: Receiver) -> int:
    port = urlsplit(receiver.url).port
    assert port is not None
    return port


async def send_to(
    url: str, lookup: Callable[[], list[str]], *, allow_private: bool = False
) -> AttemptResult:
    async def look_up(_host: str, _port: int) -> list[str]:
        return lookup()

    async with open_session(allow_private=allow_private, lookup=look_up) as session:
        return await send(session, request_to(url), allow_private=allow_private)


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
    connections: list[str] = []

    async def lookup(_host: str, _port: int) -> list[str]:
        lookups.append(PUBLIC if not lookups else "127.0.0.1")
        return lookups[-1:]

    @asynccontextmanager
    async def no_internet() -> AsyncIterator[None]:
        """Connections are noted and refused."""
        loop = asyncio.get_running_loop()
        real = loop.sock_connect

        async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
            connections.append(address[0])
            raise ConnectionRefusedError

        loop.sock_connect = connect  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            loop.sock_connect = real  # type: ignore[method-assign]

    url = f"https://hooks.example.com:{port_of(receiver)}/"
    async with open_session(allow_private=False, lookup=lookup) as session, no_internet():
        first = await send(session, request_to(url))
        second = await send(session, request_to(url))
    assert (first.outcome, second.outcome) == ("unreachable", "refused")
    assert connections == [PUBLIC]
    assert len(lookups) == 2
    assert receiver.received == []


async def test_only_the_allowed_of_several_addresses_are_returned() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", PUBLIC, "fd00::1"]

    found = await FilteringResolver(lookup, allow_private=False).resolve("example.com", 443)
    assert [each["host"] for each in found] == [PUBLIC]


async def test_the_address_is_checked_whatever_the_resolver_returns(
    receiver: Receiver,
) -> None:
    class Lying(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
                )
            ]

        async def close(self) -> None: ...

    async with open_session(allow_private=False) as session:
        session.connector._resolver = Lying()  # type: ignore[union-attr]
        url = f"https://hooks.example.com:{port_of(receiver)}/"
        result = await send(session, request_to(url))
    assert result.outcome == "refused"
    assert receiver.received == []


async def test_a_literal_address_is_refused_at_the_attempt_too(receiver: Receiver) -> None:
    """Such as one that was stored while the development flag was on."""
    result = await send_to(receiver.url, list)
    assert result.outcome == "refused"
    async with open_session(allow_private=False) as session:
        result = await send(session, request_to(receiver.url), allow_private=True)
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
        async with open_session(allow_private=True, lookup=look_up) as session:
            if trusted:
                session.connector._ssl = trusting  # type: ignore[union-attr]
            url = f"https://{name}.example.com:{port}/in"
            found.append((await send(session, request_to(url), allow_private=True)).outcome)
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
