"""Users: created, shown, updated, and suspended with their sessions."""

import asyncio

import pytest
from contracts import organizations as organization_calls
from contracts import sessions as session_calls
from contracts import users as calls
from contracts.ids import new_id
from service.identity.client import IdentityClient


async def test_a_new_user_is_found_again(client: IdentityClient) -> None:
    body = {"email": "Ada@Example.com", "name": "Ada", "metadata": {"plan": "pro"}}
    created = await client.call(calls.CREATE_USER, body)
    assert (created.status, created.reply.created) == (201, created.body["id"])
    assert set(created.body) == set(calls.User.model_fields)
    found = await client.get_user(created.body["id"])
    assert found == {**created.body, "sessions": [], "organizations": [], "more": {}}
    (event,) = await client.events()
    assert (event["type"], event["data"]) == ("user.created", {"user": created.body})
    elsewhere = await client.call(calls.GET_USER, None, created.body["id"], tenant=new_id("ten"))
    assert elsewhere.status == 404


async def test_what_is_unique_is_refused_on_creation_and_update(client: IdentityClient) -> None:
    fields = {"email": "ada@example.com", "username": "ada", "external_id": "x1"}
    await client.create_user(**fields)
    other = await client.create_user("bob@example.com")
    for field, value in (
        ("email", "ADA@example.com"),
        ("username", "ADA"),
        ("external_id", "x1"),
    ):
        body = {"email": "new@example.com", field: value}
        created = await client.call(calls.CREATE_USER, body)
        updated = await client.call(calls.UPDATE_USER, {field: value}, other)
        assert [created.status, updated.status] == [409, 409]
        assert [created.body["code"], updated.body["code"]] == [f"{field}_taken"] * 2
    elsewhere = await client.call(calls.CREATE_USER, fields, tenant=new_id("ten"))
    assert elsewhere.status == 201
    assert await client.event_types() == ["user.created"] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("adaİ", "adai"),
        ("straße", "strasse"),
        ("ma\u017fs", "mass"),
        ("\u0131van", "ivan"),
        ("ﬁn", "fin"),
    ],
)
async def test_two_people_are_not_joined_by_folding(
    client: IdentityClient, one: str, other: str
) -> None:
    users = [await client.create_user(f"{each}@x.test", username=each) for each in (one, other)]
    for user, name in zip(users, (one, other), strict=True):
        (found,) = (await client.list_users(email=f"{name}@x.test"))["users"]
        assert found["id"] == user


@pytest.mark.parametrize(
    ("one", "other"), [("ÅSA", "åsa"), ("ΣΟΦΟΣ", "σοφος"), ("σοφος", "σοφοσ"), ("ẞ", "ß")]
)
async def test_case_is_folded_beyond_ascii(client: IdentityClient, one: str, other: str) -> None:
    user = await client.create_user(f"{one}@x.test", username=one)
    for body in ({"email": f"{other}@x.test"}, {"email": "new@x.test", "username": other}):
        refused = await client.call(calls.CREATE_USER, body)
        assert (refused.status, refused.body["code"].removesuffix("_taken")) == (
            409,
            "username" if "username" in body else "email",
        )
    (found,) = (await client.list_users(email=f"{other}@x.test"))["users"]
    assert found["id"] == user


async def test_a_changed_email_is_unverified_unless_the_patch_says_otherwise(
    client: IdentityClient,
) -> None:
    user = await client.create_user("ada@x.test", email_verified=True)
    for patch, verified in (
        ({"email": "ADA@x.test"}, True),
        ({"name": "Ada"}, True),
        ({"email": "eve@x.test"}, False),
        ({"email": "bob@x.test", "email_verified": True}, True),
        ({"email": "bob@x.test"}, True),
    ):
        await client.update_user(user, **patch)
        assert (await client.get_user(user))["email_verified"] is verified, patch
    changes = [each["data"].get("changes") for each in await client.events()]
    assert set(changes[3]) == {"email", "email_verified"}


async def test_of_ten_at_once_with_one_email_one_is_created(client: IdentityClient) -> None:
    replies = await asyncio.gather(
        *(client.call(calls.CREATE_USER, {"email": "ada@example.com"}) for _ in range(10))
    )
    assert sorted(each.status for each in replies) == [201] + [409] * 9
    assert {each.body["code"] for each in replies if each.status == 409} == {"email_taken"}
    assert await client.event_types() == ["user.created"]


async def test_a_user_is_shown_with_live_sessions_and_organizations(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    organization = await client.create_organization(owner_id=user, slug="acme")
    before = await client.call(calls.GET_USER, None, user)
    older, newer = [await client.insert_session(user) for _ in range(2)]
    await client.insert_session(user, status="revoked")
    await client.insert_session(user, hours=-1)
    after = await client.call(calls.GET_USER, None, user)
    assert [each["id"] for each in after.body["sessions"]] == [newer, older]
    assert set(after.body["sessions"][0]) == set(session_calls.Session.model_fields)
    (joined,) = after.body["organizations"]
    assert set(joined) == set(calls.UserOrganization.model_fields)
    assert (joined["id"], joined["slug"], joined["role"]) == (organization, "acme", "owner")
    assert before.reply.version != after.reply.version
    assert {str(each.reply.version).split(".")[0] for each in (before, after)} == {"1"}
    for _ in range(100):
        last = await client.insert_session(user)
    many = (await client.get_user(user))["sessions"]
    assert (len(many), many[0]["id"]) == (100, last)


async def test_a_user_with_very_many_parts_is_shown_with_the_first_hundred_and_where_the_rest_is(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    await client.pool.execute(
        "WITH made AS (INSERT INTO organizations (tenant_id, id, name, slug, settings, metadata,"
        " member_count, version, created_at, updated_at)"
        " SELECT $1, 'org_' || lpad(n::text, 26, '0'), 'Acme ' || n, 'acme-' || n, '{}', '{}', 1,"
        " 1, now(), now() FROM generate_series(1, 850) n RETURNING id)"
        " INSERT INTO members (tenant_id, organization_id, user_id, role, permissions, joined_at)"
        " SELECT $1, id, $2, 'member', '{}', now() - right(id, 3)::int * interval '1 s'"
        " FROM made",
        *(client.tenant, user),
    )
    detail = await client.get_user(user)
    assert [each["name"] for each in detail["organizations"]] == [
        f"Acme {number}"
        for number in range(1, 101)  # the last one joined first
    ]
    path, _, query = detail["more"]["organizations"].partition("?")
    assert path == "/v1/admin/organizations"
    listed = await client.call(
        organization_calls.LIST_ORGANIZATIONS, query=dict([query.split("=")])
    )
    assert listed.body["pagination"]["total"] == 850

    few = await client.create_user("bob@example.com")
    await client.create_organization(owner_id=few)
    assert (await client.get_user(few))["more"] == {}


async def test_an_update_has_one_event_and_no_change_has_none(client: IdentityClient) -> None:
    user = await client.create_user(metadata={"a": 1, "b": {"c": 2}})
    patch = {"name": "Ada", "metadata": {"a": None, "b": {"d": 3}}}
    updated = await client.call(calls.UPDATE_USER, patch, user)
    assert (updated.status, updated.body["version"]) == (200, 2)
    assert updated.body["metadata"] == {"b": {"c": 2, "d": 3}}
    last = (await client.events())[-1]
    assert (last["type"], last["data"]["user"]) == ("user.updated", updated.body)
    assert set(last["data"]["changes"]) == {"name", "metadata"}
    for same in ({}, {"name": "Ada"}):
        assert (await client.call(calls.UPDATE_USER, same, user)).body == updated.body
    assert await client.event_types() == ["user.created", "user.updated"]


async def test_an_old_version_is_refused_and_the_etag_of_a_read_is_not(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    read = await client.call(calls.GET_USER, None, user)
    old = f'"{read.reply.version}"'
    updated = await client.call(calls.UPDATE_USER, {"name": "A"}, user, if_match=old)
    assert updated.status == 200
    dry_run = {"dry_run": "true"}
    refused = [
        await client.call(calls.UPDATE_USER, {"name": "B"}, user, if_match=old),
        await client.call(calls.DELETE_USER, None, user, if_match=old),
        await client.call(calls.DELETE_USER, None, user, query=dry_run, if_match=old),
    ]
    assert [each.status for each in refused] == [412] * 3


async def test_suspension_revokes_every_live_session(client: IdentityClient) -> None:
    user, other = await client.create_user(), await client.create_user("bob@example.com")
    live = [await client.insert_session(user) for _ in range(2)]
    await client.insert_session(user, hours=-1)
    kept = await client.insert_session(other)
    await client.update_user(user, status="suspended", name="A")
    assert (await client.get_user(user))["sessions"] == []
    assert [each["id"] for each in (await client.get_user(other))["sessions"]] == [kept]
    suspended, *revoked = (await client.events())[2:]
    assert suspended["type"] == "user.suspended"
    assert set(suspended["data"]["changes"]) == {"status", "name"}
    assert [(each["type"], each["data"]) for each in revoked] == [
        ("session.revoked", {"user_id": user, "session_id": each, "reason": "user_suspended"})
        for each in live
    ]
    await client.update_user(user, status="active")
    assert (await client.event_types())[-1] == "user.reactivated"
    assert (await client.get_user(user))["sessions"] == []


async def test_sessions_are_revoked_one_or_all_and_only_once(client: IdentityClient) -> None:
    user = await client.create_user()
    one, two, three = [await client.insert_session(user) for _ in range(3)]
    for status in (204, 404):
        assert (await client.revoke_session(user, one)).status == status
    elsewhere = await client.call(
        session_calls.REVOKE_SESSION, None, user, two, tenant=new_id("ten")
    )
    assert elsewhere.status == 404
    for _ in range(2):
        assert (await client.call(session_calls.REVOKE_SESSIONS, None, user)).status == 204
    nobody = await client.call(session_calls.REVOKE_SESSIONS, None, new_id("usr"))
    assert nobody.status == 404
    revoked = (await client.events())[1:]
    assert [each["subject"] for each in revoked] == [one, two, three]
    assert {each["data"]["reason"] for each in revoked} == {"revoked"}
