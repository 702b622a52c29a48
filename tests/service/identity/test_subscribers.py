"""The events that identity consumes: a project is deleted, a tenant is to be erased."""

from contracts import organizations as organization_calls
from contracts import users as user_calls
from contracts.context import Context
from contracts.ids import new_id
from contracts.lifecycle import TenantDeletionRequested
from contracts.projects import ProjectDeleted
from identity.subscribers import handle_events
from identity.tenant_erasure import TENANT_ERASURE
from outbox.inbox import ReceivedEvent, process_once
from outbox.record import create_entry, create_message
from service.identity.client import IdentityClient, received
from support.owner import TRACE, Owner

CONTEXT = Context(request_id="req_1", traceparent=TRACE, ip_address="203.0.113.9")
TABLES = (
    "users",
    "sessions",
    "organizations",
    "members",
    "invitations",
    "idempotency",
    "erasures",
)


async def _consume(client: IdentityClient, *events: ReceivedEvent) -> None:
    """One batch, through the inbox, in one transaction."""
    async with client.pool.acquire() as conn:
        await process_once(conn, handle_events, events)


def _deletion_requested(client: IdentityClient) -> ReceivedEvent:
    message = TenantDeletionRequested()
    return received(create_message(CONTEXT, message, "projects", client.tenant))


async def _fill(client: IdentityClient) -> str:
    """Puts something into every table; returns the token of an invitation."""
    body = {"email": "ada@example.com"}
    user = await client.call(user_calls.CREATE_USER, body, idempotency_key="once")
    await client.insert_session(user.body["id"])
    organization = await client.create_organization(owner_id=user.body["id"])
    invitation = await client.create_invitation(organization, email="bob@example.com")
    return str(invitation["token"])


async def _rows(client: IdentityClient) -> dict[str, int]:
    """How many rows of the tenant each table has, empty ones left out."""
    counts = {
        table: await client.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", client.tenant
        )
        for table in TABLES
    }
    return {table: count for table, count in counts.items() if count}


async def _erase_step(client: IdentityClient) -> bool:
    """One transaction; whether there was something to do."""
    return await TENANT_ERASURE._step(client.pool) is not None


async def test_a_tenant_is_erased_and_then_it_is_confirmed(
    client: IdentityClient, identity: Owner, projects: Owner
) -> None:
    other = await IdentityClient.create(identity, projects)
    token = await _fill(client)
    await _fill(other)
    before, kept = await client.event_types(), await _rows(other)
    request = _deletion_requested(client)
    await _consume(client, request)
    await _consume(client, request)
    while await _erase_step(client):
        # Nothing is confirmed before all rows are gone.
        is_confirmed = "tenant.erased" in await client.event_types()
        assert is_confirmed == (not await _rows(client))
    assert await _rows(client) == {}
    assert await _rows(other) == kept
    assert await client.event_types() == [*before, "tenant.erased"]
    last = (await client.events())[-1]
    assert (last["source"], last["requestid"]) == ("tenantry/identity", "req_1")
    assert (await client.accept_invitation(token)).status == 410


async def test_published_events_of_an_erased_tenant_go_and_the_others_are_sent_first(
    client: IdentityClient,
) -> None:
    await _fill(client)
    await client.pool.execute(
        "UPDATE outbox SET published_at = now() WHERE tenant_id = $1 AND position <"
        " (SELECT max(position) FROM outbox WHERE tenant_id = $1)",
        client.tenant,
    )
    await _consume(client, _deletion_requested(client))
    while await _erase_step(client):
        pass
    assert await client.event_types() == ["invitation.created", "tenant.erased"]


async def test_an_erasure_continues_where_it_was(client: IdentityClient) -> None:
    await _fill(client)
    await _consume(client, _deletion_requested(client))
    steps = 0
    left = sum((await _rows(client)).values())
    while left:
        # Each step is a transaction of its own: a process that dies between two loses nothing.
        assert await _erase_step(client)
        now = sum((await _rows(client)).values())
        steps, left = steps + (now < left), now
    assert steps > 5
    assert (await client.event_types())[-1] == "tenant.erased"


async def test_a_deleted_project_revokes_its_live_sessions(client: IdentityClient) -> None:
    user, project = await client.create_user(), client.project
    live = [await client.insert_session(user, project=project) for _ in range(2)]
    await client.insert_session(user, project=project, hours=-1)
    kept = await client.insert_session(user, project=new_id("prj"))
    entry = create_entry(CONTEXT, ProjectDeleted, project, {}, tenant_id=client.tenant)
    for _ in range(2):
        await _consume(client, received(entry))
    revoked = (await client.events())[1:]
    assert [(each["type"], each["subject"], each["data"]) for each in revoked] == [
        (
            "session.revoked",
            session,
            {"user_id": user, "session_id": session, "reason": "project_deleted"},
        )
        for session in live
    ]
    assert {each["actortype"] for each in revoked} == {"system"}
    assert [each["id"] for each in (await client.get_user(user))["sessions"]] == [kept]


async def test_other_events_change_nothing(client: IdentityClient) -> None:
    await _fill(client)
    before = await client.events()
    kind = organization_calls.OrganizationDeleted
    entry = create_entry(CONTEXT, kind, new_id("org"), {}, tenant_id=client.tenant)
    await _consume(client, received(entry))
    assert await client.events() == before
