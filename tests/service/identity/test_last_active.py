"""The last use of sessions is collected and written later; old sessions are deleted."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from chassis.database import open_pool
from identity.last_active import LastActive
from identity.retention import purge_sessions
from service.identity.client import IdentityClient


async def test_uses_are_collected_and_written_together(
    client: IdentityClient, last_active: LastActive
) -> None:
    user = await client.create_user()
    project = await client.create_project(session_idle_timeout=300, refresh_token_ttl=3600)
    created = [await client.create_session(user, project_id=project) for _ in range(3)]
    for each in created:
        await client.age_session(each["session"]["id"], 200)
    before = (await client.get_user(user))["sessions"]
    for each in created[:2]:
        for _ in range(3):
            assert (await client.verify_session(each["access_token"]))["code"] == "valid"
    assert (await client.get_user(user))["sessions"] == before
    await client.revoke_session(user, created[1]["session"]["id"])
    await last_active.flush(client.pool)
    after = {each["id"]: each for each in (await client.get_user(user))["sessions"]}
    used = after[created[0]["session"]["id"]]
    last_active_at = datetime.fromisoformat(used["last_active_at"])
    assert datetime.now(UTC) - last_active_at < timedelta(seconds=10)
    assert datetime.fromisoformat(used["expires_at"]) - last_active_at == timedelta(seconds=300)
    assert after[created[2]["session"]["id"]] == before[0]
    assert len(after) == 2


async def test_what_cannot_be_written_is_written_later(client: IdentityClient) -> None:
    user = await client.create_user()
    session = (await client.create_session(user))["session"]
    last_active, later = LastActive(), datetime.now(UTC) + timedelta(seconds=1)
    last_active.add(client.tenant, session["id"], later)
    closed = await open_pool(client.identity.settings.database_url, 1)
    await closed.close()
    with pytest.raises(asyncpg.InterfaceError):
        await last_active.flush(closed)
    await last_active.flush(client.pool)
    (found,) = (await client.get_user(user))["sessions"]
    assert datetime.fromisoformat(found["last_active_at"]) == later


async def test_sessions_are_deleted_a_month_after_their_end(client: IdentityClient) -> None:
    user = await client.create_user()
    old, recent = [(await client.create_session(user))["session"]["id"] for _ in range(2)]
    for session, days in ((old, 38), (recent, 36)):
        await client.age_session(session, days * 86_400)
    assert await purge_sessions(client.pool) >= 1
    left = await client.pool.fetch("SELECT id FROM sessions WHERE tenant_id = $1", client.tenant)
    assert [row["id"] for row in left] == [recent]
