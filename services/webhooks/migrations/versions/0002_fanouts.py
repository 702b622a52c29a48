"""Events whose deliveries are created in steps: those of tenants with many webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "fanouts",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_webhook_id", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column(
            "queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "position"),
    )
    op.create_index("fanouts_queued_at", "fanouts", ["queued_at"], unique=False)


def downgrade() -> None:
    op.drop_index("fanouts_queued_at", table_name="fanouts")
    op.drop_table("fanouts")
