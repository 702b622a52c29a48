"""Retention drops one month in a transaction.

From the drop of a month until the end of the transaction nobody can read the trail, and the next
month had to be looked through in it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

# As in 0007.
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
     ORDER BY relname {limit}
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


def upgrade() -> None:
    op.execute(DROP_PARTITIONS.format(limit="LIMIT 1"))


def downgrade() -> None:
    op.execute(DROP_PARTITIONS.format(limit=""))
