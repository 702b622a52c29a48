"""The service may move the pending entries of the search indexes: that is the owner's right."""

from alembic import op

revision = "0013"
down_revision = "0012"

MERGE = """
CREATE FUNCTION public.merge_pending_search_entries() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT gin_clean_pending_list('public.users_search'),
         gin_clean_pending_list('public.users_search_sample'),
         gin_clean_pending_list('public.organizations_search')
$$
"""


def upgrade() -> None:
    op.execute(MERGE)


def downgrade() -> None:
    op.execute("DROP FUNCTION public.merge_pending_search_entries()")
