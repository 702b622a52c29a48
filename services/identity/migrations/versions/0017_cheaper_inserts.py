"""One row costs PostgreSQL less: texts are folded by functions whose plans a session keeps, and an
organization is counted by a trigger for each row, without a table of what the statement added.

Nothing that is stored changes.
"""

from alembic import op
from chassis.case_folding import create_fold_case, create_fold_pattern, create_fold_search

revision = "0017"
down_revision = "0016"

TALLY = """
CREATE FUNCTION public.tally_organization() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.tallies (tenant_id, what, count) VALUES (NEW.tenant_id, 'organization', 1);
  RETURN NULL;
END $$
"""
BY_ROW = "FOR EACH ROW EXECUTE FUNCTION public.tally_organization()"
BY_STATEMENT = "REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.tally()"


def upgrade() -> None:
    version = op.get_bind().dialect.server_version_info or ()
    for function in (create_fold_case(), create_fold_search(version), create_fold_pattern(version)):
        op.execute(function)
    op.execute(TALLY)
    _count(BY_ROW)


def downgrade() -> None:
    """The functions that fold stay as they are: what they return is the same."""
    _count(BY_STATEMENT)
    op.execute("DROP FUNCTION public.tally_organization(), public.fold_pattern(text)")


def _count(how: str) -> None:
    """In one transaction, which keeps writers away until they are counted in the other way."""
    op.execute("DROP TRIGGER tally_insert ON organizations")
    op.execute(f"CREATE TRIGGER tally_insert AFTER INSERT ON organizations {how}")
