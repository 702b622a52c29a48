"""The log, its partitions by month, and who may do what with them.

The runtime role may only append to the log. What else must be possible (months made and dropped,
a tenant erased) is done by functions of the owner, each of which does that one thing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# The partitions lie in a schema that nobody but the owner names.
MAKE_PARTITIONS = """
CREATE FUNCTION make_partitions(months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  month date;
  parent text;
  part text;
BEGIN
  FOREACH month IN ARRAY months LOOP
    CONTINUE WHEN to_regclass(format('months.events_%s', to_char(month, 'YYYY_MM'))) IS NOT NULL;
    PERFORM pg_advisory_xact_lock(hashtext('audit.months'));
    FOREACH parent IN ARRAY ARRAY['events', 'personal'] LOOP
      part := parent || '_' || to_char(month, 'YYYY_MM');
      CONTINUE WHEN to_regclass('months.' || part) IS NOT NULL;
      -- Made aside and attached: that stops no reader and no writer of the other months.
      EXECUTE format('CREATE TABLE months.%I (LIKE public.%I INCLUDING ALL)', part, parent);
      EXECUTE format(
        'ALTER TABLE public.%I ATTACH PARTITION months.%I FOR VALUES FROM (%L) TO (%L)',
        parent, part,
        month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
  END LOOP;
END $$
"""

DROP_PARTITIONS = """
CREATE FUNCTION drop_partitions(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  part text;
  dropped integer := 0;
BEGIN
  IF before > now() - interval '1 day' THEN
    RAISE EXCEPTION 'events of the last day are never dropped';
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
      'INSERT INTO public.checkpoints AS c (tenant_id, sequence, digest)
       SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest FROM months.%I
        ORDER BY tenant_id, sequence DESC
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

ERASE_EVENTS = """
CREATE FUNCTION erase_events(of_tenant text, at_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  below bigint;
  erased bigint;
BEGIN
  IF NOT EXISTS (
    SELECT FROM public.heads WHERE tenant_id = of_tenant AND closed_at IS NOT NULL
  ) THEN
    RAISE EXCEPTION 'only a closed tenant is erased';
  END IF;
  SELECT sequence + at_most INTO below FROM public.events
   WHERE tenant_id = of_tenant ORDER BY sequence LIMIT 1;
  DELETE FROM public.personal
   WHERE tenant_id = of_tenant AND (below IS NULL OR sequence < below);
  DELETE FROM public.events WHERE tenant_id = of_tenant AND sequence < below;
  GET DIAGNOSTICS erased = ROW_COUNT;
  IF below IS NULL THEN
    DELETE FROM public.checkpoints WHERE tenant_id = of_tenant;
  END IF;
  RETURN erased;
END $$
"""

# Every query goes by the index of what it asks for, whatever a month's statistics say: they are
# nothing when a month begins, and planning over the months of years costs more than a page does.
_PLANNING = ("plan_cache_mode = force_generic_plan", "enable_seqscan = off", "enable_sort = off")
SETTINGS = tuple(
    f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {each}', current_database()); END $$"
    for each in _PLANNING
)

_FUNCTIONS = "make_partitions(date[]), drop_partitions(timestamptz), erase_events(text, integer)"
GRANTS = (
    "GRANT SELECT, INSERT ON events TO audit",
    "GRANT SELECT ON checkpoints TO audit",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON personal, heads, counters TO audit",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON forgotten, erasures, idempotency TO audit",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON inbox, outbox, dead_letters TO audit",
    f"REVOKE ALL ON FUNCTION {_FUNCTIONS} FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION {_FUNCTIONS} TO audit",
)


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "counters",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("dimension", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(collation="C"), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "dimension", "value"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column(
            "failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("request_id", sa.Text(collation="C"), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("action", sa.Text(collation="C"), nullable=False),
        sa.Column("resource_type", sa.Text(collation="C"), nullable=False),
        sa.Column("resource_id", sa.Text(collation="C"), nullable=False),
        sa.Column("actor_type", sa.Text(collation="C"), nullable=False),
        sa.Column("actor_id", sa.Text(collation="C"), nullable=True),
        sa.Column("request_id", sa.Text(collation="C"), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("lateness", sa.SmallInteger(), nullable=False),
        sa.Column("action_ordinal", sa.BigInteger(), nullable=False),
        sa.Column("resource_type_ordinal", sa.BigInteger(), nullable=False),
        sa.Column("actor_type_ordinal", sa.BigInteger(), nullable=False),
        sa.Column("actor_id_ordinal", sa.BigInteger(), nullable=True),
        sa.Column("resource_id_ordinal", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", "filed_at"),
        postgresql_partition_by="RANGE (filed_at)",
    )
    op.create_index(
        "events_action_milestones",
        "events",
        ["tenant_id", "action", "action_ordinal"],
        unique=False,
        postgresql_where=sa.text("action_ordinal % 64 = 0"),
    )
    op.create_index(
        "events_actor_id_milestones",
        "events",
        ["tenant_id", "actor_id", "actor_id_ordinal"],
        unique=False,
        postgresql_where=sa.text("actor_id_ordinal % 64 = 0"),
    )
    op.create_index(
        "events_actor_type_milestones",
        "events",
        ["tenant_id", "actor_type", "actor_type_ordinal"],
        unique=False,
        postgresql_where=sa.text("actor_type_ordinal % 64 = 0"),
    )
    op.create_index("events_by_action", "events", ["tenant_id", "action", "sequence"], unique=False)
    op.create_index(
        "events_by_actor_id", "events", ["tenant_id", "actor_id", "sequence"], unique=False
    )
    op.create_index(
        "events_by_actor_type", "events", ["tenant_id", "actor_type", "sequence"], unique=False
    )
    op.create_index(
        "events_by_filed_at", "events", ["tenant_id", "filed_at", "sequence"], unique=False
    )
    op.create_index("events_by_id", "events", ["tenant_id", "id"], unique=False)
    op.create_index(
        "events_by_request_id", "events", ["tenant_id", "request_id", "sequence"], unique=False
    )
    op.create_index(
        "events_by_resource_id", "events", ["tenant_id", "resource_id", "sequence"], unique=False
    )
    op.create_index(
        "events_by_resource_type",
        "events",
        ["tenant_id", "resource_type", "sequence"],
        unique=False,
    )
    op.create_index(
        "events_late",
        "events",
        ["tenant_id", "lateness", "filed_at"],
        unique=False,
        postgresql_where=sa.text("lateness > 0"),
    )
    op.create_index(
        "events_resource_id_milestones",
        "events",
        ["tenant_id", "resource_id", "resource_id_ordinal"],
        unique=False,
        postgresql_where=sa.text("resource_id_ordinal % 64 = 0"),
    )
    op.create_index(
        "events_resource_type_milestones",
        "events",
        ["tenant_id", "resource_type", "resource_type_ordinal"],
        unique=False,
        postgresql_where=sa.text("resource_type_ordinal % 64 = 0"),
    )
    op.create_table(
        "forgotten",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
    )
    op.create_table(
        "heads",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "heard_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ix_inbox_heard_at", "inbox", ["heard_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("outbox_published_at", "outbox", ["published_at"], unique=False)
    op.create_index(
        "outbox_unpublished",
        "outbox",
        ["position"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "personal",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("actor_user", sa.Text(collation="C"), nullable=True),
        sa.Column("about_user", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", "filed_at"),
        postgresql_partition_by="RANGE (filed_at)",
    )
    op.create_index(
        "personal_by_actor",
        "personal",
        ["tenant_id", "actor_user"],
        unique=False,
        postgresql_where=sa.text("actor_user IS NOT NULL"),
    )
    op.create_index(
        "personal_by_subject",
        "personal",
        ["tenant_id", "about_user"],
        unique=False,
        postgresql_where=sa.text("about_user IS NOT NULL"),
    )
    connection = op.get_bind()
    connection.exec_driver_sql("CREATE SCHEMA months")
    for statement in (MAKE_PARTITIONS, DROP_PARTITIONS, ERASE_EVENTS, *GRANTS, *SETTINGS):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION make_partitions, drop_partitions, erase_events")
    for table in (
        "personal",
        "outbox",
        "inbox",
        "idempotency",
        "heads",
        "forgotten",
        "events",
        "erasures",
        "dead_letters",
        "counters",
        "checkpoints",
    ):
        op.drop_table(table)
    op.execute("DROP SCHEMA months")
