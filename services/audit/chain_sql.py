"""The chain as PostgreSQL computes it: what `audit.chain` defines, by built-in functions alone.

For a row `e` with the columns of a `StoredEvent`, its `place` in the log and the digest `previous`.
"""

DIGEST = """sha256(convert_to(concat(
'{"action":', to_json(e.action), ',"actor_id":', coalesce(to_json(e.actor_id)::text, 'null'),
',"actor_type":', to_json(e.actor_type), ',"changes":', e.changes,
',"created_at":"', to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'),
CASE WHEN e.created_at <> date_trunc('second', e.created_at)
     THEN to_char(e.created_at, '.US') END,
'Z","id":', to_json(e.id),
',"personal":', coalesce('"' || encode(e.commitment, 'hex') || '"', 'null'),
',"previous":', coalesce('"' || encode(e.previous, 'hex') || '"', 'null'),
',"reason":', coalesce(to_json(e.reason)::text, 'null'), ',"request_id":', to_json(e.request_id),
',"resource_id":', to_json(e.resource_id), ',"resource_type":', to_json(e.resource_type),
',"sequence":', e.sequence, ',"tenant_id":', to_json(e.tenant_id),
',"traceparent":', to_json(e.traceparent), '}'), 'UTF8'))"""

COMMITMENT = """sha256(e.salt || convert_to(concat(
'{"changes":', e.personal_changes,
',"ip_address":', coalesce(to_json(e.ip_address)::text, 'null'),
',"user_agent":', coalesce(to_json(e.user_agent)::text, 'null'), '}'), 'UTF8'))"""

SUBJECT = """concat('{"sha256":"', encode(sha256(
e.subject_salt || convert_to(e.subject_changes, 'UTF8')), 'hex'), '"}')"""

FITS = f"""e.sequence = e.place AND e.digest = {DIGEST}
AND (e.salt IS NULL OR e.personal_changes IS NULL
     OR coalesce(e.commitment = {COMMITMENT}, false))
AND (e.subject_changes IS NULL
     OR e.subject_salt IS NOT NULL AND coalesce(e.personal_changes = {SUBJECT}, false))"""
"""Whether the event continues the log, and what is there of its personal parts is what it binds."""
