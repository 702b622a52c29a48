"""Sessions have refresh tokens, an end of their own and an idle timeout."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("idle_timeout", sa.Integer(), nullable=True))
    # What there is was given its end when it began, and no token to put it off.
    op.execute("UPDATE sessions SET ends_at = expires_at, idle_timeout = 604800")
    op.alter_column("sessions", "ends_at", nullable=False)
    op.alter_column("sessions", "idle_timeout", nullable=False)
    for name in ("organization_id", "family_hash", "refresh_hash"):
        op.add_column("sessions", sa.Column(name, sa.Text(collation="C"), nullable=True))
    op.create_index("sessions_family_key", "sessions", ["family_hash"], unique=True)
    op.create_index("sessions_by_expiry", "sessions", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("sessions_by_expiry", table_name="sessions")
    op.drop_index("sessions_family_key", table_name="sessions")
    for name in ("refresh_hash", "family_hash", "organization_id", "idle_timeout", "ends_at"):
        op.drop_column("sessions", name)
