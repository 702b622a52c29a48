"""How many secrets that still work each hash key has hashed: one that has none can be removed."""

from typing import Any

from tenantry.installation import Installation
from tenantry.operations.databases import connect

OLDEST = "TENANTRY_HASH_KEY"
"""A hash without a key's id is that of version 0.1."""
_HASHES = {
    "projects": """
        SELECT hash
        FROM api_keys,
            LATERAL (VALUES (secret_hash, NULL), (previous_hash, previous_expires_at))
                AS secret (hash, ends_at)
        WHERE status = 'active' AND hash IS NOT NULL
            AND least(expires_at, ends_at) > now() IS NOT FALSE
        """,
    "identity": """
        SELECT family_hash AS hash FROM sessions WHERE status = 'active' AND expires_at > now()
        UNION ALL
        SELECT token_hash FROM invitations WHERE status = 'pending' AND expires_at > now()
        """,
}
_COUNT = """
    SELECT CASE WHEN strpos(hash, '.') > 0 THEN split_part(hash, '.', 1) ELSE $1 END AS key,
        count(*) AS secrets
    FROM ({}) AS found GROUP BY 1 ORDER BY 1
    """


async def count_by_hash_key(installation: Installation) -> list[dict[str, Any]]:
    """`{"service", "key", "secrets"}` of each service and key that has hashed any."""
    found: list[dict[str, Any]] = []
    for service, hashes in _HASHES.items():
        async with connect(service, installation.database_url(service)) as conn:
            rows = await conn.fetch(_COUNT.format(hashes), OLDEST)
        found += [{"service": service, **row} for row in rows]
    return found
