"""As 0014, of the tables whose rows are forgotten in steps with their tenant: each batch was compared
with all rows of the tenant.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

TABLES = ("cascades", "idempotency", "outbox")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ALTER tenant_id SET (n_distinct = -0.001)")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ALTER tenant_id RESET (n_distinct)")
