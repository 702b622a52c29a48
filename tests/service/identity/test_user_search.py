"""The list of users: searched, filtered, sorted, and walked while others come and go."""

import sys
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from chassis.database import open_pool
from chassis.statements import Statement
from contracts import users as calls
from contracts.ids import new_id
from identity.tables import USERS
from identity.users.user_search import LIST, list_users
from service.identity.client import IdentityClient
from sqlalchemy import bindparam, select
from support.case_variants import CASES, HOSTILE_NAMES, variants
from support.owner import Owner


async def _names(client: IdentityClient, **query: Any) -> list[str]:
    """The local parts of the emails on the only page."""
    page = await client.list_users(**query)
    assert page["pagination"]["total"] == len(page["users"])
    return [each["email"].split("@")[0].split("+")[0] for each in page["users"]]


async def test_a_user_in_the_list_is_as_it_was_created(client: IdentityClient) -> None:
    body = {"email": "ada@example.com", "metadata": {"a": {"b": [1]}}}
    created = await client.call(calls.CREATE_USER, body)
    assert (await client.list_users())["users"] == [created.body]


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
async def test_a_search_takes_no_character_for_a_pattern(
    client: IdentityClient, q: str, wanted: list[str]
) -> None:
    await client.create_user("obi@sample.org", name="Ben Kenobi")
    await client.create_user("zoe@example.com", name="Zoe Loark", username="zl", external_id="x-77")
    await client.create_user("sale@sample.org", name="% off 50%", external_id="_a_b")
    assert await _names(client, q=q) == wanted


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
        # A word begins after a blank and after what separates the words of an address.
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
    client: IdentityClient, q: str, wanted: list[str]
) -> None:
    await client.create_user("eva@example.com", name="Éva Smith")
    await client.create_user("luk@north.org", name="Łukasz O-Wit", username="x_wi")
    await client.create_user("wang+tag@example.com", name="王小明", username="y.ta")
    assert await _names(client, q=q) == wanted


async def test_each_filter_leaves_its_own(client: IdentityClient) -> None:
    first = await client.create_user("Ada@example.com", external_id="x1")
    between = datetime.now(UTC).isoformat()
    await client.create_user("bob@example.com", status="suspended")
    organization = await client.create_organization(owner_id=first)
    ada, bob = "Ada", "bob"
    for query, wanted in (
        ({}, [bob, ada]),
        ({"status": "suspended"}, [bob]),
        ({"email": "ADA@EXAMPLE.COM"}, [ada]),
        ({"email": "nobody"}, []),
        ({"external_id": "x1"}, [ada]),
        ({"organization_id": organization}, [ada]),
        ({"organization_id": new_id("org")}, []),
        ({"organization_id": "nothing"}, []),
        ({"created_after": between}, [bob]),
        ({"created_before": between}, [ada]),
        ({"q": "example", "status": "active", "created_before": between}, [ada]),
    ):
        assert await _names(client, **query) == wanted, query


async def test_each_sort_goes_both_ways(client: IdentityClient) -> None:
    for name in ("b", "C", "a"):
        await client.create_user(f"{name}@example.com")
    for day, name in ((1, "a"), (2, "b")):
        await client.pool.execute(
            "UPDATE users SET last_sign_in_at = $1 WHERE tenant_id = $2 AND email = $3",
            *(datetime(2026, 1, day, tzinfo=UTC), client.tenant, f"{name}@example.com"),
        )
    for sort, wanted in (
        ("created_at", "bca"),
        ("email", "abc"),
        ("last_sign_in_at", "cab"),
    ):
        for given, expected in ((sort, wanted), (f"-{sort}", wanted[::-1])):
            names = await _names(client, sort=given)
            assert "".join(names).lower() == expected, given


@pytest.mark.parametrize(
    "sort", ["-created_at", "created_at", "email", "last_sign_in_at", "-last_sign_in_at"]
)
@pytest.mark.parametrize("days", [{}, {"created_after": "2026-01-01"}])
async def test_a_walk_meets_each_user_once_while_others_come(
    client: IdentityClient, sort: str, days: dict[str, str]
) -> None:
    users = {await client.create_user(f"u{each}@example.com") for each in range(7)}
    walked: list[str] = []
    pages = 0
    query: dict[str, Any] = {"limit": 2, "sort": sort, **days}
    while query.get("cursor", "") is not None:
        page = await client.list_users(**query)
        walked += [each["id"] for each in page["users"]]
        query["cursor"] = page["pagination"]["next_cursor"]
        pages += 1
        assert pages < 20
        if pages < 4:
            await client.create_user(f"a{pages}@example.com")
            await client.create_user(f"u3x{pages}@example.com")
    assert len(walked) == len(set(walked))
    assert users <= set(walked)


@pytest.mark.parametrize("sort", ["-created_at", "email", "last_sign_in_at"])
async def test_a_walk_meets_each_user_who_stays_while_others_go(
    client: IdentityClient, sort: str
) -> None:
    users = [await client.create_user(f"u{each}@example.com") for each in range(12)]
    leaving = set(users[1::3])
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2, "sort": sort}
    while query.get("cursor", "") is not None:
        page = await client.list_users(**query)
        walked += [each["id"] for each in page["users"]]
        query["cursor"] = page["pagination"]["next_cursor"]
        # The very row that the cursor names is deleted too.
        leaves = next((each for each in walked[-1:] if each in leaving), None) or (
            leaving.pop() if leaving else None
        )
        if leaves is not None:
            leaving.discard(leaves)
            await client.delete_user(leaves)
    assert len(walked) == len(set(walked))
    assert set(users) - set(users[1::3]) <= set(walked)


async def test_every_character_is_found_in_each_case_that_it_has(client: IdentityClient) -> None:
    characters = [
        each
        for each in map(chr, range(0xA0, sys.maxunicode + 1))
        if any(case(each) != each for case in CASES)
        or (unicodedata.normalize("NFKD", each) != each and not each.isspace())
    ]
    pairs = {(f"a{each}b", other) for each in characters for other in variants(f"a{each}b")}
    texts, others = zip(*sorted(pairs), strict=True)
    missed = await client.pool.fetch(
        "SELECT one, other FROM unnest($1::text[], $2::text[]) AS t(one, other)"
        " WHERE fold_search(one) <> fold_search(other)"
        " OR fold_search(fold_search(one)) <> fold_search(one)",
        *(texts, others),
    )
    assert not missed


async def test_a_user_is_found_by_each_form_of_the_name(client: IdentityClient) -> None:
    for place, name in enumerate(HOSTILE_NAMES):
        await client.create_user(f"u{place}@example.com", name=name)
    for place, name in enumerate(HOSTILE_NAMES):
        for text in variants(name):
            assert f"u{place}" in await _names(client, q=text), ascii((name, text))


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("\u03c3\u03cd \u03c2", ["\u03a3", "\u03c3", "\u03c2"]),
        ("İstanbul", ["i", "I", "İ", "\u0131", "i\u0307", "ist", "IST"]),
        ("ẞ 1", ["ß", "ẞ", "ss", "SS"]),
        ("ﬁ", ["f", "FI", "ﬁ"]),
    ],
)
async def test_a_short_search_has_no_case(
    client: IdentityClient, name: str, texts: list[str]
) -> None:
    await client.create_user("x@y.test", name=name)
    await client.create_user("q@y.test", name="qqq")
    for text in texts:
        assert await _names(client, q=text) == ["x"], ascii(text)


async def test_a_search_is_looked_up_in_the_index(client: IdentityClient) -> None:
    """The folded pattern has trigrams, in a plan for this text and in one for any, where the
    function is inlined: a call would cost ten times what ASCII does.
    """
    user = await client.create_user()
    columns = "tenant_id, email_verified, status, metadata, version, created_at, updated_at"
    tenant = USERS.c.tenant_id == bindparam("tenant_id")
    async with client.pool.acquire() as conn:
        many = conn.transaction()
        await many.start()
        await conn.execute(
            f"INSERT INTO users ({columns}, id, email) SELECT {columns}, id || n, n || email"
            " FROM users, generate_series(1, 5000) AS n WHERE id = $1",
            user,
        )
        for mode in ("force_custom_plan", "force_generic_plan"):
            await conn.execute(f"SET LOCAL plan_cache_mode = {mode}")
            for name, pattern in (("q", "%Straße%"), ("q_short", "[\n .@_+-]Straße")):
                found = LIST.filters[name](bindparam(name))
                statement = Statement(select(USERS.c.id).where(tenant, found))
                values = statement.arguments({"tenant_id": client.tenant, name: pattern})
                plan = await conn.fetch(f"EXPLAIN {statement.sql}", *values)
                scans = "".join(line[0] for line in plan)
                assert "(search ~" in scans.split("users_search")[-1], scans
                assert "fold_pattern(" not in scans
        await many.rollback()


async def test_a_search_is_planned_for_its_text_however_many_came_before(
    client: IdentityClient,
) -> None:
    """One plan for every text would read all that contain a common word, to show the newest."""
    await client.create_user("ada@example.com", name="Ada Smith")
    pool = await open_pool(client.identity.settings.database_url, 1)
    try:
        owner = Owner({calls.LIST_USERS: list_users}, pool, client.identity.settings)
        for _ in range(12):
            found = await owner.call(calls.LIST_USERS, client.tenant, query={"q": "quixley"})
            assert found.status == 200, found.body
        kept = await pool.fetch(
            "SELECT statement FROM pg_prepared_statements"
            " WHERE statement LIKE 'SELECT users.id%fold_pattern%'"
        )
    finally:
        await pool.close()
    assert [row["statement"] for row in kept] == []
