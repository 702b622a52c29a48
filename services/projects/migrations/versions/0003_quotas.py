"""Tenants have quotas of their own; the keys that count are found without the revoked ones."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "tenants", sa.Column("quotas", JSON(), nullable=False, server_default=sa.text("'{}'"))
    )
    op.create_index(
        "api_keys_active",
        "api_keys",
        ["tenant_id", "project_id"],
        postgresql_where=sa.text("status = 'active'"),
    )


def downgrade() -> None:
    op.drop_index("api_keys_active", table_name="api_keys")
    op.drop_column("tenants", "quotas")
