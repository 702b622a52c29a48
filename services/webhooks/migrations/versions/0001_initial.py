"""The tables of webhooks, and who keeps their partitions.

Partitions lie in a schema of their own, which only the owner's function touches. There is no
default partition: what fits nowhere is an error.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Weekly from the one that held thirty days ago to three weeks ahead; older ones go whole. A table
# in use is waited for shortly, so that nobody queues behind this; the next hour tries again.
KEEP_PARTITIONS = """
CREATE FUNCTION public.keep_partitions() RETURNS void
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
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        FOR week IN SELECT generate_series(kept, ahead, interval '1 week')::date LOOP
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS partitions.%I PARTITION OF public.%I'
                ' FOR VALUES FROM (%L) TO (%L)',
                parent || '_' || to_char(week, 'YYYYMMDD'),
                parent,
                week::timestamptz,
                (week + 7)::timestamptz
            );
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


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("delivery_id", sa.Text(collation="C"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("response_body", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "delivery_id", "number", "created_at"),
        postgresql_partition_by="RANGE (created_at)",
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
        "deliveries",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("event_type", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "id", "created_at"),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "deliveries_failed",
        "deliveries",
        ["tenant_id", "webhook_id", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_index(
        "erasures_open",
        "erasures",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("actor_id", sa.Text(collation="C"), nullable=True),
        sa.Column("only_webhook_id", sa.Text(collation="C"), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", "created_at"),
        postgresql_partition_by="RANGE (created_at)",
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
        "queue",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("delivery_id", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "delivery_id"),
    )
    op.create_index("queue_created_at", "queue", ["created_at"], unique=False)
    op.create_index(
        "queue_leased",
        "queue",
        ["tenant_id", "webhook_id"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "queue_ready",
        "queue",
        ["tenant_id", "webhook_id", "kind", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "queue_wake",
        "queue",
        ["wake_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'leased')"),
    )
    op.create_table(
        "webhooks",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", sa.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("ignore_actor_ids", sa.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_table(
        "secrets",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "webhook_id"], ["webhooks.tenant_id", "webhooks.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "created_at"),
    )
    op.execute("CREATE SCHEMA partitions")
    op.execute(KEEP_PARTITIONS)
    op.execute("REVOKE ALL ON FUNCTION public.keep_partitions() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION public.keep_partitions() TO webhooks")
    op.execute("SELECT public.keep_partitions()")


def downgrade() -> None:
    op.execute("DROP FUNCTION public.keep_partitions()")
    op.drop_table("secrets")
    op.drop_table("webhooks")
    op.drop_index(
        "queue_wake", table_name="queue", postgresql_where=sa.text("state IN ('waiting', 'leased')")
    )
    op.drop_index("queue_ready", table_name="queue", postgresql_where=sa.text("state = 'ready'"))
    op.drop_index("queue_leased", table_name="queue", postgresql_where=sa.text("state = 'leased'"))
    op.drop_index("queue_created_at", table_name="queue")
    op.drop_table("queue")
    op.drop_index(
        "outbox_unpublished", table_name="outbox", postgresql_where=sa.text("published_at IS NULL")
    )
    op.drop_index("outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_inbox_heard_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("events")
    op.drop_index(
        "erasures_open", table_name="erasures", postgresql_where=sa.text("done_at IS NULL")
    )
    op.drop_table("erasures")
    op.drop_index(
        "deliveries_failed", table_name="deliveries", postgresql_where=sa.text("status = 'failed'")
    )
    op.drop_table("deliveries")
    op.drop_table("dead_letters")
    op.drop_table("attempts")
    op.execute("DROP SCHEMA partitions")
