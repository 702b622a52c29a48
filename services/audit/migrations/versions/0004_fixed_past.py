"""The past of a trail is fixed for the runtime role too, whatever its code or a thief of its
password tries.

What the role may still do to the past is done here, by the owner's functions and triggers: they
check it, and leave a mark that nobody but the owner can remove. Heads move only by events that fit
the chain. The statements of the release before go on working: its updates of heads are ignored.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# The digest of an event `e` after the digest %s, as in `audit.chain`.
_DIGEST = """sha256(convert_to(concat(
  '{"action":', to_json(e.action), ',"actor_id":', coalesce(to_json(e.actor_id)::text, 'null'),
  ',"actor_type":', to_json(e.actor_type), ',"changes":', e.changes,
  ',"created_at":"', to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'),
  CASE WHEN e.created_at <> date_trunc('second', e.created_at)
       THEN to_char(e.created_at, '.US') END,
  'Z","id":', to_json(e.id), ',"personal":', coalesce('"' || encode(e.commitment, 'hex') || '"', 'null'),
  ',"previous":', coalesce('"' || encode(%s, 'hex') || '"', 'null'),
  ',"reason":', coalesce(to_json(e.reason)::text, 'null'), ',"request_id":', to_json(e.request_id),
  ',"resource_id":', to_json(e.resource_id), ',"resource_type":', to_json(e.resource_type),
  ',"sequence":', e.sequence, ',"tenant_id":', to_json(e.tenant_id),
  ',"traceparent":', to_json(e.traceparent), '}'), 'UTF8'))"""

# One look at all rows of an INSERT: each continues its tenant's chain, or nothing is inserted.
MOVE_HEADS = f"""
CREATE FUNCTION move_heads() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  misfit record;
BEGIN
  PERFORM FROM public.heads WHERE tenant_id IN (SELECT tenant_id FROM added)
    ORDER BY tenant_id FOR UPDATE;
  SELECT tenant_id, sequence INTO misfit FROM (
    SELECT e.tenant_id, e.sequence,
           e.sequence = h.sequence + row_number() OVER chain
           AND h.closed_at IS NULL
           AND e.filed_at = greatest(e.created_at, coalesce(lag(e.filed_at) OVER chain, h.filed_at))
           AND e.digest = {_DIGEST % "coalesce(lag(e.digest) OVER chain, h.digest)"} AS fits
      FROM added e LEFT JOIN public.heads h ON h.tenant_id = e.tenant_id
    WINDOW chain AS (PARTITION BY e.tenant_id ORDER BY e.sequence)
  ) AS links WHERE fits IS NOT TRUE LIMIT 1;
  IF FOUND THEN
    RAISE check_violation USING MESSAGE =
      format('event %s of %s does not continue its open trail', misfit.sequence, misfit.tenant_id);
  END IF;
  UPDATE public.heads h SET sequence = l.sequence, digest = l.digest, filed_at = l.filed_at
    FROM (SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest, filed_at FROM added
           ORDER BY tenant_id, sequence DESC) AS l
   WHERE h.tenant_id = l.tenant_id;
  RETURN NULL;
END $$
"""

GUARD_HEADS = """
CREATE FUNCTION guard_heads() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.sequence := 0;
    NEW.digest := NULL;
    NEW.filed_at := NULL;
    NEW.closed_at := NULL;
    RETURN NEW;
  END IF;
  IF NEW.closed_at IS NOT NULL AND OLD.closed_at IS NULL THEN
    PERFORM public.close_trail(OLD.tenant_id);  -- as the release before asks for it
  ELSIF NEW.sequence <= OLD.sequence OR NEW.closed_at IS DISTINCT FROM OLD.closed_at THEN
    RAISE insufficient_privilege USING MESSAGE = 'a head moves only by what is appended';
  END IF;
  RETURN NULL;  -- events have moved the head, or will: the release before moves it again
END $$
"""

GUARD_PERSONAL = """
CREATE FUNCTION guard_personal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM (SELECT DISTINCT tenant_id, actor_user, about_user FROM removed) AS r
    WHERE NOT EXISTS (
      SELECT FROM public.events e
       WHERE e.tenant_id = r.tenant_id AND e.action = 'user.deleted'
         AND e.resource_id IN (r.actor_user, r.about_user));
  IF FOUND THEN
    RAISE insufficient_privilege USING MESSAGE =
      'only the data of users is erased whose deletion stands in the trail';
  END IF;
  RETURN NULL;
END $$
"""

CLOSE_TRAIL = """
CREATE FUNCTION close_trail(of_tenant text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH closed AS (
    UPDATE public.heads SET closed_at = now()
     WHERE tenant_id = of_tenant AND closed_at IS NULL RETURNING tenant_id, sequence, digest
  )
  INSERT INTO public.marks (tenant_id, sequence, kind, digest)
  SELECT tenant_id, sequence, 'closed', digest FROM closed;
END $$
"""

ERASE_EVENTS = """
CREATE OR REPLACE FUNCTION erase_events(of_tenant text, at_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  below bigint;
  erased bigint;
BEGIN
  IF at_most IS NULL OR at_most NOT BETWEEN 1 AND 100000 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'erase 1 to 100,000 events at a time';
  END IF;
  -- The head stays, with its length and digest: a closed trail is never opened again.
  INSERT INTO public.marks (tenant_id, sequence, kind, digest)
  SELECT tenant_id, sequence, 'erased', digest FROM public.heads
   WHERE tenant_id = of_tenant AND closed_at IS NOT NULL
  ON CONFLICT DO NOTHING;
  IF NOT EXISTS (SELECT FROM public.marks WHERE tenant_id = of_tenant AND kind = 'erased') THEN
    RAISE EXCEPTION 'only a closed tenant is erased';
  END IF;
  SELECT sequence + at_most INTO below FROM public.events
   WHERE tenant_id = of_tenant ORDER BY sequence LIMIT 1;
  DELETE FROM public.personal
   WHERE tenant_id = of_tenant AND (below IS NULL OR sequence < below);
  DELETE FROM public.events WHERE tenant_id = of_tenant AND sequence < below;
  GET DIAGNOSTICS erased = ROW_COUNT;
  IF below IS NULL THEN
    DELETE FROM public.checkpoints WHERE tenant_id = of_tenant;
  END IF;
  RETURN erased;
END $$
"""

DROP_PARTITIONS = """
CREATE OR REPLACE FUNCTION drop_partitions(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  part text;
  kept integer;
  dropped integer := 0;
BEGIN
  SELECT days INTO kept FROM public.retention;
  -- An hour for clocks that differ.
  IF kept IS NULL OR before IS NULL OR before > now() - make_interval(days => kept, hours => -1) THEN
    RAISE insufficient_privilege USING MESSAGE =
      'older than the retention of the database only: `tenantry migrate` sets it';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('audit.months'));
  FOR part IN
    SELECT relname FROM pg_class
     WHERE relnamespace = 'months'::regnamespace AND relkind = 'r' AND relname LIKE 'events%'
       AND (to_date(substr(relname, 8), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
           <= before
     ORDER BY relname
  LOOP
    EXECUTE format('LOCK TABLE months.%I IN SHARE MODE', part);
    EXECUTE format(
      'WITH last AS (
         SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest FROM months.%I
          ORDER BY tenant_id, sequence DESC
       ), marked AS (
         INSERT INTO public.marks (tenant_id, sequence, kind, digest)
         SELECT tenant_id, sequence, ''dropped'', digest FROM last
         ON CONFLICT DO NOTHING
       )
       INSERT INTO public.checkpoints AS c (tenant_id, sequence, digest)
       SELECT tenant_id, sequence, digest FROM last
       ON CONFLICT (tenant_id) DO UPDATE
          SET sequence = excluded.sequence, digest = excluded.digest
        WHERE excluded.sequence > c.sequence', part);
    EXECUTE format('DROP TABLE months.%I', part);
    EXECUTE format('DROP TABLE months.%I', 'personal_' || substr(part, 8));
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$
"""

MAKE_PARTITIONS = """
CREATE OR REPLACE FUNCTION make_partitions(months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  month date;
  parent text;
  part text;
BEGIN
  IF cardinality(months) > 1000 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'at most 1,000 months at a time';
  END IF;
  FOREACH month IN ARRAY months LOOP
    IF month IS NULL OR month NOT BETWEEN '1970-01-01' AND '2200-12-01'
       OR extract(day FROM month) <> 1 THEN
      RAISE invalid_parameter_value USING MESSAGE = 'a month is its first day, of 1970 to 2200';
    END IF;
    CONTINUE WHEN to_regclass(format('months.events_%s', to_char(month, 'YYYY_MM'))) IS NOT NULL;
    PERFORM pg_advisory_xact_lock(hashtext('audit.months'));
    FOREACH parent IN ARRAY ARRAY['events', 'personal'] LOOP
      part := parent || '_' || to_char(month, 'YYYY_MM');
      CONTINUE WHEN to_regclass('months.' || part) IS NOT NULL;
      -- Made aside and attached: that stops no reader and no writer of the other months.
      EXECUTE format('CREATE TABLE months.%I (LIKE public.%I INCLUDING ALL)', part, parent);
      EXECUTE format(
        'ALTER TABLE public.%I ATTACH PARTITION months.%I FOR VALUES FROM (%L) TO (%L)',
        parent, part,
        month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
  END LOOP;
END $$
"""

# Whoever is the owner may do all: migrations, and these functions.
TRIGGERS = """
DO $do$ BEGIN
  EXECUTE format($$
    CREATE TRIGGER move_heads AFTER INSERT ON events REFERENCING NEW TABLE AS added
      FOR EACH STATEMENT WHEN (current_user <> %1$L) EXECUTE FUNCTION move_heads();
    CREATE TRIGGER guard_heads BEFORE INSERT OR UPDATE ON heads
      FOR EACH ROW WHEN (current_user <> %1$L) EXECUTE FUNCTION guard_heads();
    CREATE TRIGGER guard_personal AFTER DELETE ON personal REFERENCING OLD TABLE AS removed
      FOR EACH STATEMENT WHEN (current_user <> %1$L) EXECUTE FUNCTION guard_personal()
  $$, current_user);
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $do$
"""
_FUNCTIONS = "close_trail(text), move_heads(), guard_heads(), guard_personal()"
GRANTS = (
    f"REVOKE ALL ON FUNCTION {_FUNCTIONS} FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION close_trail(text) TO audit",
    "REVOKE UPDATE, DELETE ON heads FROM audit",
    # Only whoever may update a row may lock it; the trigger decides what becomes of an update.
    "GRANT UPDATE (sequence, digest, filed_at, closed_at) ON heads TO audit",
    "REVOKE UPDATE ON personal FROM audit",
    "GRANT SELECT ON marks, retention TO audit",
)


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("tenant_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column(
            "marked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", "kind"),
    )
    op.create_table(
        "retention",
        sa.Column("is_set", sa.Boolean(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.CheckConstraint("is_set", name="retention_once"),
        sa.CheckConstraint("days > 0", name="retention_days"),
        sa.PrimaryKeyConstraint("is_set"),
    )
    connection = op.get_bind()
    functions = (
        CLOSE_TRAIL,
        MOVE_HEADS,
        GUARD_HEADS,
        GUARD_PERSONAL,
        ERASE_EVENTS,
        DROP_PARTITIONS,
        MAKE_PARTITIONS,
    )
    for statement in (*functions, TRIGGERS, *GRANTS):
        connection.exec_driver_sql(statement)
    # Trails that were closed, and cut by retention, before there were marks.
    op.execute(
        "INSERT INTO marks (tenant_id, sequence, kind, digest, marked_at)"
        " SELECT tenant_id, sequence, 'closed', digest, closed_at FROM heads"
        "  WHERE closed_at IS NOT NULL"
    )
    op.execute(
        "INSERT INTO marks (tenant_id, sequence, kind, digest)"
        " SELECT tenant_id, sequence, 'dropped', digest FROM checkpoints"
    )


def downgrade() -> None:
    for table, trigger in (
        ("events", "move_heads"),
        ("heads", "guard_heads"),
        ("personal", "guard_personal"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.execute("DROP FUNCTION close_trail, move_heads, guard_heads, guard_personal")
    op.drop_table("retention")
    op.drop_table("marks")
