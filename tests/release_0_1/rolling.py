"""Version 0.1 on its dump, whose processes are replaced one at a time, while others do their work.

Both releases run by the settings of 0.1 (docs/upgrading.md), on the packages that are installed.
A process is replaced as an orchestrator does it: the new one is ready before the old one is asked
to stop, and a balancer sends new connections to the new edge.
"""

import json
import os
import signal
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from chaos.stack import CLIENT_AND_EDGE, ProxiedServers, ProxiedStack
from contracts.topology import SERVICE_NAMES
from release_0_1.dev import environment_of_0_1
from tenantry.dev import services
from tenantry.dev.health_probe import is_ready
from tenantry.processes.process import Program, run_program
from tenantry.processes.supervisor import Child, ChildSpec
from tenantry.servers import nats, postgres
from tenantry.servers.ports import free_ports
from tenantry.servers.postgres_client import find_client, run_client

Release = Literal["0.1", "this"]

HERE = Path(__file__).parent
PROCESSES = (*SERVICE_NAMES, "edge")
DRAIN_SECONDS = 1
STOP_STEPS = ((signal.SIGTERM, 6.0),)
"""Then it is killed, as audit of 0.1 has to be at times."""
EXPIRING = {"identity": ("sessions", "invitations"), "projects": ("api_keys",)}
"""Tables whose ends are moved by the age of the dump: what had not expired then has not yet."""
_ENDS = """
SELECT format('UPDATE %I SET ', table_name)
       || string_agg(format('%1$I = %1$I + $1', column_name), ', ')
  FROM information_schema.columns
 WHERE table_name = $1 AND column_name IN ('expires_at', 'ends_at', 'previous_expires_at')
 GROUP BY table_name
"""


@contextmanager
def unpacked(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The fixture in `folder`: `source`, `dump`, and data with its secrets. What tenants have."""
    for name in ("source", "dump"):
        with tarfile.open(HERE / f"{name}.tar.xz") as archive:
            # Python 3.11 knows it from 3.11.4 on.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder / name)
    (folder / "data").mkdir(mode=0o700)
    (folder / "dump/secrets.json").replace(folder / "data/secrets.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENANTRY_AUDIT_RETENTION_DAYS", "36500")
        yield json.loads((folder / "dump/tenants.json").read_text())["tenants"]


class OldServers(ProxiedServers):
    """Servers that are configured as 0.1 configured them, until `reconfigure`."""

    @property
    def fixture(self) -> Path:
        return self.data.root.parent

    @property
    def old_source(self) -> Path:
        return self.fixture / "source"

    async def start_postgres(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "INIT_SQL", self.old_source / "deploy/postgres/init.sql")
            await super().start_postgres()
        psql = find_client("psql", postgres.OLDEST[0])
        for service in SERVICE_NAMES:
            script = str(self.fixture / f"dump/{service}.sql")
            options = ("--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction")
            await run_client(psql, self.migration_url(service), *options, f"--file={script}")
        made_at = json.loads((self.fixture / "dump/tenants.json").read_text())["made_at"]
        age = datetime.now(UTC) - datetime.fromisoformat(made_at)
        for service, tables in EXPIRING.items():
            conn = await asyncpg.connect(self.migration_url(service))
            for table in tables:
                await conn.execute(await conn.fetchval(_ENDS, table), age)
            await conn.close()

    async def start_nats(self) -> None:
        spec = nats.prepare(self.data, self.secrets, self._nats_port)
        self._configure_nats(self.old_source / "deploy/nats/nats.conf")
        new, old = str(nats.CONFIGURATION), str(self._nats_conf)
        argv = tuple(old if each == new else each for each in spec.program.argv)
        await self._start(replace(spec, program=replace(spec.program, argv=argv)))

    async def reconfigure(self) -> None:
        """As docs/upgrading.md says: init.sql again, and new rights in NATS."""
        await postgres.create_databases(self.data, self.secrets, self.superuser_url)
        self._configure_nats(nats.CONFIGURATION)
        os.kill(self.children["nats"].pid, signal.SIGHUP)

    @property
    def _nats_conf(self) -> Path:
        return self.data.root / "nats.conf"

    def _configure_nats(self, configuration: Path) -> None:
        self._nats_conf.write_text(configuration.read_text())


class RollingStack(ProxiedStack):
    """Every process has a port and a log of its own each time that it is replaced."""

    servers: OldServers

    async def start(self) -> None:
        servers = self.servers
        await servers.start_postgres()
        await servers.start_nats()
        await servers.start_redis()
        await self.run("0.1", services.bootstrap(servers))
        for name in PROCESSES:
            await self.replace(name, "0.1")
        self.ready = True

    async def run(self, release: Release, command: Program) -> None:
        """A command of that release."""
        await run_program(self._of(command, release, command.name))

    async def replace(self, name: str, release: Release) -> None:
        """Returns when the successor is ready and the predecessor has ended, if there was one."""
        port, management = free_ports(2)
        ports = {**self.ports, name: port, services.MANAGEMENT["edge"]: management}
        spec = services.child_spec(name, self.servers, ports)
        program = self._of(spec.program, release, f"{name}-{release}-{port}")
        program = replace(program, env=self._settings_of_0_1(name, program.env))
        successor = Child(ChildSpec(program, lambda: is_ready(port), STOP_STEPS), self)
        await successor.start()
        self.note(f"{name} of {release} is ready")
        predecessor = self.children.get(name)
        self.children[name] = successor
        if name == "edge":
            self.proxies[CLIENT_AND_EDGE].targets = (port,)
        if predecessor is not None:
            await predecessor.stop()
            self.note(f"{name} before it has ended")

    def _of(self, program: Program, release: Release, log: str) -> Program:
        env = dict(program.env)
        if release == "0.1":
            env |= environment_of_0_1(self.servers.old_source)
        return replace(program, env=env, log=self.servers.data.log(log))

    def _settings_of_0_1(self, name: str, env: dict[str, str]) -> dict[str, str]:
        """One hash key and one encryption key for all services."""
        if name == "edge":
            return {**env, "TENANTRY_DRAIN_SECONDS": str(DRAIN_SECONDS)}
        secrets = self.servers.secrets
        assert secrets.hash_key is not None
        keys = secrets.encryption_keys["projects"].split(",")
        env = {**env, "TENANTRY_HASH_KEY": secrets.hash_key, "TENANTRY_ENCRYPTION_KEYS": keys[-1]}
        del env["TENANTRY_HASH_KEYS"]
        return env
