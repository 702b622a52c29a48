"""The tables of identity."""

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
        "erasures",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
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
        "organizations",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(collation="C"), nullable=False),
        sa.Column("logo_url", sa.Text(), nullable=True),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "search",
            sa.Text(),
            sa.Computed("lower((name || E'\\n' || slug) COLLATE \"default\")", persisted=True),
            nullable=True,
        ),
        sa.Column("max_members", sa.Integer(), nullable=True),
        sa.Column("member_count", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "slug", name="organizations_slug_key"),
    )
    op.create_index(
        "organizations_by_name",
        "organizations",
        ["tenant_id", sa.literal_column('name COLLATE "C"'), "id"],
        unique=False,
    )
    op.create_index(
        "organizations_search",
        "organizations",
        ["tenant_id", "search"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
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
        "users",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column(
            "email_key",
            sa.Text(collation="C"),
            sa.Computed("lower(email)", persisted=True),
            nullable=True,
        ),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(collation="C"), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "signed_in_order",
            sa.DateTime(timezone=True),
            sa.Computed("coalesce(last_sign_in_at, '1970-01-01 00:00:00+00')", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "search",
            sa.Text(),
            sa.Computed(
                "lower((E'\\n' || email || E'\\n' || coalesce(username, '') || E'\\n' || coalesce(name, '') || E'\\n' || coalesce(external_id, '')) COLLATE \"default\")",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("users_by_creation", "users", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "users_by_sign_in", "users", ["tenant_id", "signed_in_order", "id"], unique=False
    )
    op.create_index("users_by_status", "users", ["tenant_id", "status", "id"], unique=False)
    op.create_index("users_email_key", "users", ["tenant_id", "email_key"], unique=True)
    op.create_index("users_external_id_key", "users", ["tenant_id", "external_id"], unique=True)
    op.create_index(
        "users_search",
        "users",
        ["tenant_id", "search"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.create_index(
        "users_username_key",
        "users",
        ["tenant_id", sa.literal_column("lower(username)")],
        unique=True,
    )
    op.create_table(
        "invitations",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column(
            "email_key",
            sa.Text(collation="C"),
            sa.Computed("lower(email)", persisted=True),
            nullable=True,
        ),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("invited_by", sa.Text(collation="C"), nullable=True),
        sa.Column("lifetime", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "organization_id", "id"),
    )
    op.create_index("invitations_by_email", "invitations", ["tenant_id", "email_key"], unique=False)
    op.create_index(
        "invitations_pending_key",
        "invitations",
        ["tenant_id", "organization_id", "email_key"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("invitations_token_key", "invitations", ["token_hash"], unique=True)
    op.create_table(
        "members",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("organization_id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "organization_id", "user_id"),
    )
    op.create_index(
        "members_by_joining",
        "members",
        ["tenant_id", "organization_id", "joined_at", "user_id"],
        unique=False,
    )
    op.create_index(
        "members_by_role",
        "members",
        ["tenant_id", "organization_id", "role", "joined_at", "user_id"],
        unique=False,
    )
    op.create_index(
        "members_by_user", "members", ["tenant_id", "user_id", "organization_id"], unique=False
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_id", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_active_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("sessions_by_project", "sessions", ["tenant_id", "project_id"], unique=False)
    op.create_index("sessions_by_user", "sessions", ["tenant_id", "user_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("sessions_by_user", table_name="sessions")
    op.drop_index("sessions_by_project", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("members_by_user", table_name="members")
    op.drop_index("members_by_role", table_name="members")
    op.drop_index("members_by_joining", table_name="members")
    op.drop_table("members")
    op.drop_index("invitations_token_key", table_name="invitations")
    op.drop_index(
        "invitations_pending_key",
        table_name="invitations",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index("invitations_by_email", table_name="invitations")
    op.drop_table("invitations")
    op.drop_index("users_username_key", table_name="users")
    op.drop_index(
        "users_search",
        table_name="users",
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.drop_index("users_external_id_key", table_name="users")
    op.drop_index("users_email_key", table_name="users")
    op.drop_index("users_by_status", table_name="users")
    op.drop_index("users_by_sign_in", table_name="users")
    op.drop_index("users_by_creation", table_name="users")
    op.drop_table("users")
    op.drop_index(
        "outbox_unpublished", table_name="outbox", postgresql_where=sa.text("published_at IS NULL")
    )
    op.drop_index("outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "organizations_search",
        table_name="organizations",
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
    op.drop_index("organizations_by_name", table_name="organizations")
    op.drop_table("organizations")
    op.drop_index(op.f("ix_inbox_heard_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_index(op.f("ix_idempotency_created_at"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("erasures")
    op.drop_table("dead_letters")
