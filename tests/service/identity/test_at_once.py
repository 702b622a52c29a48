"""What happens at the same time: nobody waits in a circle, nobody gets a 500, the rules hold."""

import asyncio
import random
from typing import Any

from contracts import invitations, members
from contracts import organizations as calls
from contracts import users as user_calls
from support.owner import Answer, Owner


async def _user(identity: Owner, tenant: str, email: str) -> str:
    made = await identity.call(user_calls.CREATE_USER, tenant, {"email": email})
    return made.body["id"]


async def _organization(identity: Owner, tenant: str, name: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_ORGANIZATION, tenant, {"name": name, **fields})
    assert made.status == 201, made.body
    return made.body["id"]


async def _invite(identity: Owner, tenant: str, organization: str, email: str) -> str:
    path = {"id": organization}
    made = await identity.call(invitations.CREATE_INVITATION, tenant, {"email": email}, path=path)
    return made.body["token"]


async def _accept(identity: Owner, token: str) -> Answer:
    return await identity.call(invitations.ACCEPT_INVITATION, None, {"token": token}, actor_id=None)


async def _types(identity: Owner, tenant: str) -> list[str]:
    return [each["type"] for each in await identity.events(tenant)]


async def _deadlocks(identity: Owner) -> int:
    async with identity.pool.acquire() as conn:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        return await conn.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )


async def test_one_key_sent_ten_times_at_once_creates_once(identity: Owner, tenant: str) -> None:
    body = {"email": "ada@example.com"}
    answers = await asyncio.gather(
        *(
            identity.call(user_calls.CREATE_USER, tenant, body, idempotency_key="once")
            for _ in range(10)
        )
    )
    made = [each for each in answers if each.status == 201]
    assert made
    assert len({each.reply.body for each in made}) == 1
    assert {each.body["code"] for each in answers if each.status != 201} <= {
        "idempotency_in_flight"
    }
    assert await _types(identity, tenant) == ["user.created"]


async def test_a_repeated_invitation_shows_the_same_token(identity: Owner, tenant: str) -> None:
    path = {"id": await _organization(identity, tenant, "Acme")}
    answers = [
        await identity.call(
            invitations.CREATE_INVITATION,
            tenant,
            {"email": "ada@example.com"},
            path=path,
            idempotency_key="once",
        )
        for _ in range(2)
    ]
    assert answers[0].reply.body == answers[1].reply.body
    assert (await _accept(identity, answers[1].body["token"])).status == 200


async def test_two_owners_who_demote_each_other_leave_one(identity: Owner, tenant: str) -> None:
    for number in range(5):
        one = await _user(identity, tenant, f"one{number}@example.com")
        two = await _user(identity, tenant, f"two{number}@example.com")
        organization = await _organization(identity, tenant, f"Org {number}", owner_id=one)
        path = {"id": organization}
        body = {"user_id": two, "role": "owner"}
        await identity.call(members.ADD_MEMBER, tenant, body, path=path)
        demoted, deleted = await asyncio.gather(
            identity.call(
                members.UPDATE_MEMBER,
                tenant,
                {"role": "member"},
                path={**path, "user_id": one},
            ),
            identity.call(user_calls.DELETE_USER, tenant, path={"id": two}),
        )
        assert sorted([demoted.status == 200, deleted.status == 204]) == [False, True]
        listed = await identity.call(
            members.LIST_MEMBERS, tenant, path=path, query={"role": "owner"}
        )
        assert len(listed.body["members"]) == 1


async def test_a_new_person_accepts_two_invitations_at_once(identity: Owner, tenant: str) -> None:
    organizations = [await _organization(identity, tenant, f"Org {each}") for each in range(4)]
    tokens = [await _invite(identity, tenant, each, "ada@example.com") for each in organizations]
    answers = await asyncio.gather(*(_accept(identity, token) for token in tokens))
    assert [each.status for each in answers] == [200] * 4
    assert len({each.body["member"]["user_id"] for each in answers}) == 1
    assert (await _types(identity, tenant)).count("user.created") == 1


async def test_the_last_place_is_taken_once(identity: Owner, tenant: str) -> None:
    organization = await _organization(identity, tenant, "Acme", max_members=1)
    tokens = [
        await _invite(identity, tenant, organization, f"u{each}@example.com") for each in range(5)
    ]
    answers = await asyncio.gather(*(_accept(identity, token) for token in tokens))
    assert sorted(each.status for each in answers) == [200] + [409] * 4
    # Who found no place may try again later, and was not made a user.
    assert (await _types(identity, tenant)).count("user.created") == 1
    path = {"id": organization}
    await identity.call(calls.UPDATE_ORGANIZATION, tenant, {"max_members": None}, path=path)
    later = [(await _accept(identity, token)).status for token in tokens]
    assert sorted(later) == [200] * 4 + [410]


async def test_whatever_meets_nobody_waits_in_a_circle(identity: Owner, tenant: str) -> None:
    before = await _deadlocks(identity)
    for number in range(12):
        users = [await _user(identity, tenant, f"u{number}.{each}@example.com") for each in "abc"]
        guest = f"guest{number}@example.com"
        organizations = [
            await _organization(identity, tenant, f"Org {number} {each}", owner_id=users[each])
            for each in range(3)
        ]
        token = await _invite(identity, tenant, organizations[0], guest)
        await _invite(identity, tenant, organizations[1], f"u{number}.a@example.com")
        force = {"force": "true"}
        asked = [
            identity.call(user_calls.DELETE_USER, tenant, path={"id": user}, query=force)
            for user in users[:2]
        ]
        asked += [
            identity.call(members.ADD_MEMBER, tenant, {"user_id": user}, path={"id": organization})
            for user in users
            for organization in organizations
        ]
        asked += [
            identity.call(calls.DELETE_ORGANIZATION, tenant, path={"id": organizations[0]}),
            identity.call(
                members.REMOVE_MEMBER,
                tenant,
                path={"id": organizations[2], "user_id": users[2]},
            ),
            _accept(identity, token),
            _accept(identity, token),
        ]
        random.shuffle(asked)
        answers = await asyncio.gather(*asked)
        assert {each.status for each in answers} <= {200, 201, 204, 404, 409, 410, 422}
        for organization in organizations[1:]:
            path = {"id": organization}
            found = await identity.call(calls.GET_ORGANIZATION, tenant, path=path)
            listed = await identity.call(members.LIST_MEMBERS, tenant, path=path)
            assert found.body["member_count"] == listed.body["pagination"]["total"]
    assert await _deadlocks(identity) == before
