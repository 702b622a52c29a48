"""Requests at the same time: no deadlock, no error 500, and the rules hold."""

import asyncio
import random

from contracts import organizations as organization_calls
from contracts import users as user_calls
from service.identity.client import IdentityClient


async def _count_deadlocks(client: IdentityClient) -> int:
    async with client.pool.acquire() as conn:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        return await conn.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )


async def test_one_key_sent_ten_times_at_once_creates_once(client: IdentityClient) -> None:
    body = {"email": "ada@example.com"}
    replies = await asyncio.gather(
        *(client.call(user_calls.CREATE_USER, body, idempotency_key="once") for _ in range(10))
    )
    created = [each for each in replies if each.status == 201]
    assert created
    assert len({each.reply.body for each in created}) == 1
    assert {each.body["code"] for each in replies if each.status != 201} <= {
        "idempotency_in_flight"
    }
    assert await client.event_types() == ["user.created"]


async def test_two_owners_who_demote_and_delete_each_other_leave_one(
    client: IdentityClient,
) -> None:
    for number in range(5):
        one, two = [await client.create_user(f"{each}{number}@example.com") for each in "ab"]
        organization = await client.create_organization(owner_id=one)
        await client.add_member(organization, two, role="owner")
        demoted, deleted = await asyncio.gather(
            client.update_member(organization, one, role="member"), client.delete_user(two)
        )
        assert sorted([demoted.status == 200, deleted.status == 204]) == [False, True]
        owners = await client.list_members(organization, role="owner")
        assert len(owners["members"]) == 1


async def test_the_last_place_is_taken_once(client: IdentityClient) -> None:
    organization = await client.create_organization(max_members=1)
    tokens = [
        (await client.create_invitation(organization, email=f"u{each}@example.com"))["token"]
        for each in range(5)
    ]
    replies = await asyncio.gather(*(client.accept_invitation(token) for token in tokens))
    assert sorted(each.status for each in replies) == [200] + [409] * 4
    # Those who found no place may try again later, and no user was created for them.
    assert (await client.event_types()).count("user.created") == 1
    unlimited = {"max_members": None}
    await client.call(organization_calls.UPDATE_ORGANIZATION, unlimited, organization)
    later = [(await client.accept_invitation(token)).status for token in tokens]
    assert sorted(later) == [200] * 4 + [410]


async def test_no_combination_of_requests_is_a_deadlock(client: IdentityClient) -> None:
    before = await _count_deadlocks(client)
    for number in range(12):
        users = [await client.create_user(f"u{number}.{each}@example.com") for each in "abc"]
        organizations = [await client.create_organization(owner_id=user) for user in users]
        guest = f"guest{number}@example.com"
        token = (await client.create_invitation(organizations[0], email=guest))["token"]
        await client.create_invitation(organizations[1], email=f"u{number}.a@example.com")
        requests = [client.delete_user(user, force="true") for user in users[:2]]
        requests += [
            client.add_member(organization, user)
            for user in users
            for organization in organizations
        ]
        requests += [
            client.call(organization_calls.DELETE_ORGANIZATION, None, organizations[0]),
            client.remove_member(organizations[2], users[2]),
            client.accept_invitation(token),
            client.accept_invitation(token),
        ]
        random.shuffle(requests)
        replies = await asyncio.gather(*requests)
        assert {each.status for each in replies} <= {200, 201, 204, 404, 409, 410, 422}
        for organization in organizations[1:]:
            count = (await client.get_organization(organization))["member_count"]
            assert count == (await client.list_members(organization))["pagination"]["total"]
    assert await _count_deadlocks(client) == before
