"""The way out: only vetted addresses are dialled, at every attempt, whatever a name answers."""

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
from webhooks import delivery
from webhooks.connecting import VettingResolver, open_session
from webhooks.delivery import Parcel, Result, attempt

PUBLIC = "93.184.215.14"


def parcel(url: str) -> Parcel:
    return Parcel(url, "evt_1", b"{}", [b"secret"])


def port_of(endpoint: Receiver) -> int:
    port = urlsplit(endpoint.url).port
    assert port is not None
    return port


async def attempted(
    url: str, lookup: Callable[[], list[str]], *, allow_private: bool = False
) -> Result:
    async def look_up(_host: str, _port: int) -> list[str]:
        return lookup()

    async with open_session(allow_private=allow_private, lookup=look_up) as session:
        return await attempt(session, parcel(url), allow_private=allow_private)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_a_name_that_leads_inside_is_a_refused_attempt(
    endpoint: Receiver, address: str
) -> None:
    url = f"https://hooks.example.com:{port_of(endpoint)}/"
    result = await attempted(url, lambda: [address])
    assert (result.outcome, result.response_status) == ("refused", None)
    assert result.error is not None
    assert address not in result.error
    assert endpoint.received == []


async def test_a_name_that_changes_its_answer_does_not_get_through(endpoint: Receiver) -> None:
    """What was vetted is what is dialled: there is no second look-up to give another answer."""
    answers = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]
    asked = 0

    async def lookup(_host: str, _port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return answers[min(asked, len(answers)) - 1]

    dialled: list[str] = []

    @asynccontextmanager
    async def nothing_outside() -> AsyncIterator[None]:
        """Stands for the internet: connections to public addresses end nowhere."""
        loop = asyncio.get_running_loop()
        real = loop.sock_connect

        async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
            dialled.append(address[0])
            raise ConnectionRefusedError

        loop.sock_connect = connect  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            loop.sock_connect = real  # type: ignore[method-assign]

    url = f"https://hooks.example.com:{port_of(endpoint)}/"
    async with open_session(allow_private=False, lookup=lookup) as session, nothing_outside():
        first = await attempt(session, parcel(url))
        second = await attempt(session, parcel(url))
    assert (first.outcome, second.outcome) == ("unreachable", "refused")
    assert dialled == [PUBLIC]
    assert asked == 2
    assert endpoint.received == []


async def test_only_the_vetted_of_several_answers_are_given() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", PUBLIC, "fd00::1"]

    found = await VettingResolver(lookup, allow_private=False).resolve("example.com", 443)
    assert [each["host"] for each in found] == [PUBLIC]


async def test_the_address_dialled_is_vetted_even_behind_another_resolver(
    endpoint: Receiver,
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
        url = f"https://hooks.example.com:{port_of(endpoint)}/"
        result = await attempt(session, parcel(url))
    assert result.outcome == "refused"
    assert endpoint.received == []


async def test_a_literal_address_is_refused_at_the_attempt_too(endpoint: Receiver) -> None:
    """A URL that was stored while the development flag was on."""
    result = await attempted(endpoint.url, list)
    assert result.outcome == "refused"
    async with open_session(allow_private=False) as session:
        result = await attempt(session, parcel(endpoint.url), allow_private=True)
    assert result.outcome == "refused"
    assert endpoint.received == []


async def test_no_proxy_of_the_environment_is_used(
    endpoint: Receiver, another: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, another.url)
    result = await attempted(endpoint.url, list, allow_private=True)
    assert result.outcome == "succeeded"
    assert another.received == []


async def test_a_name_that_does_not_resolve_says_so() -> None:
    def nobody() -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    result = await attempted("https://nobody.example.com/", nobody)
    assert (result.outcome, result.error) == ("unreachable", "The host name could not be resolved.")


async def test_a_silent_receiver_has_its_time(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 0.2)

    async def forever(_: object) -> None:
        await asyncio.Event().wait()

    endpoint.answer = forever  # type: ignore[assignment]
    result = await attempted(endpoint.url, list, allow_private=True)
    assert (result.outcome, result.response_status) == ("timed_out", None)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and one of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
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
    file.write_bytes(private + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def test_the_certificate_is_that_of_the_name_not_of_the_address(tmp_path: Path) -> None:
    server_side, trusting = certificate(tmp_path, "hooks.example.com")
    endpoint = Receiver()
    app = web.Application()
    app.router.add_post("/in", endpoint.handle)
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
            found.append((await attempt(session, parcel(url), allow_private=True)).outcome)
    await runner.cleanup()
    assert found == ["succeeded", "unreachable", "unreachable"]
    assert len(endpoint.received) == 1
    assert endpoint.received[0].headers["host"] == f"hooks.example.com:{port}"


async def test_what_is_not_http_is_a_failed_attempt() -> None:
    async def gibberish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    server = await asyncio.start_server(gibberish, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await attempted(f"http://127.0.0.1:{port}/", list, allow_private=True)
    assert result.outcome in {"failed", "unreachable"}
    assert result.response_status is None
