"""Data in bulk, made by PostgreSQL itself: users, members and audit events of a tenant.

Secondary indexes are dropped meanwhile and made again where that is faster. Identifiers have the
form of the real ones; ordinals of events are as if they had been counted one by one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from bench.cloning import SUFFIX

REBUILD_FROM = 100_000
"""Rows from which on making the indexes anew is faster than keeping them."""

_USERS = f"""
INSERT INTO users (tenant_id, id, email, email_verified, username, name, external_id, status,
                   metadata, last_sign_in_at, version, created_at, updated_at)
SELECT $1, 'usr_' || {SUFFIX}, 'user' || n || '@example.com', true, 'user' || n,
       CASE WHEN n = $2 / 2 THEN 'Zebulon Quixley'
            ELSE (ARRAY['Ada','Bela','Cleo','Dora','Emil','Fritz','Greta','Hugo','Ida','Jonas',
                        'Karla','Linus','Mira','Nora','Otto','Paula','Quentin','Rosa','Sven',
                        'Thea'])[1 + n % 20] || ' ' ||
                 (ARRAY['Smith','Abel','Berger','Conrad','Dietz','Ebert','Falk','Gruber','Huber',
                        'Imhof','Jung','Keller','Lang','Maurer','Neumann','Ott','Peters','Roth',
                        'Schmid','Tanner'])[1 + n / 20 % 20] END,
       'ext-' || n, CASE WHEN n % 20 = 0 THEN 'suspended' ELSE 'active' END,
       '{{"plan": "pro"}}', CASE WHEN n % 3 > 0 THEN now() - n % 100000 * interval '1 minute' END,
       1, now() - ($2 - n) * interval '20 seconds', now()
  FROM generate_series(1, $2::int) n
"""
_OTHER_USERS = f"""
INSERT INTO users (tenant_id, id, email, email_verified, username, name, external_id, status,
                   metadata, version, created_at, updated_at)
SELECT 'ten_01jy' || lpad(to_hex(t), 6, '0') || 'e008000000000000', 'usr_' || {SUFFIX},
       'user' || n || '@example.org', false, NULL, 'Somebody Smith', NULL, 'active', '{{}}', 1,
       now() - n * interval '1 hour', now()
  FROM generate_series(1, $1::int) t, generate_series(1, $2::int) n
"""
_MEMBERS = """
INSERT INTO members (tenant_id, organization_id, user_id, role, permissions, joined_at)
SELECT tenant_id, $2, id, CASE WHEN number = 1 THEN 'owner' ELSE 'member' END, '{}', created_at
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM users
         WHERE tenant_id = $1 ORDER BY id LIMIT $3) AS numbered
"""
_COUNT_MEMBERS = "UPDATE organizations SET member_count = $3 WHERE tenant_id = $1 AND id = $2"

_EVENT = """
SELECT n, (n - 1) % 8 AS kind, (n - 1) % 10 AS actor, (n - 1) / 8 AS turn,
       (ARRAY['user.created','user.updated','organization.created','organization.updated',
              'member.added','project.created','api_key.created','session.created']
       )[1 + (n - 1) % 8] AS action,
       now() - interval '1 day' - ($2 - n) * (interval '360 days' / $2) AS at
  FROM generate_series(1, $2::int) n
"""
_EVENTS = f"""
INSERT INTO events (tenant_id, sequence, filed_at, id, action, resource_type, resource_id,
  actor_type, actor_id, request_id, traceparent, changes, created_at, commitment, digest, lateness,
  action_ordinal, resource_type_ordinal, actor_type_ordinal, actor_id_ordinal,
  resource_id_ordinal)
SELECT $1, n, at, 'evt_' || {SUFFIX}, action, split_part(action, '.', 1), 'usr_' || {SUFFIX},
       'api_key', 'key_01jz00000' || actor || 'e008000000000000', 'req_' || n,
       '00-' || lpad(to_hex(n), 32, '0') || '-0000000000000001-01', '{{}}', at,
       '\\x00'::bytea, sha256(int4send(n)), 0,
       turn + 1, CASE WHEN kind < 4 THEN turn * 2 + kind % 2 + 1 ELSE turn + 1 END,
       n, (n - 1) / 10 + 1, 1
  FROM ({_EVENT}) AS made
"""
_PERSONAL = f"""
INSERT INTO personal (tenant_id, sequence, filed_at, salt, ip_address, user_agent, changes)
SELECT $1, n, at, sha256(int4send(n)), '192.0.2.1', 'bench', '{{}}' FROM ({_EVENT}) AS made
"""
_HEAD = """
INSERT INTO heads (tenant_id, sequence, digest, filed_at)
SELECT tenant_id, sequence, digest, filed_at FROM events
 WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1
ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence, filed_at = excluded.filed_at
"""
_MONTHS = """
SELECT make_partitions(array_agg(month::date)) FROM generate_series(
  date_trunc('month', now() - interval '14 months'), now(), interval '1 month') AS month
"""
_INDEXES = """
SELECT relname AS name, pg_get_indexdef(indexrelid) AS made_by
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indrelid = $1::regclass AND NOT EXISTS (
       SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


async def users(conn: asyncpg.Connection, tenant_id: str, count: int) -> None:
    """So many users; one of them has a name that nobody else has."""
    async with _without_indexes(conn, count, "users"):
        await conn.execute(_USERS, tenant_id, count)
    await conn.execute("VACUUM ANALYZE users")


async def written_users(conn: asyncpg.Connection, tenant_id: str, count: int) -> None:
    """So many more users, as writers leave them: their entries wait in the lists of the indexes."""
    await conn.execute(_USERS, tenant_id, count)


async def other_tenants(conn: asyncpg.Connection, tenants: int, each: int) -> None:
    """Tenants that are only in the way, with so many users each."""
    async with _without_indexes(conn, tenants * each, "users"):
        await conn.execute(_OTHER_USERS, tenants, each)
    await conn.execute("VACUUM ANALYZE users")


async def members(
    conn: asyncpg.Connection, tenant_id: str, organization_id: str, count: int
) -> None:
    """The tenant's first users become members; the first of all its owner."""
    await conn.execute(_MEMBERS, tenant_id, organization_id, count)
    await conn.execute(_COUNT_MEMBERS, tenant_id, organization_id, count)
    await conn.execute("VACUUM ANALYZE members")


async def events(conn: asyncpg.Connection, tenant_id: str, count: int) -> None:
    """Events of the last year, each with a personal part. They are not chained: `conn` is that of a
    superuser, who can switch the triggers off that would refuse them.
    """
    await conn.execute("SET session_replication_role = replica")
    await conn.execute(_MONTHS)
    # What the making of the tenant told is there already, or comes at any moment.
    async with _without_indexes(conn, count, "events", "personal"), conn.transaction():
        await conn.execute("DELETE FROM personal WHERE tenant_id = $1", tenant_id)
        await conn.execute("DELETE FROM events WHERE tenant_id = $1", tenant_id)
        await conn.execute(_EVENTS, tenant_id, count)
        await conn.execute(_PERSONAL, tenant_id, count)
        await conn.execute(_HEAD, tenant_id)
    await conn.execute("VACUUM ANALYZE events")
    await conn.execute("VACUUM ANALYZE personal")
    await conn.execute("RESET session_replication_role")


@asynccontextmanager
async def _without_indexes(
    conn: asyncpg.Connection, count: int, *tables: str
) -> AsyncIterator[None]:
    indexes: list[asyncpg.Record] = []
    if count >= REBUILD_FROM:
        for table in tables:
            indexes += await conn.fetch(_INDEXES, table)
    for index in indexes:
        await conn.execute(f'DROP INDEX "{index["name"]}"')
    yield
    await conn.execute("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        await conn.execute(index["made_by"].replace(" ON ONLY ", " ON "))
