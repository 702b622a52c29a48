"""The media type of a webhook's bodies. Webhooks that exist keep theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "webhooks",
        sa.Column("content_type", sa.Text(), server_default="application/json", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("webhooks", "content_type")
