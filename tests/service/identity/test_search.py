"""The search of identity: by any identifier, by text, what is the same first."""

from typing import Any

from contracts import invitations as invitation_calls
from contracts import sessions as session_calls
from contracts.calls import Call
from contracts.ids import new_id
from contracts.search import MOST_RESULTS, SEARCH_ORGANIZATIONS, SEARCH_USERS
from service.identity.client import IdentityClient


async def found(client: IdentityClient, call: Call, q: str) -> list[dict[str, Any]]:
    answer = await client.call(call, query={"q": q})
    assert answer.status == 200, answer.body
    return list(answer.body["results"])


async def test_a_user_is_found_by_whatever_names_it(client: IdentityClient) -> None:
    fields = {"username": "ada.l", "external_id": "crm/7", "name": "Ada Lovelace"}
    ada = await client.create_user("Ada@example.com", **fields)
    await client.create_user("bea@example.com")
    for q in (ada, "ADA@example.com", "ada.L", "crm/7", "lovelace", "ad", "@EXAMPLE.com"):
        results = await found(client, SEARCH_USERS, q)
        user = next(each for each in results if each["id"] == ada)
        assert user == {
            "type": "user",
            "id": ada,
            "name": "Ada@example.com",
            "detail": "Ada Lovelace",
            "path": f"/v1/admin/users/{ada}",
        }
        assert len(results) == (2 if q.startswith("@") else 1), q
    assert await found(client, SEARCH_USERS, "nobody") == []
    assert await found(client, SEARCH_USERS, new_id("usr")) == []


async def test_whoever_has_the_very_email_comes_first_and_few_follow(
    client: IdentityClient,
) -> None:
    ada = await client.create_user("a@example.com")
    for number in range(MOST_RESULTS + 2):
        await client.create_user(f"{number}a@example.com")
    results = await found(client, SEARCH_USERS, "a@example.com")
    assert (results[0]["id"], len(results)) == (ada, MOST_RESULTS)
    assert len({each["id"] for each in results}) == MOST_RESULTS


async def test_a_session_leads_to_its_user(client: IdentityClient) -> None:
    ada = await client.create_user("ada@example.com")
    begun = await client.call(session_calls.CREATE_SESSION, {"project_id": client.project}, ada)
    session = begun.body["session"]["id"]
    (result,) = await found(client, SEARCH_USERS, session)
    assert (result["type"], result["id"]) == ("session", session)
    assert (result["name"], result["path"]) == ("ada@example.com", f"/v1/admin/users/{ada}")


async def test_an_organization_is_found_by_id_slug_and_name(client: IdentityClient) -> None:
    acme = await client.create_organization(name="Acme Inc.", slug="acme")
    await client.create_organization(name="Other", slug="not-acme")
    for q in (acme, "Acme Inc"):
        (result,) = await found(client, SEARCH_ORGANIZATIONS, q)
        assert (result["id"], result["name"], result["detail"]) == (acme, "Acme Inc.", "acme")
    first, _ = await found(client, SEARCH_ORGANIZATIONS, "ACME")
    assert first["id"] == acme


async def test_an_invitation_leads_to_those_of_its_organization(client: IdentityClient) -> None:
    acme = await client.create_organization()
    body = {"email": "eve@example.com"}
    made = await client.call(invitation_calls.CREATE_INVITATION, body, acme)
    (result,) = await found(client, SEARCH_ORGANIZATIONS, made.body["id"])
    assert (result["type"], result["name"]) == ("invitation", "eve@example.com")
    assert result["path"] == f"/v1/admin/organizations/{acme}/invitations"


async def test_another_tenant_finds_nothing(
    client: IdentityClient, other_client: IdentityClient
) -> None:
    ada = await client.create_user("ada@example.com", external_id="crm/7")
    acme = await client.create_organization(slug="acme-of-one")
    begun = await client.call(session_calls.CREATE_SESSION, {"project_id": client.project}, ada)
    for q in (ada, begun.body["session"]["id"], "ada@example.com", "crm/7", "ada"):
        assert await found(other_client, SEARCH_USERS, q) == []
    for q in (acme, "acme-of-one"):
        assert await found(other_client, SEARCH_ORGANIZATIONS, q) == []


async def test_signs_of_a_pattern_are_text(client: IdentityClient) -> None:
    await client.create_user("ada@example.com")
    for q in ("%%%", "___", "a%a", "\\", "'"):
        assert await found(client, SEARCH_USERS, q) == [], q
