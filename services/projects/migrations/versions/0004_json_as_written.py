"""`metadata` and `settings` are kept as they were written: jsonb writes every number out."""

from alembic import op
from chassis.migrations import keep_json_as_written

revision = "0004"
down_revision = "0003"

COLUMNS = (
    ("tenants", "settings", ("id",)),
    ("projects", "metadata", ("tenant_id", "id")),
    ("projects", "settings", ("tenant_id", "id")),
)


def upgrade() -> None:
    for table, column, key in COLUMNS:
        keep_json_as_written(table, column, key)


def downgrade() -> None:
    for table, column, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} ALTER {column} TYPE jsonb USING {column}::jsonb")
