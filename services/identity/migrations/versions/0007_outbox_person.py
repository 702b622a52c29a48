"""Whom an event of the outbox is about, so that it can be erased with the person."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("person_id", sa.Text(collation="C"), nullable=True))
    op.create_index(
        "outbox_person",
        "outbox",
        ["tenant_id", "person_id"],
        unique=False,
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    # Rows are kept for a day.
    event = "convert_from(payload, 'UTF8')::json"
    op.execute(
        f"""
        UPDATE outbox
           SET person_id = CASE WHEN subject LIKE '%.session.%'
                                THEN {event} #>> '{{data,user_id}}' ELSE {event} ->> 'subject' END
         WHERE subject ~ '^tenantry.events.identity.(user|member|invitation|session)[.]'
        """
    )


def downgrade() -> None:
    op.drop_index(
        "outbox_person", table_name="outbox", postgresql_where=sa.text("person_id IS NOT NULL")
    )
    op.drop_column("outbox", "person_id")
