"""TLS to PostgreSQL, NATS and Redis: every process verifies, says what it refuses, and reads new
certificates without a restart.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from chassis.nats_client import connect
from chassis.tls import Tls
from contracts.topology import SERVICE_NAMES
from nats.errors import Error as NatsError
from support.api import Api, new_tenant
from support.certificates import Authority, replace_file
from support.stack import Ran, tenantry
from support.tls_servers import TlsServers, tls_servers
from support.waiting import until
from tenantry.dev import services
from tenantry.processes.supervisor import Child
from tenantry.servers.ports import HOST, free_ports

SERVERS = ("DATABASE", "NATS", "REDIS")
REFUSED = {
    "name": ("address mismatch", "Connect by a name that the server's certificate has"),
    "authority": ("certificate verify failed", "Name the CA of the server's certificate by"),
    "expired": ("certificate has expired", "Renew the server's certificate"),
    "client": ("", "Name a certificate that the server accepts by"),
}


@dataclass
class Product:
    """All processes on servers that speak TLS alone."""

    servers: TlsServers
    ports: dict[str, int]
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports['edge']}"

    def environment(self, **changes: str) -> dict[str, str]:
        """Of a command, as docs/operating.md has it."""
        secrets = self.servers.secrets
        found = {
            **self.servers.settings(),
            "TENANTRY_URL": self.url,
            "TENANTRY_OPERATOR_KEY": secrets.operator_key,
            "TENANTRY_NATS_ADMIN_URL": self.servers.nats_url("admin"),
            "TENANTRY_REDIS_URL": self.servers.redis_url,
        }
        for service in SERVICE_NAMES:
            prefix = f"TENANTRY_{service.upper()}"
            found[f"{prefix}_DATABASE_URL"] = self.servers.database_url(service)
            found[f"{prefix}_MIGRATION_URL"] = self.servers.migration_url(service)
            found[f"{prefix}_HASH_KEYS"] = secrets.hash_keys[service]
            if keys := secrets.encryption_keys.get(service):
                found[f"{prefix}_ENCRYPTION_KEYS"] = keys
        return found | changes

    async def run(self, *arguments: str, **changes: str) -> Ran:
        return await tenantry(*arguments, **self.environment(**changes))

    async def start(self) -> None:
        for step in ("migrate", "bootstrap"):
            ran = await self.run(step)
            assert ran.code == 0, ran.err
        for name in (*SERVICE_NAMES, "edge", "console"):
            spec = services.child_spec(name, self.servers, self.ports)
            program = replace(spec.program, env={**spec.program.env, **self.servers.settings()})
            self.children[name] = Child(replace(spec, program=program))
            await self.children[name].start()

    async def is_healthy(self) -> bool:
        async with ClientSession() as http:
            answer = await Api(http, self.url)("GET", "/health")
        return bool(answer.body["status"] == "ok")


@pytest.fixture(scope="module")
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    names = (*SERVICE_NAMES, "edge", "console", *services.MANAGEMENT.values())
    async with tls_servers(tmp_path_factory.mktemp("tls")) as servers:
        running = Product(servers, dict(zip(names, free_ports(len(names)), strict=True)))
        try:
            await running.start()
            yield running
        finally:
            await asyncio.gather(*(child.stop() for child in running.children.values()))


@pytest.fixture
async def caller(product: Product) -> AsyncIterator[Api]:
    async with ClientSession() as http:
        yield await new_tenant(http, product.url, product.servers.secrets.operator_key)


async def test_every_process_and_command_works_through_tls(
    product: Product, caller: Api, tmp_path: Path
) -> None:
    await until(product.is_healthy)
    made = await caller("POST", "/v1/admin/users", {"email": "a@example.com"})
    assert made.status == 201, made.raw
    for command in (
        ("backup", str(tmp_path / "backup.tar")),
        ("bootstrap", "--erase"),
        ("keys", "hashes"),
        ("audit", "verify"),
        ("migrate", "--check"),
    ):
        ran = await product.run(*command)
        assert ran.code == 0, (command, ran.err)
    ran = await product.run("doctor", "--json")
    found = {each["of"]: each["status"] for each in ran.json["checks"]}
    assert {found[each] for each in ("NATS", "Redis", "database of audit")} == {"ok"}


async def test_a_backup_is_restored_through_tls(product: Product, tmp_path: Path) -> None:
    file = str(tmp_path / "backup.tar")
    assert (await product.run("backup", file)).code == 0
    async with tls_servers(tmp_path / "other") as servers:
        servers.secrets.hash_keys = product.servers.secrets.hash_keys
        servers.secrets.encryption_keys = product.servers.secrets.encryption_keys
        restored = await Product(servers, product.ports).run("restore", file)
    assert restored.code == 0, restored.err


@pytest.mark.parametrize("why", ["name", "authority", "client"])
async def test_the_doctor_says_which_certificate_was_refused_and_what_mends_it(
    product: Product, tmp_path: Path, why: str
) -> None:
    changes = {}
    if why == "name":
        urls = {name: url for name, url in product.environment().items() if name.endswith("_URL")}
        changes = {name: url.replace("localhost", HOST) for name, url in urls.items()}
    elif why == "authority":
        other = str(Authority(tmp_path / "other", "other").certificate)
        changes = {f"TENANTRY_{server}_CA_FILE": other for server in SERVERS}
    else:
        certificate, key = Authority(tmp_path / "other", "other").issue("client")
        changes = {f"TENANTRY_{server}_CERT_FILE": str(certificate) for server in SERVERS}
        changes |= {f"TENANTRY_{server}_KEY_FILE": str(key) for server in SERVERS}
    assert_refused(await product.run("doctor", "--json", **changes), why)


def assert_refused(ran: Ran, why: str) -> None:
    """By all three servers, the same."""
    said, fix = REFUSED[why]
    connections = {each["of"]: each for each in ran.json["checks"] if each["check"] == "connection"}
    for server, of in zip(SERVERS, ("PostgreSQL", "NATS", "Redis"), strict=True):
        assert connections[of]["status"] != "ok"
        assert said in connections[of]["detail"], connections[of]
        assert connections[of]["fix"].startswith(fix), connections[of]
        assert "{" not in connections[of]["fix"]
        if why in ("authority", "client"):
            assert f"TENANTRY_{server}_" in connections[of]["fix"]


async def test_new_certificates_are_used_without_a_restart(product: Product, caller: Api) -> None:
    pids = {name: child.pid for name, child in product.children.items()}
    await until(product.is_healthy)
    product.servers.install(Authority(product.servers.data.root / "authority", "second"))
    await product.servers.restart()
    await until(product.is_healthy, 30)
    made = await caller("POST", "/v1/admin/users", {"email": "b@example.com"})
    assert made.status == 201, made.raw
    assert {name: child.pid for name, child in product.children.items()} == pids


async def test_an_expired_certificate_is_refused_in_health_log_and_doctor(product: Product) -> None:
    await until(product.is_healthy)
    servers = product.servers
    authority = Authority(servers.data.root / "authority", "third")
    servers.install(authority)
    expired = authority.issue("localhost", ends=datetime.now(UTC) - timedelta(hours=1))
    servers.install_at_servers(authority, *expired)
    for child in servers.children.values():
        child.spec = replace(child.spec, is_ready=_at_once)
    await servers.restart()

    async def reasons() -> bool:
        async with ClientSession() as http:
            service = Api(http, f"http://{HOST}:{product.ports['projects']}")
            edge = await Api(http, product.url)("GET", "/health")
            checks = (await service("GET", "/health")).body["checks"]
        found = [checks["database"], edge.body["checks"]["redis"]]
        return [each.get("reason") for each in found] == ["certificate_expired"] * 2

    await until(reasons, 30)
    assert_refused(await product.run("doctor", "--json"), "expired")
    for name in ("projects", "edge"):
        assert "certificate has expired" in servers.data.log(name).read_text()
    servers.install(authority)
    await servers.restart()
    await until(product.is_healthy, 30)


async def _at_once() -> bool:
    return True


async def test_a_server_that_offers_no_tls_is_told_no_password() -> None:
    heard = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1024}\r\n')
        heard += await reader.read(1024)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NatsError, match="offers no TLS"):
            await connect(f"tls://edge:s3cret@{HOST}:{port}", reconnects=False)
    assert heard == b""


def test_files_that_do_not_fit_yet_leave_the_last_that_did(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "issued", "one")
    paths = [tmp_path / name for name in ("ca", "crt", "key")]
    for source, path in zip((authority.certificate, *authority.issue("a")), paths, strict=True):
        replace_file(source, path)
    tls = Tls(*map(str, paths), checks_name=True)
    before = tls.context()
    assert tls.context() is before
    certificate, key = authority.issue("b")
    replace_file(certificate, paths[1])
    assert tls.context() is before, "its key is still the old one"
    replace_file(key, paths[2])
    after = tls.context()
    assert after is not before
    paths[0].unlink()
    assert tls.context() is after


@pytest.mark.parametrize("setting", ["NATS_CA_FILE", "DATABASE_CA_FILE", "REDIS_CA_FILE"])
async def test_a_process_whose_files_cannot_be_read_names_the_setting(setting: str) -> None:
    name = "edge" if setting.startswith("REDIS") else "projects"
    urls = {
        "TENANTRY_DATABASE_URL": f"postgresql://a:b@{HOST}/projects",
        "TENANTRY_REDIS_URL": f"redis://{HOST}",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", name),
        env={**urls, f"TENANTRY_{setting}": "/nowhere/ca.pem"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 78
    assert f"TENANTRY_{setting}" in err.decode()
    assert "/nowhere/ca.pem" in err.decode()
