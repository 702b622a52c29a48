"""The list of a user's sessions, the newest first.

With very many sessions create it before, with CONCURRENTLY: see docs/upgrading.md.
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index(
        "sessions_of_user", "sessions", ["tenant_id", "user_id", "id"], if_not_exists=True
    )


def downgrade() -> None:
    op.drop_index("sessions_of_user", table_name="sessions")
