"""What one actor did of one kind is found without a walk through all that the actor did."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index(
        "events_by_actor_and_action", "events", ["tenant_id", "actor_id", "action", "sequence"]
    )


def downgrade() -> None:
    op.drop_index("events_by_actor_and_action", table_name="events")
