"""Deliveries are counted as they come, end and go: by webhook, day, type and status.

Every statement that changes the number of some adds the difference to the rows of their days. What
fan-out counts and what the results of attempts count are rows of their own (`created` and the final
statuses), so that neither waits for the other; those that are pending are the difference. Counts go
with the partitions of their days, in the same transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

COUNT = """
CREATE FUNCTION public.count_deliveries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO public.delivery_counts AS stored
    SELECT tenant_id, webhook_id, date_trunc('day', created_at, 'UTC'), event_type, counted, count(*)
      FROM added, LATERAL (VALUES ('created'), (status)) AS each (counted)
     WHERE counted <> 'pending'
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT ON CONSTRAINT delivery_counts_pkey
    DO UPDATE SET count = stored.count + excluded.count;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO public.delivery_counts AS stored
    SELECT tenant_id, webhook_id, date_trunc('day', created_at, 'UTC'), event_type, counted,
           -count(*)
      FROM removed, LATERAL (VALUES ('created'), (status)) AS each (counted)
     WHERE counted <> 'pending'
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT ON CONSTRAINT delivery_counts_pkey
    DO UPDATE SET count = stored.count + excluded.count;
  ELSE
    INSERT INTO public.delivery_counts AS stored
    SELECT tenant_id, webhook_id, date_trunc('day', created_at, 'UTC'), event_type, status, sum(n)
      FROM (SELECT tenant_id, webhook_id, created_at, event_type, status, 1 AS n FROM added
            UNION ALL
            SELECT tenant_id, webhook_id, created_at, event_type, status, -1 FROM removed
           ) AS changed
     WHERE status <> 'pending'
     GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT ON CONSTRAINT delivery_counts_pkey
    DO UPDATE SET count = stored.count + excluded.count;
  END IF;
  RETURN NULL;
END $$
"""
TRIGGERS = tuple(
    f"""
CREATE TRIGGER count_{event.lower()} AFTER {event} ON deliveries REFERENCING {rows}
FOR EACH STATEMENT EXECUTE FUNCTION public.count_deliveries()
"""
    for event, rows in (
        ("INSERT", "NEW TABLE AS added"),
        ("UPDATE", "NEW TABLE AS added OLD TABLE AS removed"),
        ("DELETE", "OLD TABLE AS removed"),
    )
)
COUNT_STORED = """
INSERT INTO delivery_counts
SELECT tenant_id, webhook_id, date_trunc('day', created_at, 'UTC'), event_type, counted, count(*)
  FROM deliveries, LATERAL (VALUES ('created'), (status)) AS each (counted)
 WHERE counted <> 'pending' GROUP BY 1, 2, 3, 4, 5
"""
# As in 0001. Counts are deleted before a table is locked, so that nobody waits for that. A partition
# is planned with its own statistics: see 0012.
KEEP_PARTITIONS = """
CREATE OR REPLACE FUNCTION public.keep_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $$
DECLARE
    kept CONSTANT date := date_trunc('week', now() - interval '30 days')::date;
    ahead CONSTANT date := (now() + interval '3 weeks')::date;
    parent text;
    week date;
    old regclass;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('keep_partitions'));
    {delete_counts}
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        FOR week IN SELECT generate_series(kept, ahead, interval '1 week')::date LOOP
            CONTINUE WHEN to_regclass('partitions.' || parent || '_' || to_char(week, 'YYYYMMDD'))
                IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE partitions.%I PARTITION OF public.%I'
                ' FOR VALUES FROM (%L) TO (%L)',
                parent || '_' || to_char(week, 'YYYYMMDD'),
                parent,
                week::timestamptz,
                (week + 7)::timestamptz
            );
            EXECUTE format('ALTER TABLE partitions.%I ALTER tenant_id SET (n_distinct = -0.001)',
                parent || '_' || to_char(week, 'YYYYMMDD'));
        END LOOP;
        FOR old IN
            SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = format('public.%I', parent)::regclass
               AND right(relname, 8) < to_char(kept, 'YYYYMMDD')
        LOOP
            EXECUTE format('DROP TABLE %s', old);
        END LOOP;
    END LOOP;
END
$$
"""
DELETE_COUNTS = "DELETE FROM public.delivery_counts WHERE day < kept;"


def upgrade() -> None:
    op.create_table(
        "delivery_counts",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_type", sa.Text(collation="C"), nullable=False),
        sa.Column("counted", sa.Text(collation="C"), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "day", "event_type", "counted"),
        # A row changes with every batch of its day: with room beside it, no index changes.
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("delivery_counts_by_day", "delivery_counts", ["day"], unique=False)
    # The triggers first: they keep writers away until what is there is counted.
    for statement in (COUNT, *TRIGGERS, COUNT_STORED):
        op.execute(statement)
    op.execute(KEEP_PARTITIONS.format(delete_counts=DELETE_COUNTS))


def downgrade() -> None:
    op.execute(KEEP_PARTITIONS.format(delete_counts=""))
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER count_{event} ON deliveries")
    op.execute("DROP FUNCTION public.count_deliveries()")
    op.drop_index("delivery_counts_by_day", table_name="delivery_counts")
    op.drop_table("delivery_counts")
