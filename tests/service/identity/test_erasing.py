"""A tenant that is to be erased, and a project that is gone, as identity hears of them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from contracts import invitations
from contracts import organizations as calls
from contracts import users as user_calls
from contracts.events import event_subject
from contracts.ids import new_id
from identity import erasure, events
from outbox.inbox import Heard, take_in
from support.owner import Owner, heard, heard_lifecycle

Hear = Callable[..., Awaitable[None]]
TABLES = (
    "users",
    "sessions",
    "organizations",
    "members",
    "invitations",
    "idempotency",
    "erasures",
)


@pytest.fixture
def hear(identity: Owner) -> Hear:
    """Takes events in as one batch, through the inbox, in one transaction."""

    async def take(*heard: Heard) -> None:
        async with identity.pool.acquire() as conn:
            await take_in(conn, events.take, heard)

    return take


async def _furnish(identity: Owner, tenant: str) -> str:
    """Something in every table; answers the token of an invitation."""
    user = await identity.ask(
        user_calls.CREATE_USER, tenant, {"email": "ada@example.com"}, idempotency_key="once"
    )
    await _session(identity, tenant, user.body["id"], new_id("prj"))
    body = {"name": "Acme", "owner_id": user.body["id"]}
    made = await identity.ask(calls.CREATE_ORGANIZATION, tenant, body)
    path = {"id": made.body["id"]}
    invited = await identity.ask(
        invitations.CREATE_INVITATION, tenant, {"email": "bob@example.com"}, path=path
    )
    return invited.body["token"]


async def _session(identity: Owner, tenant: str, user: str, project: str, hours: int = 1) -> str:
    session, now = new_id("ses"), datetime.now(UTC)
    await identity.pool.execute(
        "INSERT INTO sessions (tenant_id, id, user_id, project_id, status, created_at,"
        " last_active_at, expires_at, ends_at, idle_timeout)"
        " VALUES ($1, $2, $3, $4, 'active', $5, $5, $6, $6, 604800)",
        *(tenant, session, user, project, now, now + timedelta(hours=hours)),
    )
    return session


async def _left(identity: Owner, tenant: str) -> dict[str, int]:
    counts = {
        table: await identity.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        for table in TABLES
    }
    return {table: count for table, count in counts.items() if count}


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def test_a_tenant_is_erased_and_then_it_is_told(
    identity: Owner, tenant: str, hear: Hear, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_id("ten")
    token = await _furnish(identity, tenant)
    await _furnish(identity, other)
    before, kept = await _types(identity, tenant), await _left(identity, other)
    asked = heard_lifecycle(tenant, "tenant.deletion_requested")
    await hear(asked)
    await hear(asked)
    while await erasure.erase_next(identity.pool):
        # Nothing is told before all is gone.
        assert ("tenant.erased" in await _types(identity, tenant)) == (
            not await _left(identity, tenant)
        )
    assert await _left(identity, tenant) == {}
    assert await _left(identity, other) == kept
    assert await _types(identity, tenant) == [*before, "tenant.erased"]
    last = (await identity.events(tenant))[-1]
    assert (last["source"], last["requestid"]) == ("tenantry/identity", asked.event["requestid"])
    accepted = await identity.ask(invitations.ACCEPT_INVITATION, None, {"token": token})
    assert accepted.status == 410


async def test_what_was_published_of_an_erased_tenant_goes_and_the_rest_is_sent_first(
    identity: Owner, tenant: str, hear: Hear
) -> None:
    await _furnish(identity, tenant)
    await identity.pool.execute(
        "UPDATE outbox SET published_at = now() WHERE tenant_id = $1 AND position <"
        " (SELECT max(position) FROM outbox WHERE tenant_id = $1)",
        tenant,
    )
    await hear(heard_lifecycle(tenant, "tenant.deletion_requested"))
    while await erasure.erase_next(identity.pool):
        pass
    assert await _types(identity, tenant) == ["invitation.created", "tenant.erased"]


async def test_an_erasure_goes_on_where_it_was(identity: Owner, tenant: str, hear: Hear) -> None:
    await _furnish(identity, tenant)
    await hear(heard_lifecycle(tenant, "tenant.deletion_requested"))
    steps = 0
    left = sum((await _left(identity, tenant)).values())
    while left:
        # Each step is a transaction of its own: a process that dies between two loses nothing.
        assert await erasure.erase_next(identity.pool)
        now = sum((await _left(identity, tenant)).values())
        steps, left = steps + (now < left), now
    assert steps > 5
    assert (await _types(identity, tenant))[-1] == "tenant.erased"


async def test_a_deleted_project_ends_its_live_sessions(
    identity: Owner, tenant: str, hear: Hear
) -> None:
    user = await identity.ask(user_calls.CREATE_USER, tenant, {"email": "ada@example.com"})
    project = new_id("prj")
    ids = [await _session(identity, tenant, user.body["id"], project) for _ in range(2)]
    await _session(identity, tenant, user.body["id"], project, hours=-1)
    await _session(identity, tenant, user.body["id"], new_id("prj"))
    made = heard(tenant, "project.deleted", project)
    told = Heard(made.event, event_subject("projects", "project.deleted"), b"", None, None)
    await hear(told)
    await hear(told)
    revoked = (await identity.events(tenant))[1:]
    assert [(each["type"], each["subject"]) for each in revoked] == [
        ("session.revoked", each) for each in ids
    ]
    assert {each["data"]["reason"] for each in revoked} == {"project_deleted"}
    assert {each["actortype"] for each in revoked} == {"system"}
    found = await identity.ask(user_calls.GET_USER, tenant, path={"id": user.body["id"]})
    assert len(found.body["sessions"]) == 1
