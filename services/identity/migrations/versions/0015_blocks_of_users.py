"""Users are counted by blocks of their identifiers: a page by number steps over whole blocks.

A row of `tallies` that is not folded yet says where the identifiers begin that it counts. Folding
adds it to its block, and parts a block that has become large: its users are counted once more, less
what the rows count that are not folded, all at one moment.

With very many users this takes as long as to read their index: see docs/upgrading.md.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

TALLY = """
CREATE OR REPLACE FUNCTION public.tally() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_TABLE_NAME = 'organizations' AND TG_OP = 'INSERT' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'organization', count(*) FROM added GROUP BY tenant_id;
  ELSIF TG_TABLE_NAME = 'organizations' THEN
    INSERT INTO public.tallies (tenant_id, what, count)
    SELECT tenant_id, 'organization', -count(*) FROM removed GROUP BY tenant_id;
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO public.tallies (tenant_id, what, block, count)
    SELECT tenant_id, 'user:' || status, left(id, 12), count(*) FROM added GROUP BY 1, 2, 3;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO public.tallies (tenant_id, what, block, count)
    SELECT tenant_id, 'user:' || status, left(id, 12), -count(*) FROM removed GROUP BY 1, 2, 3;
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
CREATE OR REPLACE FUNCTION public.fold_tallies(at_most integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE large text[];
BEGIN
  WITH fresh AS (
    DELETE FROM public.tallies WHERE id IN (
      SELECT id FROM public.tallies WHERE NOT folded ORDER BY id LIMIT at_most
         FOR UPDATE SKIP LOCKED)
    RETURNING tenant_id, what, block, count
  ), placed AS (
    SELECT tenant_id, block, sum(count) AS count
      FROM fresh WHERE block IS NOT NULL GROUP BY tenant_id, block
  ), changed AS (
    SELECT tenant_id, what, NULL AS block, count FROM fresh
    UNION ALL
    SELECT tenant_id, 'users', coalesce(
             (SELECT max(t.block) FROM public.tallies AS t WHERE t.what = 'users'
                 AND t.tenant_id = placed.tenant_id AND t.block <= placed.block), ''), count
      FROM placed
  ), folded AS (
    DELETE FROM public.tallies AS t USING (SELECT DISTINCT tenant_id, what, block FROM changed) AS c
     WHERE t.folded AND t.tenant_id = c.tenant_id AND t.what = c.what
       AND t.block IS NOT DISTINCT FROM c.block
    RETURNING t.tenant_id, t.what, t.block, t.count
  ), sums AS (
    INSERT INTO public.tallies (tenant_id, what, block, count, folded)
    SELECT tenant_id, what, block, sum(count), true
      FROM (SELECT * FROM changed UNION ALL SELECT * FROM folded) AS counted
     GROUP BY tenant_id, what, block HAVING sum(count) <> 0
    RETURNING tenant_id, what, count
  )
  SELECT array_agg(tenant_id) INTO large FROM sums WHERE what = 'users' AND count > 8192;
  IF large IS NOT NULL THEN
    PERFORM public.split_user_blocks(large, 8192);
  END IF;
END $$
"""
SPLIT = """
CREATE FUNCTION public.split_user_blocks(tenants text[], largest integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH large AS (
    DELETE FROM public.tallies
     WHERE tenant_id = ANY (tenants) AND what = 'users' AND count > largest
    RETURNING tenant_id, block
  ), ranges AS (
    SELECT tenant_id, block AS first, coalesce(
             (SELECT min(t.block) FROM public.tallies AS t WHERE t.what = 'users'
                 AND t.tenant_id = large.tenant_id AND t.block > large.block), '~') AS last
      FROM large
  ), counted AS (
    SELECT r.tenant_id, first, left(u.id, 12) AS begin, 1 AS users, 1 AS folded
      FROM ranges AS r JOIN public.users AS u
        ON u.tenant_id = r.tenant_id AND u.id >= first AND u.id < last
    UNION ALL
    SELECT r.tenant_id, first, t.block, 0, -t.count
      FROM ranges AS r JOIN public.tallies AS t
        ON t.tenant_id = r.tenant_id AND NOT t.folded AND t.block >= first AND t.block < last
  ), begins AS (
    SELECT tenant_id, first, begin, sum(users) AS users, sum(folded) AS folded
      FROM counted GROUP BY tenant_id, first, begin
  ), parts AS (
    SELECT *, div(sum(users) OVER (PARTITION BY tenant_id, first ORDER BY begin) - users,
                  largest / 2) AS part
      FROM begins
  )
  INSERT INTO public.tallies (tenant_id, what, block, count, folded)
  SELECT tenant_id, 'users', CASE part WHEN 0 THEN first ELSE min(begin) END, sum(folded), true
    FROM parts GROUP BY tenant_id, first, part HAVING sum(folded) <> 0
$$
"""
COUNT = """
INSERT INTO tallies (tenant_id, what, block, count, folded)
SELECT tenant_id, 'users', '', count(*), true FROM users GROUP BY tenant_id
"""
SPLIT_ALL = """
SELECT split_user_blocks(array_agg(tenant_id), 8192) FROM tallies
 WHERE what = 'users' AND count > 8192
"""


def upgrade() -> None:
    op.add_column("tallies", sa.Column("block", sa.Text(collation="C"), nullable=True))
    op.create_index(
        "tallies_blocks",
        "tallies",
        ["tenant_id", "block"],
        unique=False,
        postgresql_where=sa.text("what = 'users'"),
    )
    for statement in (SPLIT, TALLY, FOLD, COUNT, SPLIT_ALL):
        op.execute(statement)


def downgrade() -> None:
    before = import_module("identity.migrations.versions.0003_tallies")
    for statement in (before.TALLY, before.FOLD):
        op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute("DROP FUNCTION public.split_user_blocks(text[], integer)")
    op.execute("DELETE FROM tallies WHERE what = 'users'")
    op.drop_index(
        "tallies_blocks", table_name="tallies", postgresql_where=sa.text("what = 'users'")
    )
    op.drop_column("tallies", "block")
