"""An index of every sixteenth user, in which a search counts a text that many users contain.

With very many users create it before, with CONCURRENTLY: see docs/upgrading.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index(
        "users_search_sample",
        "users",
        ["tenant_id", "search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
        postgresql_where=sa.text("right(id, 1) < '2'"),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_index("users_search_sample", table_name="users")
