"""`metadata` and `settings` are kept as they were written: jsonb writes every number out."""

from alembic import op
from chassis.migrations import keep_json_as_written

revision = "0005"
down_revision = "0004"

COLUMNS = (("users", "metadata"), ("organizations", "metadata"), ("organizations", "settings"))


def upgrade() -> None:
    for table, column in COLUMNS:
        keep_json_as_written(table, column, ("tenant_id", "id"))


def downgrade() -> None:
    for table, column in COLUMNS:
        op.execute(f"ALTER TABLE {table} ALTER {column} TYPE jsonb USING {column}::jsonb")
