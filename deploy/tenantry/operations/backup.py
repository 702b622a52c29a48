"""Backs up the four databases while everything runs, into one file without secrets.

The snapshots are taken milliseconds apart, consumers first: whatever one has consumed, the others
have recorded. What a consumer has not had yet is in the outboxes, which a restore publishes again.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from asyncpg import Connection
from contracts.topology import EVENTS_PREFIX, SERVICES

from tenantry.errors import Misconfigured
from tenantry.installation import Installation
from tenantry.operations.backup_file import (
    FORMAT,
    Dumped,
    Manifest,
    Report,
    size_text,
    write_backup,
)
from tenantry.operations.databases import connect
from tenantry.operations.key_fingerprints import fingerprints
from tenantry.servers.postgres_client import find_client, run_client

ORDER = tuple(
    each.name
    for each in sorted(
        SERVICES,
        key=lambda each: (f"{EVENTS_PREFIX}.>" not in each.consumes, not each.erases_tenants),
    )
)
"""Who consumes everything comes first; who owns the tenants, and is consumed by all, last."""
REPORT_SECONDS = 5.0
_TRANSACTION = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_REVISION = "SELECT version_num FROM alembic_version"
# Of what its owner may set again.
_SETTINGS = """
SELECT split_part(each, '=', 1) AS name, substr(each, strpos(each, '=') + 1) AS value
  FROM pg_db_role_setting
  JOIN pg_database ON pg_database.oid = setdatabase,
       unnest(setconfig) WITH ORDINALITY AS given (each, place)
  JOIN pg_settings ON pg_settings.name = split_part(each, '=', 1)
 WHERE setrole = 0 AND datname = current_database() AND context = 'user' ORDER BY place
"""


@dataclass(frozen=True)
class Snapshot:
    """A moment of one database, for as long as its transaction lasts."""

    name: str
    dumped: Dumped


async def create_backup(installation: Installation, file: Path, report: Report) -> Manifest:
    """Writes the file. Raises Misconfigured if it exists or if a key or a URL is not known."""
    _check_new(file)
    urls = {service: installation.migration_url(service) for service in ORDER}
    keys = fingerprints(installation)
    drafts = file.with_name(file.name + ".dumps")
    shutil.rmtree(drafts, ignore_errors=True)  # of a backup that was interrupted
    drafts.mkdir(mode=0o700)
    try:
        async with _snapshots(urls) as (snapshots, seconds_apart):
            made_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            dumps = {service: drafts / f"{service}.dump" for service in ORDER}
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(_watch(drafts, report))
                async with asyncio.TaskGroup() as dumping:
                    for service, snapshot in snapshots.items():
                        dumping.create_task(_dump(urls[service], snapshot, dumps[service]))
                watch.cancel()
        databases = {service: snapshot.dumped for service, snapshot in snapshots.items()}
        manifest = Manifest(FORMAT, version("tenantry"), made_at, seconds_apart, databases, keys)
        await asyncio.to_thread(write_backup, file, manifest, dumps, report)
    except ExceptionGroup as failures:
        raise _first(failures) from None
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return manifest


def _check_new(file: Path) -> None:
    if file.exists():
        raise Misconfigured(f"{file} exists", "Name a file that does not exist yet.")
    if not file.absolute().parent.is_dir():
        raise Misconfigured(f"the folder of {file} does not exist", "Create it first.")


@asynccontextmanager
async def _snapshots(urls: dict[str, str]) -> AsyncIterator[tuple[dict[str, Snapshot], float]]:
    """One of each database, in order; and in how many seconds they were all taken."""
    async with AsyncExitStack() as stack:
        connections = {
            service: await stack.enter_async_context(connect(service, url))
            for service, url in urls.items()
        }
        began = time.monotonic()
        names = {}
        for service, conn in connections.items():
            await conn.execute(_TRANSACTION)
            names[service] = await conn.fetchval("SELECT pg_export_snapshot()")
        seconds_apart = round(time.monotonic() - began, 3)
        yield (
            {
                service: Snapshot(names[service], await _describe(conn))
                for service, conn in connections.items()
            },
            seconds_apart,
        )


async def _describe(conn: Connection) -> Dumped:
    settings = {row["name"]: row["value"] for row in await conn.fetch(_SETTINGS)}
    return Dumped(await conn.fetchval(_REVISION), await server_version(conn), settings)


async def server_version(conn: Connection) -> int:
    """180001 is 18.1."""
    return int(await conn.fetchval("SELECT current_setting('server_version_num')"))


async def _dump(url: str, snapshot: Snapshot, file: Path) -> None:
    """As the owner of the database, who may not write the comments of extensions."""
    program = find_client("pg_dump", snapshot.dumped.server // 10_000)
    options = ("--format=custom", "--no-comments", f"--snapshot={snapshot.name}")
    await run_client(program, url, *options, f"--file={file}")


async def _watch(folder: Path, report: Report) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        report(f"{size_text(_size(folder))} so far")


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    """Of groups within groups."""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
