"""Very much that depends on one thing, written into a service's database directly."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from contracts.ids import new_id
from tenantry.installation import find_installation

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


class Parts:
    """Rows of one tenant. Each method returns the identifiers of what it inserted."""

    def __init__(self, conn: asyncpg.Connection, tenant: str) -> None:
        self._conn = conn
        self.tenant = tenant

    @classmethod
    async def connect(cls, folder: Path, tenant: str, service: str = "identity") -> "Parts":
        url = find_installation(folder / "data").migration_url(service)
        return cls(await asyncpg.connect(url), tenant)

    async def close(self) -> None:
        await self._conn.close()

    async def _insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        await self._conn.copy_records_to_table(
            table,
            columns=["tenant_id", *rows[0]],
            records=[(self.tenant, *row.values()) for row in rows],
        )

    async def users(self, count: int) -> list[str]:
        ids = [new_id("usr") for _ in range(count)]
        fixed = {"email_verified": True, "status": "active", "metadata": "{}", "version": 1}
        times = {"created_at": NOW, "updated_at": NOW}
        await self._insert(
            "users",
            ({"id": each, "email": f"{each}@example.com", **fixed, **times} for each in ids),
        )
        return ids

    async def organizations(self, count: int) -> list[str]:
        """Each with one member, whom the caller adds."""
        ids = [new_id("org") for _ in range(count)]
        fixed = {"settings": "{}", "metadata": "{}", "member_count": 1, "version": 1}
        times = {"created_at": NOW, "updated_at": NOW}
        await self._insert(
            "organizations",
            (
                {"id": each, "name": "Many", "slug": each.replace("_", "-"), **fixed, **times}
                for each in ids
            ),
        )
        return ids

    async def members(
        self, organizations: Sequence[str], users: Sequence[str], role: str = "member"
    ) -> None:
        """Every user in every organization."""
        fixed = {"role": role, "permissions": [], "joined_at": NOW}
        await self._insert(
            "members",
            (
                {"organization_id": organization, "user_id": user, **fixed}
                for organization in organizations
                for user in users
            ),
        )
        await self._conn.execute(
            "UPDATE organizations SET member_count = (SELECT count(*) FROM members"
            " WHERE tenant_id = $1 AND organization_id = organizations.id)"
            " WHERE tenant_id = $1 AND id = ANY($2)",
            self.tenant,
            organizations,
        )

    async def sessions(self, user: str, count: int, project: str) -> list[str]:
        ids = [new_id("ses") for _ in range(count)]
        times = {"created_at": NOW, "last_active_at": NOW, "expires_at": LATER, "ends_at": LATER}
        fixed = {"user_id": user, "project_id": project, "status": "active", "idle_timeout": 86400}
        await self._insert("sessions", ({"id": each, **fixed, **times} for each in ids))
        return ids

    async def invitations(self, organizations: Sequence[str], emails: Sequence[str]) -> list[str]:
        """Every email to every organization, pending."""
        fixed = {"email_verified": False, "role": "member", "permissions": [], "lifetime": 86400}
        times = {"status": "pending", "created_at": NOW, "expires_at": LATER}
        rows = []
        for organization in organizations:
            for email in emails:
                invitation = new_id("inv")
                key = {"organization_id": organization, "id": invitation, "email": email}
                rows.append({**key, "token_hash": invitation, **fixed, **times})
        await self._insert("invitations", rows)
        return [row["id"] for row in rows]

    async def api_keys(self, project: str, count: int, maker: str | None = None) -> list[str]:
        """Secret keys that nobody knows the secret of."""
        ids = [new_id("key") for _ in range(count)]
        fixed = {"project_id": project, "type": "secret", "name": "Many", "prefix": "tnt_test_"}
        fixed |= {"scopes": [], "status": "active", "created_by": maker, "created_at": NOW}
        await self._insert("api_keys", ({"id": each, "secret_hash": each, **fixed} for each in ids))
        return ids

    async def stored_active(self) -> int:
        """Keys of the tenant that no step has revoked yet."""
        count = "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND status = 'active'"
        return int(await self._conn.fetchval(count, self.tenant))

    async def left(self, *tables: str) -> int:
        """Rows of the tenant in these tables."""
        counts = [
            await self._conn.fetchval(
                f"SELECT count(*) FROM {each} WHERE tenant_id = $1", self.tenant
            )
            for each in tables
        ]
        return sum(counts)

    async def is_complete(self) -> bool:
        """Whether no cascade is left."""
        return not await self.left("cascades")

    async def events(self, *types: str) -> list[tuple[str, str]]:
        """Type and subject of the recorded events of these types, in order."""
        rows = await self._conn.fetch(
            "SELECT e ->> 'type' AS type, e ->> 'subject' AS subject FROM outbox,"
            " LATERAL (SELECT convert_from(payload, 'UTF8')::json AS e) AS event"
            " WHERE tenant_id = $1 AND e ->> 'type' = ANY($2) ORDER BY position",
            *(self.tenant, types),
        )
        return [(row["type"], row["subject"]) for row in rows]
