"""Whom an event is about, and people whose personal data is erased from stored events."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("events", sa.Column("person_id", sa.Text(collation="C"), nullable=True))
    op.add_column("events", sa.Column("stream_sequence", sa.BigInteger(), nullable=True))
    # What is stored already is erased as well; its messages leave the stream after a week.
    op.execute(
        """
        UPDATE events
           SET person_id = CASE WHEN type LIKE 'session.%'
                                THEN payload::json #>> '{data,user_id}'
                                ELSE payload::json ->> 'subject' END
         WHERE only_webhook_id IS NULL
           AND split_part(type, '.', 1) IN ('user', 'member', 'invitation', 'session')
        """
    )
    op.create_index(
        "events_person",
        "events",
        ["tenant_id", "person_id", "id"],
        unique=False,
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    op.create_table(
        "erased_people",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("deletion", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("after_event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "person_id"),
    )
    op.create_index("erased_people_due", "erased_people", ["due_at"], unique=False)


def downgrade() -> None:
    op.drop_index("erased_people_due", table_name="erased_people")
    op.drop_table("erased_people")
    op.drop_index(
        "events_person", table_name="events", postgresql_where=sa.text("person_id IS NOT NULL")
    )
    op.drop_column("events", "stream_sequence")
    op.drop_column("events", "person_id")
