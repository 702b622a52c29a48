"""Whom an event of the outbox is about, so that it can be erased with the person."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("person_id", sa.Text(collation="C"), nullable=True))
    op.create_index(
        "outbox_person",
        "outbox",
        ["tenant_id", "person_id"],
        unique=False,
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "outbox_person", table_name="outbox", postgresql_where=sa.text("person_id IS NOT NULL")
    )
    op.drop_column("outbox", "person_id")
