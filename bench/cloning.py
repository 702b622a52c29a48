"""Rows in bulk, each a copy of one that the product made: they have the form of the real ones."""

from collections.abc import Mapping

import asyncpg

BATCH = 500_000
"""Rows of one statement: triggers of the product keep what a statement writes until its end."""

# The last sign is of all 32, as in the real ones.
_LAST = "1 + get_byte(decode(md5(n::text), 'hex'), 0) % 32"
SUFFIX = (
    "'01jz' || lpad(to_hex(n), 6, '0') || 'e00800' || lpad(to_hex(n), 9, '0')"
    f" || substr('0123456789abcdefghjkmnpqrstvwxyz', {_LAST}, 1)"
)
"""Of an identifier, by the number `n`: they sort by it."""
AGO = "now() - ({count} - n) * interval '1 second'"
"""A time by the number `n`: the last row is of now."""
_COLUMNS = """
SELECT attname FROM pg_attribute
 WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
   AND attidentity = ''
"""


async def clone(
    conn: asyncpg.Connection, table: str, row: Mapping[str, str], count: int, **other: str
) -> None:
    """Copies the only row with these values so many times. `other` are the columns that differ, as
    SQL in which `n` is the number of the copy.
    """
    columns = [each["attname"] for each in await conn.fetch(_COLUMNS, table)]
    values = [other.get(each, f"original.{each}") for each in columns]
    where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(row, 1))
    await conn.execute("DROP TABLE IF EXISTS pg_temp.original")
    await conn.execute(f"CREATE TEMP TABLE original AS SELECT * FROM {table} LIMIT 0")
    await conn.execute(f"INSERT INTO original SELECT * FROM {table} WHERE {where}", *row.values())
    for first in range(1, count + 1, BATCH):
        await conn.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)}"
            f" FROM original, generate_series({first}, {min(first + BATCH - 1, count)}) AS n"
        )
    await conn.execute(f"VACUUM ANALYZE {table}")
