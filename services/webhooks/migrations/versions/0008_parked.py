"""What goes on when a webhook is enabled again is found some at a time, however much it is."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index(
        "queue_parked",
        "queue",
        ["tenant_id", "webhook_id"],
        postgresql_where=sa.text("state = 'parked'"),
    )


def downgrade() -> None:
    op.drop_index("queue_parked", table_name="queue")
