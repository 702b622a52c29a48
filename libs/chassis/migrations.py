"""Migrations: Alembic over asyncpg; each service migrates only its own database, under a lock.

The tables are those of `<service>.tables`, the steps lie in `<service>/migrations`. All that is
pending is one transaction: wholly there or wholly absent. A database that is further on than this
release is left alone: the release before runs on it (docs/upgrading.md). What only this release
bears waits until its processes alone run (`after_rollout`), where a schema was there before, and is
one transaction for each table: callers wait for one at a time.
"""

import asyncio
import time
from functools import partial
from importlib import import_module
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from alembic import command, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from contracts.topology import Lock
from sqlalchemy import ARRAY, Column, Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.database import ID, connect
from chassis.json_columns import columns_left, keep_as_written

PATIENCE_SECONDS = 10.0
"""How long tables that are in use are tried for."""
_TRY = ("SET LOCAL lock_timeout = '400ms'", "SET LOCAL statement_timeout = '500ms'")
"""How long one try waits; whoever comes behind it waits as long. PostgreSQL looks for deadlocks
after a second: so only the migration ever gives up.
"""
_TRY_ENDED = ("SET LOCAL lock_timeout = 0", "SET LOCAL statement_timeout = 0")
_PAUSE_SECONDS = 0.2
_TABLES = """
SELECT string_agg(format('public.%I', relname), ', ' ORDER BY relname) FROM pg_class
 WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""


def _config(service: str) -> Config:
    config = Config()
    folder = Path(import_module(service).__path__[0]) / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(service: str, url: str, *, after_rollout: bool = False) -> list[str]:
    """Brings the database to the newest revision; answers what it lacked, oldest first.

    `url` names the owner role. Of two at once the second finds nothing to do.
    """
    config = _config(service)
    done: list[str] = []

    def work(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": Lock.MIGRATION})
        is_new = MigrationContext.configure(connection).get_current_revision() is None
        done.extend(_missing(ScriptDirectory.from_config(config), connection))
        if done:
            import_module(f"{service}.tables")  # env.py does, for a second: before callers wait
            _lock(connection, connection.scalar(text(_TABLES)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        left = columns_left(connection, service) if is_new or after_rollout else []
        for table, of_table in groupby(left, attrgetter("table")):
            columns = list(of_table)
            if not is_new:
                connection.commit()
                _lock(connection, table.name)
                done.extend(map(str, columns))
            keep_as_written(connection, table, columns)
        connection.commit()

    asyncio.run(_with_connection(url, work))
    return done


def _lock(connection: Connection, tables: str | None) -> None:
    """All before the first step on one: who holds one table and waits for another can deadlock.

    Raises DBAPIError if one has been in use all the time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while tables:
        try:
            with connection.begin_nested():
                for setting in _TRY:
                    connection.execute(text(setting))
                connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        except DBAPIError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            break
    for setting in _TRY_ENDED:
        connection.execute(text(setting))


def pending(service: str, url: str, *, after_rollout: bool = False) -> list[str]:
    """What `upgrade` would apply: revisions, oldest first, then what waits for the rollout."""
    script = ScriptDirectory.from_config(_config(service))
    found: list[str] = []

    def work(connection: Connection) -> None:
        found.extend(_missing(script, connection))
        if after_rollout:
            found.extend(map(str, columns_left(connection, service)))

    asyncio.run(_with_connection(url, work))
    return found


def revisions(service: str) -> list[str]:
    """All that this release has."""
    script = ScriptDirectory.from_config(_config(service))
    return [each.revision for each in script.walk_revisions()]


def pending_after(service: str, current: str | None) -> list[str]:
    """The revisions after that of a database, oldest first; needs no connection."""
    return _after(ScriptDirectory.from_config(_config(service)), current)


def _missing(script: ScriptDirectory, connection: Connection) -> list[str]:
    return _after(script, MigrationContext.configure(connection).get_current_revision())


def _after(script: ScriptDirectory, current: str | None) -> list[str]:
    """None when the database is at a revision that a later release made: they are numbered."""
    known = [each.revision for each in script.walk_revisions()]
    if current is not None and current not in known and current > max(known):
        return []
    return [each.revision for each in script.iterate_revisions("heads", current or "base")][::-1]


async def _with_connection(url: str, work: object) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=partial(connect, url))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(work)  # type: ignore[arg-type]
    finally:
        await engine.dispose()


def run_env(metadata: MetaData) -> None:
    """What every `migrations/env.py` calls: runs the steps on the connection it was handed."""
    from alembic import context

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


def draft(service: str, url: str, message: str) -> None:
    """Writes a new revision with what the tables have and the database has not."""
    config = _config(service)

    def work(connection: Connection) -> None:
        config.attributes["connection"] = connection
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")

    asyncio.run(_with_connection(url, work))


def add_mentions() -> None:
    """Adds to the stored answers whom they show (`chassis.idempotency`), in a step."""
    mentions: Column[list[str]] = Column(
        "mentions", ARRAY(ID), nullable=False, server_default=text("'{}'")
    )
    op.add_column("idempotency", mentions)
    op.create_index(
        "idempotency_mentions",
        "idempotency",
        ["mentions"],
        postgresql_using="gin",
        postgresql_where=text("mentions <> '{}'"),
    )


def remove_mentions() -> None:
    op.drop_index("idempotency_mentions", table_name="idempotency")
    op.drop_column("idempotency", "mentions")
