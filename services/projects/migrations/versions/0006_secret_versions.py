"""Which secret of a key an access token was made for, and which keys a key has made."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("secret_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.create_index("api_keys_by_maker", "api_keys", ["tenant_id", "created_by"], unique=False)
    op.create_table(
        "key_revocations",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key_id", sa.Text(collation="C"), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )


def downgrade() -> None:
    op.drop_table("key_revocations")
    op.drop_index("api_keys_by_maker", table_name="api_keys")
    op.drop_column("api_keys", "secret_version")
