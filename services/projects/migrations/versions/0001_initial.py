"""The tables of projects."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
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
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "heard_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_inbox_heard_at"), "inbox", ["heard_at"], unique=False)
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
        "tenants",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "search",
            sa.Text(),
            sa.Computed("lower((name || E'\\n' || slug) COLLATE \"default\")", persisted=True),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug", name="tenants_slug_key"),
    )
    op.create_index(
        "tenants_by_name", "tenants", [sa.literal_column('name COLLATE "C"'), "id"], unique=False
    )
    op.create_index(
        "tenants_search",
        "tenants",
        ["search"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_id", sa.Text(collation="C"), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("created_by", sa.Text(collation="C"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_hash", sa.Text(collation="C"), nullable=True),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index(
        "api_keys_by_project", "api_keys", ["tenant_id", "project_id", "id"], unique=False
    )
    op.create_index("api_keys_id_key", "api_keys", ["id"], unique=True)
    op.create_index("api_keys_previous_secret_key", "api_keys", ["previous_hash"], unique=True)
    op.create_index("api_keys_secret_key", "api_keys", ["secret_hash"], unique=True)
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("service", sa.Text(collation="C"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "service"),
    )
    op.create_table(
        "projects",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(collation="C"), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("allowed_origins", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("allowed_redirects", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "search",
            sa.Text(),
            sa.Computed("lower((name || E'\\n' || slug) COLLATE \"default\")", persisted=True),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "slug", name="projects_slug_key"),
    )
    op.create_index(
        "projects_by_name",
        "projects",
        ["tenant_id", sa.literal_column('name COLLATE "C"'), "id"],
        unique=False,
    )
    op.create_index(
        "projects_search",
        "projects",
        ["tenant_id", "search"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.create_table(
        "refusals",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key_id", sa.Text(collation="C"), nullable=False),
        sa.Column("ip_address", sa.Text(collation="C"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", "ip_address"),
    )
    op.create_index(op.f("ix_refusals_recorded_at"), "refusals", ["recorded_at"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "project_id", "id"),
    )
    op.create_index(
        "signing_keys_active_key",
        "signing_keys",
        ["tenant_id", "project_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index("signing_keys_by_project", "signing_keys", ["project_id"], unique=False)
    op.create_index(
        "signing_keys_next_key",
        "signing_keys",
        ["tenant_id", "project_id"],
        unique=True,
        postgresql_where=sa.text("status = 'next'"),
    )


def downgrade() -> None:
    op.drop_index(
        "signing_keys_next_key",
        table_name="signing_keys",
        postgresql_where=sa.text("status = 'next'"),
    )
    op.drop_index("signing_keys_by_project", table_name="signing_keys")
    op.drop_index(
        "signing_keys_active_key",
        table_name="signing_keys",
        postgresql_where=sa.text("status = 'active'"),
    )
    op.drop_table("signing_keys")
    op.drop_index(op.f("ix_refusals_recorded_at"), table_name="refusals")
    op.drop_table("refusals")
    op.drop_index(
        "projects_search",
        table_name="projects",
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.drop_index("projects_by_name", table_name="projects")
    op.drop_table("projects")
    op.drop_table("erasures")
    op.drop_index("api_keys_secret_key", table_name="api_keys")
    op.drop_index("api_keys_previous_secret_key", table_name="api_keys")
    op.drop_index("api_keys_id_key", table_name="api_keys")
    op.drop_index("api_keys_by_project", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index(
        "tenants_search",
        table_name="tenants",
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.drop_index("tenants_by_name", table_name="tenants")
    op.drop_table("tenants")
    op.drop_index(
        "outbox_unpublished", table_name="outbox", postgresql_where=sa.text("published_at IS NULL")
    )
    op.drop_index("outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_inbox_heard_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_index(op.f("ix_idempotency_created_at"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("dead_letters")
