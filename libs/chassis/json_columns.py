"""Columns that keep JSON as it was written, where version 0.1 had jsonb, which writes numbers out.

A process of 0.1 answers 500 when the type of a column changes under a statement that it has
prepared. So the type changes when none runs any more; this release works with both types.
"""

from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import Column, Connection, MetaData, Table, cast, select, text, update
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.types import Text

from chassis.merge_patch import encoded_object

JSONB_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
 WHERE table_schema = 'public' AND data_type = 'jsonb'
"""
_LONG_NUMBER = "[0-9]{20}"


def columns_left(connection: Connection, service: str) -> list[Column[Any]]:
    """Those of the service that are declared as json and still are jsonb."""
    found = {(row.table_name, row.column_name) for row in connection.execute(text(JSONB_COLUMNS))}
    return declared_as_json(service, found)


def declared_as_json(service: str, found: Collection[tuple[str, str]]) -> list[Column[Any]]:
    """Those of `(table, column)` that should not be jsonb."""
    if not found:
        return []
    metadata: MetaData = import_module(f"{service}.tables").METADATA
    return [
        column
        for table in metadata.sorted_tables
        for column in table.columns
        if (table.name, column.name) in found and not isinstance(column.type, JSONB)
    ]


def keep_as_written(connection: Connection, table: Table, columns: Sequence[Column[Any]]) -> None:
    """Changes their types, in one rewrite. What jsonb has written out gets short again."""
    types = ", ".join(
        f"ALTER {each.name} TYPE json USING {each.name}::text::json" for each in columns
    )
    connection.execute(text(f"ALTER TABLE {table.name} {types}"))
    for column in columns:
        _shorten_numbers(connection, table, column)


def _shorten_numbers(connection: Connection, table: Table, column: Column[Any]) -> None:
    key, written = table.primary_key.columns, cast(column, Text)
    long = select(*key, written).where(written.regexp_match(_LONG_NUMBER))
    for *values, value in connection.execute(long).all():
        short = encoded_object(orjson.loads(value), column.name)
        where = [each == of_row for each, of_row in zip(key, values, strict=True)]
        change = update(table).where(*where).values({column.name: cast(text(":short"), JSON)})
        connection.execute(change, {"short": short})
