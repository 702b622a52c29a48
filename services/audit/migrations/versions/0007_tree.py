"""The Merkle tree of each trail (RFC 6962), in tiles of 256 hashes, and its signed checkpoints.

A leaf is what the chain digests of an event. Tiles are made by the owner's functions alone: by the
batch that appends the 256th event, and for trails of before some at a time, when a checkpoint is
due. A month of which a tile is missing is not dropped yet.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# What an event `e` is digested from after the digest `previous`, as in `audit.chain`.
_ENTRY = """convert_to(concat(
  '{"action":', to_json(e.action), ',"actor_id":', coalesce(to_json(e.actor_id)::text, 'null'),
  ',"actor_type":', to_json(e.actor_type), ',"changes":', e.changes,
  ',"created_at":"', to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'),
  CASE WHEN e.created_at <> date_trunc('second', e.created_at)
       THEN to_char(e.created_at, '.US') END,
  'Z","id":', to_json(e.id), ',"personal":', coalesce('"' || encode(e.commitment, 'hex') || '"', 'null'),
  ',"previous":', coalesce('"' || encode(%s, 'hex') || '"', 'null'),
  ',"reason":', coalesce(to_json(e.reason)::text, 'null'), ',"request_id":', to_json(e.request_id),
  ',"resource_id":', to_json(e.resource_id), ',"resource_type":', to_json(e.resource_type),
  ',"sequence":', e.sequence, ',"tenant_id":', to_json(e.tenant_id),
  ',"traceparent":', to_json(e.traceparent), '}'), 'UTF8')"""

# The hashes of the leaves in (after, until], or null while one is missing. What retention dropped
# before there was a tree has a leaf that says so.
LEAF_HASHES = f"""
CREATE FUNCTION leaf_hashes(of_tenant text, after bigint, until bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH floor AS (
    SELECT sequence, digest FROM public.checkpoints WHERE tenant_id = of_tenant
  ), stored AS (
    SELECT e.sequence, sha256('\\x00'::bytea || {_ENTRY % "e.previous"}) AS hash
      FROM (SELECT *, coalesce(
                     lag(digest) OVER (ORDER BY sequence),
                     (SELECT p.digest FROM public.events p
                       WHERE p.tenant_id = of_tenant AND p.sequence = after LIMIT 1),
                     (SELECT f.digest FROM floor f WHERE f.sequence >= after)) AS previous
              FROM public.events
             WHERE tenant_id = of_tenant AND sequence > after AND sequence <= until) AS e
  ), kept AS (
    SELECT sequence, hash FROM public.leaves
     WHERE tenant_id = of_tenant AND sequence > after AND sequence <= until
  ), dropped AS (
    SELECT n AS sequence, sha256('\\x00'::bytea || convert_to(concat(
             '{{"dropped":true,"sequence":', n, ',"tenant_id":', to_json(of_tenant), '}}'), 'UTF8'))
      FROM floor f, generate_series(after + 1, least(until, f.sequence)) AS n
     WHERE NOT EXISTS (SELECT FROM stored s WHERE s.sequence = n)
       AND NOT EXISTS (SELECT FROM kept k WHERE k.sequence = n)
  ), found AS (TABLE stored UNION ALL TABLE kept UNION ALL TABLE dropped)
  SELECT string_agg(hash, ''::bytea ORDER BY sequence) FROM found HAVING count(*) = until - after
$$
"""

TILE_ROOT = """
CREATE FUNCTION tile_root(hashes bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WHILE length(hashes) > 32 LOOP
    SELECT string_agg(sha256('\\x01'::bytea || substr(hashes, 64 * n + 1, 64)), ''::bytea ORDER BY n)
      INTO hashes FROM generate_series(0, length(hashes) / 64 - 1) AS n;
  END LOOP;
  RETURN hashes;
END $$
"""

APPEND_TILES = """
CREATE FUNCTION append_tiles(of_tenant text, at_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  complete bigint;
  number bigint;
  place bigint;
  height smallint;
  content bytea;
  made integer := 0;
BEGIN
  IF at_most IS NULL OR at_most NOT BETWEEN 1 AND 1000 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'append 1 to 1,000 tiles at a time';
  END IF;
  SELECT sequence / 256 INTO complete FROM public.heads
   WHERE tenant_id = of_tenant AND closed_at IS NULL;
  SELECT coalesce(max(index) + 1, 0) INTO number FROM public.tiles
   WHERE tenant_id = of_tenant AND level = 0;
  WHILE number < complete AND made < at_most LOOP
    content := public.leaf_hashes(of_tenant, number * 256, number * 256 + 256);
    EXIT WHEN content IS NULL;  -- an event is missing: nothing is signed of such a trail
    place := number;
    height := 0;
    LOOP
      INSERT INTO public.tiles (tenant_id, level, index, hashes, root)
      VALUES (of_tenant, height, place, content, public.tile_root(content)) ON CONFLICT DO NOTHING;
      EXIT WHEN place % 256 <> 255;
      place := place / 256;
      SELECT string_agg(root, ''::bytea ORDER BY index) INTO content FROM public.tiles
       WHERE tenant_id = of_tenant AND level = height
         AND index >= place * 256 AND index < place * 256 + 256;
      height := height + 1;
    END LOOP;
    number := number + 1;
    made := made + 1;
  END LOOP;
  DELETE FROM public.leaves WHERE tenant_id = of_tenant AND sequence <= number * 256;
  RETURN made;
END $$
"""

# A newer checkpoint takes the place of the one before; an older one changes nothing.
STORE_CHECKPOINT = """
CREATE FUNCTION store_checkpoint(of_tenant text, of_size bigint, signed text, keys text[])
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM public.heads
     WHERE tenant_id = of_tenant AND closed_at IS NULL AND sequence >= of_size
  ) THEN
    RETURN false;
  END IF;
  INSERT INTO public.signed_checkpoints AS c (tenant_id, size, note, signed_at)
  VALUES (of_tenant, of_size, signed, now())
  ON CONFLICT (tenant_id) DO UPDATE
     SET size = excluded.size, note = excluded.note, signed_at = excluded.signed_at
   WHERE excluded.size > c.size;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO public.verifier_keys (tenant_id, key)
  SELECT of_tenant, k FROM unnest(keys) WITH ORDINALITY AS given (k, n) ORDER BY n DESC
  ON CONFLICT DO NOTHING;
  RETURN true;
END $$
"""

MOVE_HEADS = f"""
CREATE OR REPLACE FUNCTION move_heads() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  misfit record;
BEGIN
  PERFORM FROM public.heads WHERE tenant_id IN (SELECT tenant_id FROM added)
    ORDER BY tenant_id FOR UPDATE;
  SELECT tenant_id, sequence INTO misfit FROM (
    SELECT e.tenant_id, e.sequence,
           e.sequence = h.sequence + row_number() OVER chain
           AND h.closed_at IS NULL
           AND e.filed_at = greatest(e.created_at, coalesce(lag(e.filed_at) OVER chain, h.filed_at))
           AND e.digest = sha256({_ENTRY % "coalesce(lag(e.digest) OVER chain, h.digest)"}) AS fits
      FROM added e LEFT JOIN public.heads h ON h.tenant_id = e.tenant_id
    WINDOW chain AS (PARTITION BY e.tenant_id ORDER BY e.sequence)
  ) AS links WHERE fits IS NOT TRUE LIMIT 1;
  IF FOUND THEN
    RAISE check_violation USING MESSAGE =
      format('event %s of %s does not continue its open trail', misfit.sequence, misfit.tenant_id);
  END IF;
  UPDATE public.heads h SET sequence = l.sequence, digest = l.digest, filed_at = l.filed_at
    FROM (SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest, filed_at FROM added
           ORDER BY tenant_id, sequence DESC) AS l
   WHERE h.tenant_id = l.tenant_id;
  -- Those whose tiles are complete up to here; the others catch up before their next checkpoint.
  PERFORM public.append_tiles(a.tenant_id, 1000)
     FROM (SELECT tenant_id, min(sequence) - 1 AS before, max(sequence) AS last FROM added
            GROUP BY tenant_id) AS a
    WHERE a.before / 256 < a.last / 256
      AND (a.before < 256 OR EXISTS (
        SELECT FROM public.tiles t
         WHERE t.tenant_id = a.tenant_id AND t.level = 0 AND t.index = a.before / 256 - 1));
  -- A checkpoint's own event makes no other checkpoint.
  INSERT INTO public.pending_checkpoints (tenant_id)
  SELECT DISTINCT tenant_id FROM added WHERE action <> 'audit.checkpoint'
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$
"""

ERASE_EVENTS = """
CREATE OR REPLACE FUNCTION erase_events(of_tenant text, at_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  below bigint;
  erased bigint;
BEGIN
  IF at_most IS NULL OR at_most NOT BETWEEN 1 AND 100000 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'erase 1 to 100,000 events at a time';
  END IF;
  -- The head stays, with its length and digest: a closed trail is never opened again.
  INSERT INTO public.marks (tenant_id, sequence, kind, digest)
  SELECT tenant_id, sequence, 'erased', digest FROM public.heads
   WHERE tenant_id = of_tenant AND closed_at IS NOT NULL
  ON CONFLICT DO NOTHING;
  IF NOT EXISTS (SELECT FROM public.marks WHERE tenant_id = of_tenant AND kind = 'erased') THEN
    RAISE EXCEPTION 'only a closed tenant is erased';
  END IF;
  SELECT sequence + at_most INTO below FROM public.events
   WHERE tenant_id = of_tenant ORDER BY sequence LIMIT 1;
  DELETE FROM public.personal
   WHERE tenant_id = of_tenant AND (below IS NULL OR sequence < below);
  DELETE FROM public.events WHERE tenant_id = of_tenant AND sequence < below;
  GET DIAGNOSTICS erased = ROW_COUNT;
  DELETE FROM public.tiles
   WHERE tenant_id = of_tenant AND (below IS NULL OR level = 0 AND index < below / 256);
  IF below IS NULL THEN
    DELETE FROM public.checkpoints WHERE tenant_id = of_tenant;
    DELETE FROM public.leaves WHERE tenant_id = of_tenant;
    DELETE FROM public.signed_checkpoints WHERE tenant_id = of_tenant;
    DELETE FROM public.verifier_keys WHERE tenant_id = of_tenant;
    DELETE FROM public.pending_checkpoints WHERE tenant_id = of_tenant;
  END IF;
  RETURN erased;
END $$
"""

DROP_PARTITIONS = """
CREATE OR REPLACE FUNCTION drop_partitions(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  part text;
  kept integer;
  lacks_tiles boolean;
  dropped integer := 0;
BEGIN
  SELECT days INTO kept FROM public.retention;
  -- An hour for clocks that differ.
  IF kept IS NULL OR before IS NULL OR before > now() - make_interval(days => kept, hours => -1) THEN
    RAISE insufficient_privilege USING MESSAGE =
      'older than the retention of the database only: `tenantry migrate` sets it';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('audit.months'));
  FOR part IN
    SELECT relname FROM pg_class
     WHERE relnamespace = 'months'::regnamespace AND relkind = 'r' AND relname LIKE 'events%'
       AND (to_date(substr(relname, 8), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
           <= before
     ORDER BY relname
  LOOP
    EXECUTE format('LOCK TABLE months.%I IN SHARE MODE', part);
    EXECUTE format(
      'SELECT EXISTS (
         SELECT FROM (SELECT tenant_id, max(sequence) AS sequence FROM months.%I
                       GROUP BY tenant_id) AS last
           JOIN public.heads h USING (tenant_id)
          WHERE h.closed_at IS NULL AND last.sequence >= 256 AND NOT EXISTS (
            SELECT FROM public.tiles t WHERE t.tenant_id = last.tenant_id AND t.level = 0
               AND t.index = last.sequence / 256 - 1))', part) INTO lacks_tiles;
    EXIT WHEN lacks_tiles;  -- its hashes would be lost; the next checkpoints make them
    -- Leaves that are in no tile yet: at most 255 of a tenant.
    EXECUTE format(
      'INSERT INTO public.leaves (tenant_id, sequence, hash)
       SELECT e.tenant_id, e.sequence, public.leaf_hashes(e.tenant_id, e.sequence - 1, e.sequence)
         FROM (SELECT tenant_id, max(sequence) AS sequence FROM months.%1$I
                GROUP BY tenant_id) AS last
         JOIN public.heads h ON h.tenant_id = last.tenant_id AND h.closed_at IS NULL
         JOIN months.%1$I e ON e.tenant_id = last.tenant_id
          AND e.sequence > last.sequence / 256 * 256
        WHERE NOT EXISTS (
          SELECT FROM public.tiles t WHERE t.tenant_id = last.tenant_id AND t.level = 0
             AND t.index = last.sequence / 256)
       ON CONFLICT DO NOTHING', part);
    EXECUTE format(
      'WITH last AS (
         SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest FROM months.%I
          ORDER BY tenant_id, sequence DESC
       ), marked AS (
         INSERT INTO public.marks (tenant_id, sequence, kind, digest)
         SELECT tenant_id, sequence, ''dropped'', digest FROM last
         ON CONFLICT DO NOTHING
       )
       INSERT INTO public.checkpoints AS c (tenant_id, sequence, digest)
       SELECT tenant_id, sequence, digest FROM last
       ON CONFLICT (tenant_id) DO UPDATE
          SET sequence = excluded.sequence, digest = excluded.digest
        WHERE excluded.sequence > c.sequence', part);
    EXECUTE format('DROP TABLE months.%I', part);
    EXECUTE format('DROP TABLE months.%I', 'personal_' || substr(part, 8));
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$
"""

_OWN = "tile_root(bytea), leaf_hashes(text, bigint, bigint)"
_CALLED = "append_tiles(text, integer), store_checkpoint(text, bigint, text, text[])"
GRANTS = (
    f"REVOKE ALL ON FUNCTION {_OWN}, {_CALLED} FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION leaf_hashes(text, bigint, bigint), {_CALLED} TO audit",
    "GRANT SELECT ON tiles, leaves, signed_checkpoints, verifier_keys TO audit",
    "GRANT SELECT, DELETE ON pending_checkpoints TO audit",
    # Hashes are random: PostgreSQL would try in vain to compress them.
    "ALTER TABLE tiles ALTER COLUMN hashes SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    op.create_table(
        "tiles",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "level", "index"),
    )
    op.create_table(
        "leaves",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sequence"),
    )
    op.create_table(
        "signed_checkpoints",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "verifier_keys",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key"),
    )
    op.create_table(
        "pending_checkpoints",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    connection = op.get_bind()
    functions = (
        LEAF_HASHES,
        TILE_ROOT,
        APPEND_TILES,
        STORE_CHECKPOINT,
        MOVE_HEADS,
        ERASE_EVENTS,
        DROP_PARTITIONS,
    )
    for statement in (*functions, *GRANTS):
        connection.exec_driver_sql(statement)
    # The tiles of these trails are made before their first checkpoint, some at a time.
    op.execute(
        "INSERT INTO pending_checkpoints (tenant_id)"
        " SELECT tenant_id FROM heads WHERE sequence > 0 AND closed_at IS NULL"
    )


def downgrade() -> None:
    before = import_module("audit.migrations.versions.0004_fixed_past")
    connection = op.get_bind()
    for function in (before.MOVE_HEADS, before.ERASE_EVENTS, before.DROP_PARTITIONS):
        statement = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        connection.exec_driver_sql(statement)
    op.execute("DROP FUNCTION append_tiles, store_checkpoint, leaf_hashes, tile_root")
    for table in ("tiles", "leaves", "signed_checkpoints", "verifier_keys", "pending_checkpoints"):
        op.drop_table(table)
