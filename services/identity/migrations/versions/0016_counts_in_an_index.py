"""Invitations are counted by status in an index alone, and suspended users have an index of their
own for searches.

With very many invitations create it before, with CONCURRENTLY: see docs/upgrading.md.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

MERGE = """
CREATE OR REPLACE FUNCTION public.merge_pending_search_entries() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT gin_clean_pending_list('public.users_search'),
         gin_clean_pending_list('public.users_search_sample'),
         gin_clean_pending_list('public.users_search_suspended'),
         gin_clean_pending_list('public.organizations_search')
$$
"""
PENDING_UNTIL = "(CASE WHEN status = 'pending' THEN expires_at END)"


def upgrade() -> None:
    op.create_index(
        "invitations_by_status",
        "invitations",
        ["tenant_id", "organization_id", "status", "expires_at"],
        if_not_exists=True,
    )
    op.drop_index("invitations_by_expiry", table_name="invitations")
    op.create_index(
        "users_search_suspended",
        "users",
        ["tenant_id", "search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
        postgresql_where=sa.text("status = 'suspended'"),
        if_not_exists=True,
    )
    op.execute(MERGE)


def downgrade() -> None:
    before = import_module("identity.migrations.versions.0013_pending_search_entries")
    op.execute(before.MERGE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.drop_index("users_search_suspended", table_name="users")
    op.create_index(
        "invitations_by_expiry",
        "invitations",
        ["tenant_id", "organization_id", sa.text(PENDING_UNTIL)],
    )
    op.drop_index("invitations_by_status", table_name="invitations")
