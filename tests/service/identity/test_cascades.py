"""What depends on a row goes in steps by a cascade, or with the row for who knows no cascades."""

from chassis.rpc.client import encode_context
from contracts.context import Context
from identity.cascade_steps import STEPS
from outbox.cascade import Cascades
from service.identity.client import IdentityClient

COUNT = """
SELECT (SELECT count(*) FROM members WHERE tenant_id = $1)
     + (SELECT count(*) FROM sessions WHERE tenant_id = $1)
     + (SELECT count(*) FROM invitations WHERE tenant_id = $1)
"""


async def count_parts(client: IdentityClient) -> int:
    return int(await client.pool.fetchval(COUNT, client.tenant))


async def test_a_process_of_the_release_before_deletes_the_parts_with_the_row(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    organization = await client.create_organization(owner_id=user)
    await client.insert_session(user)
    await client.create_invitation(organization, email="bob@example.com")
    assert await count_parts(client) == 3
    await client.pool.execute("DELETE FROM users WHERE tenant_id = $1", client.tenant)
    assert await count_parts(client) == 1
    await client.pool.execute("DELETE FROM organizations WHERE tenant_id = $1", client.tenant)
    assert await count_parts(client) == 0


async def test_the_parts_of_a_row_with_a_cascade_are_left_to_its_steps(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    organization = await client.create_organization(owner_id=user)
    await client.create_invitation(organization, email="bob@example.com")
    context = Context(tenant_id=client.tenant, request_id="req_1", traceparent="00-1-2-01")
    await client.pool.execute(
        "INSERT INTO cascades (tenant_id, kind, resource_id, context)"
        " VALUES ($1, 'organization', $2, $3)",
        *(client.tenant, organization, encode_context(context)),
    )
    await client.pool.execute("DELETE FROM organizations WHERE tenant_id = $1", client.tenant)
    assert await count_parts(client) == 2
    before = await client.event_types()
    await Cascades(client.pool, STEPS, lambda: None).run()
    assert await count_parts(client) == 0
    ended = (await client.event_types())[len(before) :]
    assert ended == ["member.removed", "invitation.revoked"]
