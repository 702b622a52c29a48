"""Attempts are counted by webhook, hour and outcome, in the statement that writes their results.

Those of before the migration are not counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "outcomes",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("retried", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "hour"),
        # A row changes with every batch of its hour: with room beside it, no index changes.
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("outcomes_by_hour", "outcomes", ["hour"], unique=False)


def downgrade() -> None:
    op.drop_index("outcomes_by_hour", table_name="outcomes")
    op.drop_table("outcomes")
