"""What changed about a person has a salt of its own, apart from the address of who changed it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("personal", sa.Column("subject_salt", sa.LargeBinary(), nullable=True))
    op.add_column("personal", sa.Column("subject_changes", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("personal", "subject_changes")
    op.drop_column("personal", "subject_salt")
