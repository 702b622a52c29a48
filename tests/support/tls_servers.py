"""PostgreSQL, NATS and Redis that speak TLS alone and want a certificate of each client.

The servers of the wheels have been built without: these are the machine's own.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from chassis.database import connect
from chassis.redis_client import open_redis
from chassis.tls import CA, CERTIFICATE, KEY, add_files
from redis.exceptions import RedisError
from support.certificates import Authority, replace_file
from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.secrets import load_or_create
from tenantry.processes.supervisor import ChildSpec
from tenantry.servers import Servers, executables, nats, postgres, redis
from tenantry.servers.ports import HOST
from tenantry.servers.unprivileged import run_as_for

NAME = "localhost"
"""The one in their certificates; `HOST` is none of them."""
_HBA = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
_DEBIAN = Path("/usr/lib/postgresql")


class TlsServers(Servers):
    """`files` are those of a client, by the endings of their settings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        root = self.data.root
        self.own = {each: self.data.folder(each) for each in ("postgres", "nats", "redis")}
        self.files = {name: root / "client" / name for name in ("ca_file", "cert_file", "key_file")}
        self.files["ca_file"].parent.mkdir()
        self.install(Authority(root / "authority", "first"))
        url = f"postgresql://postgres:{self.secrets.postgres['postgres']}@{NAME}"
        self.superuser_url = f"{url}:{self._postgres_port}/postgres"

    @property
    def redis_url(self) -> str:
        return f"rediss://:{self.secrets.redis}@{NAME}:{self._redis_port}/0"

    def nats_url(self, user: str) -> str:
        return super().nats_url(user).replace("nats://", "tls://").replace(HOST, NAME)

    def settings(self) -> dict[str, str]:
        """Of the files, as a process has them."""
        return {
            f"TENANTRY_{server}_{name.upper()}": str(path)
            for server in ("DATABASE", "NATS", "REDIS")
            for name, path in self.files.items()
        }

    def with_files(self, url: str) -> str:
        parameters = {CA: "ca_file", CERTIFICATE: "cert_file", KEY: "key_file"}
        return add_files(url, {each: str(self.files[name]) for each, name in parameters.items()})

    def install(self, authority: Authority) -> None:
        """New certificates for clients and servers; those read them when they start."""
        self.install_at_servers(authority, *authority.issue(NAME))
        replace_file(authority.certificate, self.files["ca_file"])
        for name, issued in zip(("cert_file", "key_file"), authority.issue("client"), strict=True):
            replace_file(issued, self.files[name])

    def install_at_servers(self, authority: Authority, certificate: Path, key: Path) -> None:
        for folder in self.own.values():
            for name, issued in (("ca", authority.certificate), ("crt", certificate), ("key", key)):
                replace_file(issued, folder / name)
                os.chown(folder / name, folder.stat().st_uid, -1)

    async def start_postgres(self) -> None:
        server, folder, port = find_postgres(), self.own["postgres"], self._postgres_port
        if not (folder / "data").exists():
            self._initdb(server, folder)
        spec = await postgres.prepare(server, self.data, self.secrets, port)
        for name in ("ca", "crt", "key"):
            os.chown(folder / name, folder.stat().st_uid, -1)
        hba = folder / "hba.conf"
        hba.write_text(_HBA)
        os.chown(hba, folder.stat().st_uid, -1)
        options = {"ssl": "on", "ssl_cert_file": "crt", "ssl_key_file": "key", "ssl_ca_file": "ca"}
        paths = {name: str(folder / each) for name, each in options.items() if name != "ssl"}
        given = {"ssl": "on", "hba_file": str(hba), **paths}
        argv = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        await self._start(_changed(spec, argv, self._postgres_is_ready))
        url = self.with_files(self.superuser_url)
        await postgres.create_databases(self.data, self.secrets, url)

    async def start_nats(self) -> None:
        folder = self.own["nats"]
        options = ["--tls", "--tlsverify", f"--tlscert={folder / 'crt'}"]
        options += [f"--tlskey={folder / 'key'}", f"--tlscacert={folder / 'ca'}"]
        spec = nats.prepare(self.data, self.secrets, self._nats_port)
        await self._start(_changed(spec, options, spec.is_ready))

    async def start_redis(self) -> None:
        folder, port = self.own["redis"], self._redis_port
        options = ["--port", "0", "--tls-port", str(port), "--tls-ca-cert-file", str(folder / "ca")]
        options += ["--tls-cert-file", str(folder / "crt"), "--tls-key-file", str(folder / "key")]
        spec = redis.prepare(find_redis(), self.data, self.secrets, port)
        await self._start(_changed(spec, options, self._redis_is_ready))

    async def restart(self) -> None:
        for child in self.children.values():
            await child.stop()
            await child.start()

    def _initdb(self, server: Path, folder: Path) -> None:
        """PostgreSQL 15 does not know all options of `postgres.prepare`."""
        run_as = run_as_for(folder, server, postgres.DEATH_SIGNAL)
        password = folder / "password"
        password.write_text(self.secrets.postgres["postgres"])
        os.chown(password, folder.stat().st_uid, -1)
        options = ["-D", folder / "data", "-U", "postgres", f"--pwfile={password}", "-E", "UTF8"]
        subprocess.run(
            [*run_as.wrapper, server.with_name("initdb"), *options, *postgres.LOCALE],
            check=True,
            stdout=subprocess.DEVNULL,
            user=run_as.user,
            group=run_as.group,
            cwd=folder,
        )

    async def _postgres_is_ready(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            conn = await connect(self.with_files(self.superuser_url), timeout=2)
            await conn.close()
            return True
        return False

    async def _redis_is_ready(self) -> bool:
        with suppress(OSError, RedisError):
            async with open_redis(self.with_files(self.redis_url), retry=None) as client:
                return bool(await client.ping())
        return False


def _changed(spec: ChildSpec, options: Sequence[str], is_ready: object) -> ChildSpec:
    program = replace(spec.program, argv=(*spec.program.argv, *options))
    return replace(spec, program=program, is_ready=is_ready)


def find_postgres() -> Path:
    """Skips the test where there is none with TLS."""
    found = [*_DEBIAN.glob("*/bin/postgres"), executables.find_on_path("postgres")]
    for each in filter(None, found):
        tool = each.resolve().with_name("pg_config")
        if tool.is_file() and b"openssl" in subprocess.check_output([tool, "--configure"]):
            return each
    pytest.skip("NOTHING WAS RUN: there is no PostgreSQL with TLS (apt install postgresql)")


def find_redis() -> Path:
    found = executables.find_on_path("redis-server", "valkey-server")
    if found is None:
        pytest.skip("NOTHING WAS RUN: there is no Redis with TLS (apt install redis-server)")
    return found


@asynccontextmanager
async def tls_servers(folder: Path) -> AsyncIterator[TlsServers]:
    with open_data_folder(folder) as data:
        servers = TlsServers(data, load_or_create(folder / "secrets.json"))
        try:
            await servers.start_postgres()
            await servers.start_nats()
            await servers.start_redis()
            yield servers
        finally:
            await servers.stop()
