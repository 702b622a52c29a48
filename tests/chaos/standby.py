"""PostgreSQL with a streaming standby that can be promoted while the product works.

The standby replicates through a proxy, so that a test can cut it off before the primary dies.
"""

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
from chaos.proxy import TcpProxy
from chaos.stack import ProxiedServers
from support.waiting import until
from tenantry.data_folder.folder import DataFolder
from tenantry.processes.process import run_program
from tenantry.processes.supervisor import Child
from tenantry.servers import postgres
from tenantry.servers.ports import HOST, free_ports
from tenantry.servers.postgres_url import libpq_environment, server_url

STANDBY = "standby"
"""Its name in synchronous_standby_names."""
REPLICATION = ("wal_level=replica", "max_wal_senders=4", "hot_standby=on", "wal_sender_timeout=5s")
_CAUGHT_UP = """
SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'
   AND replay_lsn = pg_current_wal_lsn() AND ($2 OR sync_state = 'async')
   AND (NOT $2 OR sync_state = 'sync')
"""


@dataclass
class Node:
    """A server. Whoever kills it means it: it is not started again."""

    child: Child
    port: int
    folder: Path


class StandbyServers(ProxiedServers):
    """`primary` is whom all proxies lead to."""

    primary: Node
    standby: Node
    link: TcpProxy
    _count = 0

    async def start_postgres(self) -> None:
        self.primary = await self._start_node(self.data, self._postgres_port)
        self.children["postgres"] = self.primary.child
        await postgres.create_databases(self.data, self.secrets, self.superuser_url)

    async def add_standby(self, *, is_synchronous: bool) -> None:
        """Returns when it has all that the primary has, and follows."""
        self._count += 1
        name = f"{STANDBY}-{self._count}"
        (port,) = free_ports(1)
        self.link = TcpProxy(self.primary.port)
        await self.link.start()
        folder = DataFolder(self.data.folder(name), self.data.lock)
        await self._copy_primary(folder)
        self.standby = await self._start_node(folder, port)
        self.children[name] = self.standby.child
        await self.superuser(
            f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY if is_synchronous else ''}'",
            "SELECT pg_reload_conf()",
        )
        await until(lambda: self._is_following(is_synchronous), 30)

    async def kill_primary(self) -> None:
        """By SIGKILL. Its supervisor is told to leave it."""
        child = self.primary.child
        child.spec = replace(child.spec, stop_steps=((signal.SIGKILL, 5.0),))
        lines = (self.primary.folder / "data/postmaster.pid").read_text().splitlines()
        await child.stop()
        await self.link.stop()
        # What only a new start on its folder would remove.
        remove = await asyncio.create_subprocess_exec("ipcrm", "-m", lines[6].split()[1])
        await remove.wait()

    async def promote(self) -> None:
        """The standby is the primary, and all proxies lead to it."""
        self.superuser_url = server_url(HOST, self.standby.port, self.secrets.postgres["postgres"])
        # It waits for nobody any more.
        await self.superuser(
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
            "SELECT pg_promote()",
        )
        self.primary = self.standby
        for (_, server), proxy in self.proxies.items():
            if server == "postgres":
                proxy.detach()
                proxy.targets = (self.primary.port,)

    async def superuser(self, *statements: str) -> None:
        conn = await asyncpg.connect(self.superuser_url)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()

    async def _is_following(self, is_synchronous: bool) -> bool:
        conn = await asyncpg.connect(self.superuser_url)
        try:
            return bool(await conn.fetchval(_CAUGHT_UP, STANDBY, is_synchronous))
        finally:
            await conn.close()

    async def _start_node(self, data: DataFolder, port: int) -> Node:
        spec = await postgres.prepare(postgres.find_server(), data, self.secrets, port)
        options = (part for each in REPLICATION for part in ("-c", each))
        program = replace(spec.program, argv=(*spec.program.argv, *options))  # the last one counts
        child = Child(replace(spec, program=program), self.listener)
        await child.start()
        return Node(child, port, data.root / "postgres")

    async def _copy_primary(self, folder: DataFolder) -> None:
        """As the user that the server runs as; the standby knows the link's port."""
        server = postgres.find_server()
        spec = self.primary.child.spec
        place = folder.folder("postgres")
        os.chown(place, self.primary.folder.stat().st_uid, -1)
        url = server_url(HOST, self.link.port, self.secrets.postgres["postgres"])
        argv = (
            *(str(server.with_name("pg_basebackup")), "-d", f"application_name={STANDBY}"),
            *("-D", str(place / "data"), "-R", "-X", "stream", "-c", "fast"),
        )
        env = {**spec.program.env, **libpq_environment(url)}
        await run_program(
            replace(
                spec.program,
                name="pg_basebackup",
                argv=argv,
                env=env,
                cwd=place,
                log=folder.log("pg_basebackup"),
            )
        )
