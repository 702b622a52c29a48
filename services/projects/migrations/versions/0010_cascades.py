"""Keys of a deleted project, and those that a revoked key has made, are revoked in steps.

The table that was only for the latter was in no release.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ID = sa.Text(collation="C")
MOVE = """
INSERT INTO cascades (tenant_id, kind, resource_id, context)
SELECT tenant_id, 'descendants', key_id, context FROM key_revocations
"""

# OFFSET 0: one look in the index for each key between this one and the first that made others.
IS_KEY_ENDED = """
CREATE FUNCTION public.is_key_ended(tenant text, project text, maker text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM public.cascades
     WHERE tenant_id = tenant AND kind = 'project' AND resource_id = project
  ) OR EXISTS (
    WITH RECURSIVE makers(id) AS (
      SELECT maker COLLATE "C"
      UNION
      SELECT made.created_by FROM makers, LATERAL (
        SELECT created_by FROM public.api_keys
         WHERE tenant_id = tenant AND api_keys.id = makers.id OFFSET 0
      ) AS made
    )
    SELECT FROM makers JOIN public.cascades ON resource_id = makers.id
     WHERE tenant_id = tenant AND kind = 'descendants'
  );
END $$
"""


def upgrade() -> None:
    op.create_table(
        "cascades",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("kind", ID, nullable=False),
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("last_id", ID, nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "resource_id"),
    )
    op.execute(MOVE)
    op.execute(IS_KEY_ENDED)
    op.drop_table("key_revocations")
    op.drop_index("api_keys_by_maker", table_name="api_keys")
    op.create_index("api_keys_by_maker", "api_keys", ["tenant_id", "created_by", "id"])


def downgrade() -> None:
    op.execute("DROP FUNCTION public.is_key_ended(text, text, text)")
    op.drop_index("api_keys_by_maker", table_name="api_keys")
    op.create_index("api_keys_by_maker", "api_keys", ["tenant_id", "created_by"])
    op.create_table(
        "key_revocations",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )
    op.drop_table("cascades")
