"""What `q` finds in the lists of users and members, in any alphabet, and a walk while rows go."""

from typing import Any

import pytest
from contracts import members
from contracts import organizations as organization_calls
from contracts import users as calls
from support.owner import Owner


async def _user(identity: Owner, tenant: str, email: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_USER, tenant, {"email": email, **fields})
    assert made.status == 201, made.body
    return made.body["id"]


@pytest.mark.parametrize(
    ("q", "wanted"),
    [
        # Any case, beyond A to Z too.
        ("éva", ["eva"]),
        ("ÉVA", ["eva"]),
        ("Łuk", ["luk"]),
        ("év", ["eva"]),
        ("É", ["eva"]),
        ("ł", ["luk"]),
        ("王", ["wang"]),
        ("小", []),
        # A word begins after a blank and after what parts the words of an address.
        ("sm", ["eva"]),
        ("wi", ["luk"]),
        ("ta", ["wang"]),
        ("no", ["luk"]),
        ("mi", []),
        ("@n", ["luk"]),
        ("@", []),
    ],
)
async def test_a_search_knows_letters_and_words(
    identity: Owner, tenant: str, q: str, wanted: list[str]
) -> None:
    await _user(identity, tenant, "eva@example.com", name="Éva Smith")
    await _user(identity, tenant, "luk@north.org", name="Łukasz O-Wit", username="x_wi")
    await _user(identity, tenant, "wang+tag@example.com", name="王小明", username="y.ta")
    found = await identity.call(calls.LIST_USERS, tenant, query={"q": q})
    assert found.status == 200, found.body
    emails = [each["email"].split("@")[0].split("+")[0] for each in found.body["users"]]
    assert emails == wanted
    assert found.body["pagination"]["total"] == len(wanted)


async def test_an_organizations_name_is_found_in_any_case(identity: Owner, tenant: str) -> None:
    await identity.call(organization_calls.CREATE_ORGANIZATION, tenant, {"name": "Ärzte Übersee"})
    for q in ("ärzte", "ÜBERSEE"):
        query = {"q": q}
        found = await identity.call(organization_calls.LIST_ORGANIZATIONS, tenant, query=query)
        assert len(found.body["organizations"]) == 1, q


async def test_members_are_found_by_email_and_name_only(identity: Owner, tenant: str) -> None:
    user = await _user(
        identity, tenant, "ada@example.com", name="Ada Ł", username="countess", external_id="x-1815"
    )
    body = {"name": "Acme", "owner_id": user}
    made = await identity.call(organization_calls.CREATE_ORGANIZATION, tenant, body)
    for q, wanted in (("ADA@", 1), ("da ł", 1), ("a", 1), ("countess", 0), ("1815", 0)):
        found = await identity.call(
            members.LIST_MEMBERS, tenant, path={"id": made.body["id"]}, query={"q": q}
        )
        assert len(found.body["members"]) == wanted, q


@pytest.mark.parametrize("sort", ["-created_at", "email", "last_sign_in_at"])
async def test_a_walk_meets_who_was_there_throughout_while_others_go(
    identity: Owner, tenant: str, sort: str
) -> None:
    ids = [await _user(identity, tenant, f"u{each}@example.com") for each in range(12)]
    going = set(ids[1::3])
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2, "sort": sort}
    while query.get("cursor", "") is not None:
        page = await identity.call(calls.LIST_USERS, tenant, query=query)
        walked += [each["id"] for each in page.body["users"]]
        query["cursor"] = page.body["pagination"]["next_cursor"]
        # The very row that the cursor names goes too.
        goes = next((each for each in walked[-1:] if each in going), None) or (
            going.pop() if going else None
        )
        if goes is not None:
            going.discard(goes)
            await identity.call(calls.DELETE_USER, tenant, path={"id": goes})
    assert len(walked) == len(set(walked))
    assert set(ids) - set(ids[1::3]) <= set(walked)
