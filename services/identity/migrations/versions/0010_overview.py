"""Indexes of the overview and of the search: live sessions of a tenant, and one invitation."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index(
        "sessions_live",
        "sessions",
        ["tenant_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index("invitations_by_id", "invitations", ["tenant_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("invitations_by_id", table_name="invitations")
    op.drop_index(
        "sessions_live", table_name="sessions", postgresql_where=sa.text("status = 'active'")
    )
