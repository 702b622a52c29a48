"""Restores a backup into empty databases, and heals what was between the services.

Everything that can refuse comes before the first change. After a kill the same command goes on: a
database is restored in one transaction, and no service can connect before all of them are whole.
"""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asyncpg import Connection
from contracts.topology import STREAM
from nats.js.errors import NotFoundError
from outbox import inbox
from outbox.republish import republish

from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations import restore_state, streams
from tenantry.operations.backup import ORDER, server_version
from tenantry.operations.backup_file import BackupFile, Report, size_text
from tenantry.operations.databases import connect
from tenantry.operations.key_fingerprints import check_fingerprints
from tenantry.operations.migrations import is_known
from tenantry.operations.restore_state import UNFINISHED, Content, State
from tenantry.servers.postgres_client import find_client, run_client

REPORT_SECONDS = 5.0
CLOCKS = timedelta(hours=1)
"""How far the clocks of two databases may differ."""
_ALL = datetime(2000, 1, 1, tzinfo=UTC)
_EMPTY = "DROP OWNED BY CURRENT_USER CASCADE"
_HAS_MARKS = "SELECT to_regclass('marks') IS NOT NULL"
_MARK_RESTORED = """
INSERT INTO marks (tenant_id, sequence, kind, digest)
SELECT tenant_id, sequence, 'restored', digest FROM heads WHERE sequence > 0 AND closed_at IS NULL
ON CONFLICT DO NOTHING
"""
"""What was recorded and signed after the backup is gone: whoever asks for the proof is told."""
_OLDEST = "SELECT min(recorded_at) FROM outbox"


@dataclass(frozen=True)
class Target:
    """A database to restore into."""

    service: str
    url: str
    conn: Connection
    server: int
    state: State


@dataclass(frozen=True)
class Restored:
    """The moment of the backup, and how many events will be published again, by service."""

    made_at: str
    events: dict[str, int]


async def restore_backup(
    installation: Installation, backup: BackupFile, report: Report, *, replace: bool
) -> Restored:
    """After `check_backup`. Raises CommandFailed before the first change if the target is not
    empty or in use; with `replace` what is in the databases and the stream is deleted.
    """
    urls = {service: installation.migration_url(service) for service in ORDER}
    nats = installation.nats_url() if installation.folder is None else installation.nats_admin_url
    async with AsyncExitStack() as stack:
        targets = []
        for service, url in urls.items():
            conn = await stack.enter_async_context(connect(service, url))
            targets.append(await _target(service, url, conn, backup))
        is_unfinished = any(each.state.content in UNFINISHED for each in targets)
        await _check_targets(targets, nats, is_unfinished=is_unfinished, replace=replace)
        kept = (Content.LOADED, Content.RESTORED) if is_unfinished else ()
        todo = [each for each in targets if each.state.content not in kept]
        for target in todo:
            await restore_state.begin(target.conn, target.service, backup.id)
        await _empty_nats(installation, nats)
        for target in todo:
            await _restore(target, backup, report)
        events = await _heal(targets, backup.id)
    return Restored(backup.manifest.made_at, events)


def check_backup(backup: BackupFile, installation: Installation) -> None:
    """Raises CommandFailed unless this release knows its schemas and the same keys are there."""
    check_fingerprints(backup.manifest.keys, installation)
    newer = [
        service
        for service, dumped in backup.manifest.databases.items()
        if service not in ORDER or not is_known(service, dumped.revision)
    ]
    if newer or set(ORDER) - set(backup.manifest.databases):
        raise CommandFailed(
            f"the backup was made by another release (version {backup.manifest.version}): this one "
            f"does not know its schema of {', '.join(newer) or 'every service'}",
            "Nothing was restored. Restore it with the release that made it, or a later one.",
            code="newer_backup",
        )


async def _target(service: str, url: str, conn: Connection, backup: BackupFile) -> Target:
    server = await server_version(conn)
    dumped = backup.manifest.databases[service].server
    if server // 10_000 < dumped // 10_000:
        raise CommandFailed(
            f"{service}: a dump of PostgreSQL {dumped // 10_000} does not fit into PostgreSQL "
            f"{server // 10_000}",
            f"Nothing was restored. Take a server of PostgreSQL {dumped // 10_000} or newer.",
            code="older_server",
        )
    find_client("pg_restore", server // 10_000)
    return Target(
        service, url, conn, server, await restore_state.get_state(conn, service, backup.id)
    )


async def _check_targets(
    targets: list[Target], nats: str | None, *, is_unfinished: bool, replace: bool
) -> None:
    if busy := [target.service for target in targets if target.state.sessions]:
        raise CommandFailed(
            f"processes of the product use the databases of {', '.join(busy)}",
            "Nothing was restored. Stop the product first; its servers must run "
            "(`tenantry dev --servers-only`, or no `tenantry dev` at all).",
            code="in_use",
        )
    refused = (Content.OTHER,) if is_unfinished else (Content.OTHER, Content.RESTORED)
    full = [f"the database of {each.service}" for each in targets if each.state.content in refused]
    if nats is not None and not is_unfinished and await _has_events(nats):
        full.append(f"the stream {STREAM}")
    if full and not replace:
        raise CommandFailed(
            f"not empty: {', '.join(full)}",
            "Nothing was restored. Restore into new servers or a new folder, or say --replace: "
            "that deletes what is there now, for good.",
            code="not_empty",
        )


async def _has_events(nats: str) -> bool:
    async with streams.connect(nats) as client:
        try:
            return (await client.jetstream().stream_info(STREAM)).state.last_seq > 0
        except NotFoundError:
            return False


async def _empty_nats(installation: Installation, nats: str | None) -> None:
    """The stream has events that the backup does not have."""
    if nats is None:  # the folder's own, which does not run
        if installation.folder is not None:
            shutil.rmtree(installation.folder / "nats", ignore_errors=True)
        return
    async with streams.connect(nats) as client:
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(STREAM)


async def _restore(target: Target, backup: BackupFile, report: Report) -> None:
    """Empties the database first: a restore may have been interrupted there."""
    await target.conn.execute(_EMPTY)
    size, fed = backup.size(target.service), 0
    report(f"{target.service}: {size_text(size)}")
    reported = time.monotonic()

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal fed, reported
        for block in backup.blocks(target.service):
            yield block
            fed += len(block)
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                report(f"{target.service}: {size_text(fed)} of {size_text(size)}")

    program = find_client("pg_restore", target.server // 10_000)
    options = ("--no-comments", "--exit-on-error", "--single-transaction")
    await run_client(program, target.url, *options, f"--dbname={target.service}", reads=blocks())
    async with target.conn.transaction():
        for name, value in backup.manifest.databases[target.service].settings.items():
            await target.conn.execute(
                await target.conn.fetchval(
                    "SELECT format('ALTER DATABASE %I SET %I TO %L', current_database(), $1::text, "
                    "$2::text)",
                    name,
                    value,
                )
            )
        await restore_state.loaded(target.conn, target.service, backup.id)
    report(f"{target.service}: statistics")
    await target.conn.execute("ANALYZE")


async def _heal(targets: list[Target], backup_id: str) -> dict[str, int]:
    """Has all events published again that the outboxes keep. Consumers take none twice.

    The services may connect then.
    """
    oldest = [await target.conn.fetchval(_OLDEST) for target in targets]
    since = min((each for each in oldest if each is not None), default=None)
    events = {}
    for target in targets:
        async with target.conn.transaction():
            if since is not None:
                await inbox.keep(target.conn, since - CLOCKS)
            events[target.service] = await republish(target.conn, _ALL)
            if target.service == "audit" and await target.conn.fetchval(_HAS_MARKS):
                await target.conn.execute(_MARK_RESTORED)
            await restore_state.finish(target.conn, target.service, backup_id)
    return events
