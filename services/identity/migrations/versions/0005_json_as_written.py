"""`metadata` and `settings` are kept as they were written: jsonb writes every number out.

Their type changes after the rollout, or at once in a new database (`chassis.json_columns`).
"""

from alembic import op

revision = "0005"
down_revision = "0004"

COLUMNS = (("users", "metadata"), ("organizations", "metadata"), ("organizations", "settings"))


def upgrade() -> None:
    pass


def downgrade() -> None:
    for table, column in COLUMNS:
        op.execute(f"ALTER TABLE {table} ALTER {column} TYPE jsonb USING {column}::jsonb")
