"""Emails and usernames are folded by one rule; invitations say whose they are, and whether they
verify; the live sessions of a user are found without those that have ended.
"""

import sqlalchemy as sa
from alembic import op
from chassis.case_folding import create_fold_case

revision = "0004"
down_revision = "0003"

ID = sa.Text(collation="C")
LIVE_UNTIL = "(CASE WHEN status = 'active' THEN expires_at END)"
PENDING_UNTIL = "(CASE WHEN status = 'pending' THEN expires_at END)"


def upgrade() -> None:
    op.execute(create_fold_case())
    _rebuild_keys("fold_case")
    op.add_column(
        "invitations",
        sa.Column("email_verified", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("invitations", sa.Column("user_id", ID, nullable=True))
    op.create_index(
        "invitations_by_user",
        "invitations",
        ["tenant_id", "user_id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_index(
        "invitations_by_expiry",
        "invitations",
        ["tenant_id", "organization_id", sa.text(PENDING_UNTIL)],
    )
    op.drop_index("sessions_by_user", table_name="sessions")
    op.create_index("sessions_by_user", "sessions", ["tenant_id", "user_id", sa.text(LIVE_UNTIL)])


def downgrade() -> None:
    op.drop_index("sessions_by_user", table_name="sessions")
    op.create_index("sessions_by_user", "sessions", ["tenant_id", "user_id", "id"])
    op.drop_index("invitations_by_expiry", table_name="invitations")
    op.drop_index("invitations_by_user", table_name="invitations")
    op.drop_column("invitations", "user_id")
    op.drop_column("invitations", "email_verified")
    _rebuild_keys("lower")
    op.execute("DROP FUNCTION public.fold_case(text)")


def _rebuild_keys(function: str) -> None:
    """PostgreSQL 16 cannot change the expression of a computed column: it is made anew."""
    for table in ("users", "invitations"):
        op.drop_column(table, "email_key")
        key = sa.Computed(f"{function}(email)", persisted=True)
        op.add_column(table, sa.Column("email_key", ID, key, nullable=False))
    op.create_index("users_email_key", "users", ["tenant_id", "email_key"], unique=True)
    op.create_index("invitations_by_email", "invitations", ["tenant_id", "email_key"])
    op.create_index(
        "invitations_pending_key",
        "invitations",
        ["tenant_id", "organization_id", "email_key"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index("users_username_key", table_name="users")
    op.create_index(
        "users_username_key",
        "users",
        ["tenant_id", sa.text(f"{function}(username)")],
        unique=True,
    )
