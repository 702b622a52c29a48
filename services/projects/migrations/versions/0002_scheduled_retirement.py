"""The keys whose grace period runs, by its end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INDEX, TABLE = "signing_keys_retiring", "signing_keys"
RETIRING = sa.text("status = 'retiring'")


def upgrade() -> None:
    op.create_index(INDEX, TABLE, ["retires_at"], unique=False, postgresql_where=RETIRING)


def downgrade() -> None:
    op.drop_index(INDEX, table_name=TABLE, postgresql_where=RETIRING)
