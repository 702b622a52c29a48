"""Indexes of the overview and of the search: tenants by status, and one signing key."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index("tenants_by_status", "tenants", ["status"], unique=False)
    op.create_index("signing_keys_by_id", "signing_keys", ["tenant_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("signing_keys_by_id", table_name="signing_keys")
    op.drop_index("tenants_by_status", table_name="tenants")
