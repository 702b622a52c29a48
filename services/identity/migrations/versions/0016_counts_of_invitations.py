"""Invitations of an organization are counted by status, as users are; those that are pending have
an index by their end. Suspended users have an index of their own for searches.

With very many invitations create it before, with CONCURRENTLY: see docs/upgrading.md.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

TALLY = """
CREATE FUNCTION public.tally_invitations() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'invitation:' || organization_id || ':' || status, count(*)
      FROM added GROUP BY 1, 2;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'invitation:' || organization_id || ':' || status, -count(*)
      FROM removed GROUP BY 1, 2;
  ELSE
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'invitation:' || organization_id || ':' || status, sum(n)
      FROM (SELECT tenant_id, organization_id, status, 1 AS n FROM added
            UNION ALL SELECT tenant_id, organization_id, status, -1 FROM removed) AS changed
     GROUP BY 1, 2 HAVING sum(n) <> 0;
  END IF;
  RETURN NULL;
END $$
"""
TRIGGERS = tuple(
    f"""
CREATE TRIGGER tally_{event.lower()} AFTER {event} ON invitations REFERENCING {rows}
FOR EACH STATEMENT EXECUTE FUNCTION public.tally_invitations()
"""
    for event, rows in (
        ("INSERT", "NEW TABLE AS added"),
        ("UPDATE", "NEW TABLE AS added OLD TABLE AS removed"),
        ("DELETE", "OLD TABLE AS removed"),
    )
)
COUNT = """
INSERT INTO tallies (tenant_id, what, count, folded)
SELECT tenant_id, 'invitation:' || organization_id || ':' || status, count(*), true
  FROM invitations GROUP BY 1, 2
"""
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
        "invitations_pending",
        "invitations",
        ["tenant_id", "organization_id", "expires_at"],
        postgresql_where=sa.text("status = 'pending'"),
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
    for statement in (MERGE, TALLY, *TRIGGERS, COUNT):
        op.execute(statement)


def downgrade() -> None:
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER tally_{event} ON invitations")
    op.execute("DROP FUNCTION public.tally_invitations()")
    op.execute("DELETE FROM tallies WHERE what LIKE 'invitation:%'")
    before = import_module("identity.migrations.versions.0013_pending_search_entries")
    op.execute(before.MERGE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.drop_index("users_search_suspended", table_name="users")
    op.create_index(
        "invitations_by_expiry",
        "invitations",
        ["tenant_id", "organization_id", sa.text(PENDING_UNTIL)],
    )
    op.drop_index("invitations_pending", table_name="invitations")
