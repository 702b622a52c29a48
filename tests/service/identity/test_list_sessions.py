"""The sessions of a user are listed by the status that they have now, however many there are."""

from typing import Any

from chassis.rpc.client import encode_context
from contracts import sessions as calls
from contracts import users as user_calls
from contracts.context import Context
from contracts.ids import new_id
from service.identity.client import IdentityClient


async def list_sessions(client: IdentityClient, user: str, **query: Any) -> dict[str, Any]:
    listed = await client.call(calls.LIST_SESSIONS, None, user, query=query)
    assert listed.status == 200, listed.body
    return dict(listed.body)


async def ids_by_status(client: IdentityClient, user: str) -> dict[str, list[str]]:
    """By the filter; the status that each shows is that of the filter."""
    found = {}
    for status in ("active", "revoked", "expired"):
        page = await list_sessions(client, user, status=status)
        assert {each["status"] for each in page["sessions"]} <= {status}
        assert page["pagination"]["total"] == len(page["sessions"])
        found[status] = [each["id"] for each in page["sessions"]]
    return found


async def test_sessions_are_listed_by_their_status(client: IdentityClient) -> None:
    user, other = [await client.create_user(f"{name}@example.com") for name in ("ada", "bob")]
    await client.insert_session(other)
    ids = [await client.insert_session(user) for _ in range(4)]
    await client.call(calls.REVOKE_SESSION, None, user, ids[1])
    await client.pool.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", ids[2])
    page = await list_sessions(client, user)
    assert [each["id"] for each in page["sessions"]] == ids[::-1], "the newest first"
    by_status = {"active": [ids[3], ids[0]], "revoked": [ids[1]], "expired": [ids[2]]}
    assert await ids_by_status(client, user) == by_status


async def test_sessions_that_a_cascade_ends_are_listed_as_revoked(client: IdentityClient) -> None:
    user = await client.create_user()
    before, after = [await client.insert_session(user) for _ in range(2)]
    context = Context(tenant_id=client.tenant, request_id="req_1", traceparent="00-1-2-01")
    await client.pool.execute(
        "INSERT INTO cascades (tenant_id, kind, resource_id, detail, last_id, context)"
        " VALUES ($1, 'sessions', $2, 'revoked', $3, $4)",
        *(client.tenant, user, before, encode_context(context)),
    )
    by_status = {"active": [after], "revoked": [before], "expired": []}
    assert await ids_by_status(client, user) == by_status


async def test_the_sessions_of_nobody_are_not_found(client: IdentityClient) -> None:
    user = await client.create_user()
    await client.insert_session(user)
    elsewhere = await client.call(calls.LIST_SESSIONS, None, user, tenant=new_id("ten"))
    assert elsewhere.status == 404
    await client.call(user_calls.DELETE_USER, None, user)
    assert (await client.call(calls.LIST_SESSIONS, None, user)).status == 404


async def test_a_user_with_many_sessions_says_how_to_list_the_rest(client: IdentityClient) -> None:
    user = await client.create_user()
    ids = [await client.insert_session(user) for _ in range(101)]
    detail = await client.get_user(user)
    assert [each["id"] for each in detail["sessions"]] == ids[:0:-1]
    path, _, query = detail["more"]["sessions"].partition("?")
    assert path == f"/v1/admin/users/{user}/sessions"
    page = await list_sessions(client, user, limit=60, **dict([query.split("=")]))
    rest = await list_sessions(
        client, user, limit=60, cursor=page["pagination"]["next_cursor"], status="active"
    )
    assert [each["id"] for each in page["sessions"] + rest["sessions"]] == ids[::-1]
    assert (page["pagination"]["total"], rest["pagination"]["next_cursor"]) == (101, None)
    await client.call(calls.REVOKE_SESSION, None, user, ids[0])
    assert (await client.get_user(user))["more"] == {}
