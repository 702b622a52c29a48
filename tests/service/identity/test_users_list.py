"""The list of users: searched, filtered, sorted and walked, asked of identity alone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from contracts import organizations as organization_calls
from contracts import users as calls
from contracts.ids import new_id
from support.owner import Owner


async def _user(identity: Owner, tenant: str, email: str, **fields: Any) -> str:
    made = await identity.call(calls.CREATE_USER, tenant, {"email": email, **fields})
    assert made.status == 201, made.body
    return made.body["id"]


async def _emails(identity: Owner, tenant: str, **query: Any) -> list[str]:
    found = await identity.call(calls.LIST_USERS, tenant, query=query)
    assert found.status == 200, found.body
    assert found.body["pagination"]["total"] == len(found.body["users"])
    return [each["email"].split("@")[0] for each in found.body["users"]]


async def test_a_user_in_the_list_is_as_it_was_created(identity: Owner, tenant: str) -> None:
    body = {"email": "ada@example.com", "metadata": {"a": {"b": [1]}}}
    made = await identity.call(calls.CREATE_USER, tenant, body)
    listed = await identity.call(calls.LIST_USERS, tenant)
    assert listed.body["users"] == [made.body]


@pytest.mark.parametrize(
    ("q", "wanted"),
    [
        # One or two characters: the beginning of a field or of a word in it.
        ("z", ["zoe"]),
        ("O", ["sale", "obi"]),
        ("ke", ["obi"]),
        ("lo", ["zoe"]),
        ("en", []),
        ("x-", ["zoe"]),
        ("%", ["sale"]),
        ("5", ["sale"]),
        ("0%", []),
        ("_", ["sale"]),
        ("(", []),
        (".*", []),
        ("\\", []),
        # Three and more: anywhere, any case, in each of the four fields.
        ("enob", ["obi"]),
        ("ARK", ["zoe"]),
        ("-77", ["zoe"]),
        ("oe@exam", ["zoe"]),
        ("a_b", ["sale"]),
        ("a%b", []),
        ("50%", ["sale"]),
        ("z_e", []),
        ("%%%", []),
        ("e\\c", []),
    ],
)
async def test_a_search_means_what_it_says(
    identity: Owner, tenant: str, q: str, wanted: list[str]
) -> None:
    await _user(identity, tenant, "obi@sample.org", name="Ben Kenobi")
    await _user(
        identity, tenant, "zoe@example.com", name="Zoe Loark", username="zl", external_id="x-77"
    )
    await _user(identity, tenant, "sale@sample.org", name="% off 50%", external_id="_a_b")
    assert await _emails(identity, tenant, q=q) == wanted


async def test_each_filter_leaves_its_own(identity: Owner, tenant: str) -> None:
    first = await _user(identity, tenant, "Ada@example.com", external_id="x1")
    between = datetime.now(UTC).isoformat()
    await _user(identity, tenant, "bob@example.com", status="suspended")
    body = {"name": "Acme", "owner_id": first}
    made = await identity.call(organization_calls.CREATE_ORGANIZATION, tenant, body)
    ada, bob = "Ada", "bob"
    for query, wanted in (
        ({}, [bob, ada]),
        ({"status": "suspended"}, [bob]),
        ({"email": "ADA@EXAMPLE.COM"}, [ada]),
        ({"email": "nobody"}, []),
        ({"external_id": "x1"}, [ada]),
        ({"organization_id": made.body["id"]}, [ada]),
        ({"organization_id": new_id("org")}, []),
        ({"organization_id": "nothing"}, []),
        ({"created_after": between}, [bob]),
        ({"created_before": between}, [ada]),
        ({"q": "example", "status": "active", "created_before": between}, [ada]),
    ):
        assert await _emails(identity, tenant, **query) == wanted, query


async def test_each_sort_goes_both_ways(identity: Owner, tenant: str) -> None:
    for name in ("b", "C", "a"):
        await _user(identity, tenant, f"{name}@example.com")
    for day, name in ((1, "a"), (2, "b")):
        await identity.pool.execute(
            "UPDATE users SET last_sign_in_at = $1 WHERE tenant_id = $2 AND email = $3",
            *(datetime(2026, 1, day, tzinfo=UTC), tenant, f"{name}@example.com"),
        )
    for sort, wanted in (
        ("created_at", "bca"),
        ("email", "abc"),
        ("last_sign_in_at", "cab"),
    ):
        for given, expected in ((sort, wanted), (f"-{sort}", wanted[::-1])):
            found = await _emails(identity, tenant, sort=given)
            assert "".join(found).lower() == expected, given


@pytest.mark.parametrize(
    "sort", ["-created_at", "created_at", "email", "last_sign_in_at", "-last_sign_in_at"]
)
@pytest.mark.parametrize("days", [{}, {"created_after": "2026-01-01"}])
async def test_a_walk_meets_each_user_once_while_others_come(
    identity: Owner, tenant: str, sort: str, days: dict[str, str]
) -> None:
    there = {await _user(identity, tenant, f"u{each}@example.com") for each in range(7)}
    walked: list[str] = []
    pages = 0
    query: dict[str, Any] = {"limit": 2, "sort": sort, **days}
    while query.get("cursor", "") is not None:
        page = await identity.call(calls.LIST_USERS, tenant, query=query)
        assert page.status == 200, page.body
        walked += [each["id"] for each in page.body["users"]]
        query["cursor"] = page.body["pagination"]["next_cursor"]
        pages += 1
        assert pages < 20
        if pages < 4:
            await _user(identity, tenant, f"a{pages}@example.com")
            await _user(identity, tenant, f"u3x{pages}@example.com")
    assert len(walked) == len(set(walked))
    assert there <= set(walked)
