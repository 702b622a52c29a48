"""Of a deleted webhook with very many pending deliveries, these are deleted in steps."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

ID = sa.Text(collation="C")


def upgrade() -> None:
    op.create_table(
        "cascades",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("kind", ID, nullable=False),
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("last_id", ID, nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "resource_id"),
    )


def downgrade() -> None:
    op.drop_table("cascades")
