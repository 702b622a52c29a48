"""Users by status and organizations are counted as they come and go.

Every statement that adds, removes or changes some adds a row to `tallies` with the difference, so
that no writer waits for another. What is there is the sum; `fold_tallies` makes one row of many.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TALLY = """
CREATE FUNCTION public.tally() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_TABLE_NAME = 'organizations' AND TG_OP = 'INSERT' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'organization', count(*) FROM added GROUP BY tenant_id;
  ELSIF TG_TABLE_NAME = 'organizations' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'organization', -count(*) FROM removed GROUP BY tenant_id;
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'user:' || status, count(*) FROM added GROUP BY tenant_id, status;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'user:' || status, -count(*) FROM removed GROUP BY tenant_id, status;
  ELSE
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'user:' || status, sum(n)
      FROM (SELECT tenant_id, status, 1 AS n FROM added
            UNION ALL SELECT tenant_id, status, -1 FROM removed) AS changed
     GROUP BY tenant_id, status HAVING sum(n) <> 0;
  END IF;
  RETURN NULL;
END $$
"""
FOLD = """
CREATE FUNCTION public.fold_tallies(at_most integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH fresh AS (
    DELETE FROM public.tallies WHERE id IN (
      SELECT id FROM public.tallies WHERE NOT folded ORDER BY id LIMIT at_most
         FOR UPDATE SKIP LOCKED)
    RETURNING tenant_id, what, count
  ), folded AS (
    DELETE FROM public.tallies AS t USING (SELECT DISTINCT tenant_id, what FROM fresh) AS f
     WHERE t.folded AND t.tenant_id = f.tenant_id AND t.what = f.what
    RETURNING t.tenant_id, t.what, t.count
  )
  INSERT INTO public.tallies (tenant_id, what, count, folded)
  SELECT tenant_id, what, sum(count), true
    FROM (SELECT * FROM fresh UNION ALL SELECT * FROM folded) AS counted
   GROUP BY tenant_id, what HAVING sum(count) <> 0
$$
"""
TRIGGERS = tuple(
    f"""
CREATE TRIGGER tally_{event.lower()} AFTER {event} ON {table} REFERENCING {rows}
FOR EACH STATEMENT EXECUTE FUNCTION public.tally()
"""
    for table, event, rows in (
        ("users", "INSERT", "NEW TABLE AS added"),
        ("users", "UPDATE", "NEW TABLE AS added OLD TABLE AS removed"),
        ("users", "DELETE", "OLD TABLE AS removed"),
        ("organizations", "INSERT", "NEW TABLE AS added"),
        ("organizations", "DELETE", "OLD TABLE AS removed"),
    )
)
COUNT = """
INSERT INTO tallies (tenant_id, what, count, folded)
SELECT tenant_id, 'user:' || status, count(*), true FROM users GROUP BY tenant_id, status
UNION ALL SELECT tenant_id, 'organization', count(*), true FROM organizations GROUP BY tenant_id
"""


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("what", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("folded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "what", "id"),
    )
    op.create_index(
        "tallies_fresh", "tallies", ["id"], unique=False, postgresql_where=sa.text("NOT folded")
    )
    # The triggers first: they keep writers away until what is there is counted.
    for statement in (TALLY, FOLD, *TRIGGERS, COUNT):
        op.execute(statement)


def downgrade() -> None:
    for table, events in (("users", ("insert", "update", "delete")),
                          ("organizations", ("insert", "delete"))):  # fmt: skip
        for event in events:
            op.execute(f"DROP TRIGGER tally_{event} ON {table}")
    op.execute("DROP FUNCTION public.tally(), public.fold_tallies(integer)")
    op.drop_index("tallies_fresh", table_name="tallies", postgresql_where=sa.text("NOT folded"))
    op.drop_table("tallies")
