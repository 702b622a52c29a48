"""What depends on a deleted user or organization is deleted in steps, after the row itself.

The foreign keys become triggers, which delete the same rows unless a cascade does it: so a process
of the release before goes on as it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# Table, columns, table that they refer to.
KEYS = (
    ("sessions", "user_id", "users"),
    ("members", "organization_id", "organizations"),
    ("members", "user_id", "users"),
    ("invitations", "organization_id", "organizations"),
)
DELETE_PARTS = """
CREATE FUNCTION public.delete_parts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM public.cascades WHERE tenant_id = OLD.tenant_id
              AND kind = rtrim(TG_TABLE_NAME, 's') AND resource_id = OLD.id) THEN
    RETURN NULL;
  ELSIF TG_TABLE_NAME = 'users' THEN
    DELETE FROM public.sessions WHERE tenant_id = OLD.tenant_id AND user_id = OLD.id;
    DELETE FROM public.members WHERE tenant_id = OLD.tenant_id AND user_id = OLD.id;
  ELSE
    DELETE FROM public.members WHERE tenant_id = OLD.tenant_id AND organization_id = OLD.id;
    DELETE FROM public.invitations WHERE tenant_id = OLD.tenant_id AND organization_id = OLD.id;
  END IF;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "cascades",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("resource_id", sa.Text(collation="C"), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("last_id", sa.Text(collation="C"), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "resource_id"),
    )
    for table, column, _ in KEYS:
        op.drop_constraint(f"{table}_tenant_id_{column}_fkey", table, type_="foreignkey")
    op.execute(DELETE_PARTS)
    for table in ("users", "organizations"):
        op.execute(
            f"CREATE TRIGGER delete_parts AFTER DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION public.delete_parts()"
        )


def downgrade() -> None:
    for table in ("users", "organizations"):
        op.execute(f"DROP TRIGGER delete_parts ON {table}")
    op.execute("DROP FUNCTION public.delete_parts()")
    for table, column, target in KEYS:
        # What was still to be deleted.
        op.execute(
            f"DELETE FROM {table} AS part WHERE NOT EXISTS (SELECT FROM {target} AS whole"
            f" WHERE whole.tenant_id = part.tenant_id AND whole.id = part.{column})"
        )
        op.create_foreign_key(
            f"{table}_tenant_id_{column}_fkey",
            table,
            target,
            ["tenant_id", column],
            ["tenant_id", "id"],
            ondelete="CASCADE",
        )
    op.drop_table("cascades")
