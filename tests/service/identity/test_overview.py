"""The overview of identity: exact, and what ends is not counted from that moment on."""

import secrets
from typing import Any

from contracts import sessions as session_calls
from contracts import users as calls
from contracts.overview import GET_ORGANIZATIONS_OVERVIEW, GET_USERS_OVERVIEW
from identity.overview import MAX_SESSIONS
from service.identity.client import IdentityClient

LATER = "1 day"


async def overview_of(client: IdentityClient) -> dict[str, Any]:
    return dict((await client.call(GET_USERS_OVERVIEW)).body)


async def live_sessions(client: IdentityClient) -> tuple[int, bool]:
    counted = (await overview_of(client))["live_sessions"]
    return counted["total"], counted["total_exact"]


async def create_sessions(client: IdentityClient, user: str, count: int) -> None:
    body = {"project_id": client.project}
    for _ in range(count):
        begun = await client.call(session_calls.CREATE_SESSION, body, user)
        assert begun.status == 201, begun.body


async def add_sessions(client: IdentityClient, user: str, count: int, ends_in: str = LATER) -> None:
    """Stored as they are, without their tokens."""
    await client.pool.execute(
        "INSERT INTO sessions (tenant_id, id, user_id, project_id, status, created_at,"
        " last_active_at, expires_at, ends_at, idle_timeout) SELECT $1, 'ses_' || $5 || n, $2,"
        " $3, 'active', now(), now(), now() + $6::text::interval, now() + $6::text::interval, 3600"
        " FROM generate_series(1, $4) n",
        client.tenant,
        user,
        client.project,
        count,
        secrets.token_hex(8),
        ends_in,
    )


async def test_users_are_counted_by_status_and_organizations_as_a_whole(
    client: IdentityClient,
) -> None:
    first, *_ = [await client.create_user(f"u{number}@example.com") for number in range(3)]
    await client.update_user(first, status="suspended")
    await client.create_organization()
    assert (await overview_of(client))["users"] == {"total": 3, "active": 2, "suspended": 1}
    organizations = (await client.call(GET_ORGANIZATIONS_OVERVIEW)).body["organizations"]
    assert organizations == {"total": 1, "total_exact": True}


async def test_a_session_counts_until_it_ends(client: IdentityClient) -> None:
    ada, bea = [await client.create_user(f"{name}@example.com") for name in ("ada", "bea")]
    await create_sessions(client, ada, 2)
    await create_sessions(client, bea, 1)
    assert await live_sessions(client) == (3, True)
    await add_sessions(client, ada, 5, ends_in="-1 second")
    assert await live_sessions(client) == (3, True)
    await client.call(session_calls.REVOKE_SESSIONS, None, ada)
    assert await live_sessions(client) == (1, True)
    await client.delete_user(bea)
    assert await live_sessions(client) == (0, True)


async def test_what_a_cascade_still_ends_does_not_count(client: IdentityClient) -> None:
    ada, bea = [await client.create_user(f"{name}@example.com") for name in ("ada", "bea")]
    await add_sessions(client, ada, 1_200)
    await add_sessions(client, bea, 1_200)
    assert await live_sessions(client) == (2_400, True)
    await client.call(session_calls.REVOKE_SESSIONS, None, ada)
    assert await live_sessions(client) == (1_200, True)
    await client.call(calls.DELETE_USER, None, bea)
    assert await live_sessions(client) == (0, True)


async def test_very_many_sessions_are_counted_up_to_a_bound(client: IdentityClient) -> None:
    ada = await client.create_user()
    await add_sessions(client, ada, MAX_SESSIONS + 5)
    assert await live_sessions(client) == (MAX_SESSIONS, False)
