"""What a search finds and counts is what the plain condition finds, however it is looked up."""

from typing import Any

import pytest
from chassis.case_folding import fold_search
from chassis.list_statements import MAX_COUNT
from chassis.search_count import count_found
from chassis.statements import Statement
from identity.tables import USERS
from identity.users.frequent_trigrams import find_frequent, rare_part
from identity.users.user_search import LIST
from service.identity.client import IdentityClient
from sqlalchemy import bindparam, select, true

USERS_CREATED = 3_000
TEXTS = [
    *("example", "smith", "berger", "quentin", "quixley", "zzyzx"),
    *("user77", "user777@", "r29", "user2999@example.com"),
    *("q", "sm", "be", "zz", "u"),
]
# Words of every density: all users, two thirds, a tenth of the newest only, one of 16, one, none.
_FILL = """
INSERT INTO users (tenant_id, id, email, email_verified, name, status, metadata, version,
                   created_at, updated_at)
SELECT $1, 'usr_01jz' || lpad(n::text, 21, '0') || substr('0123456789abcdefghjkmnpqrstvwxyz',
           1 + get_byte(decode(md5(n::text), 'hex'), 0) % 32, 1), 'user' || n || '@example.com',
       true, CASE WHEN n % 3 > 0 THEN 'Smith' ELSE 'Smythe' END
       || CASE WHEN n > 2000 AND n % 10 = 0 THEN ' Berger' ELSE '' END
       || CASE WHEN n % 16 = 5 THEN ' Quentin' ELSE '' END
       || CASE WHEN n = 77 THEN ' Quixley' ELSE '' END,
       CASE WHEN n % 20 = 0 THEN 'suspended' ELSE 'active' END, '{}', 1,
       now() - (3000 - n) * interval '1 minute', now()
  FROM generate_series(1, $2::int) AS n
"""
_PLAIN = """
SELECT id FROM users WHERE tenant_id = $1 AND ($2::text IS NULL OR status = $2)
   AND (strpos(search, $3) > 0 AND length($3) > 2 OR search ~ ('[\\n .@_+-]' || $3))
 ORDER BY {order}
"""


@pytest.fixture(name="tenant", scope="module")
async def _tenant(identity: Any, projects: Any) -> IdentityClient:
    client = await IdentityClient.create(identity, projects)
    await client.pool.execute(_FILL, client.tenant, USERS_CREATED)
    await client.pool.execute("ANALYZE users")
    return client


@pytest.mark.parametrize("q", TEXTS)
@pytest.mark.parametrize("query", [{}, {"status": "suspended"}, {"sort": "email"}])
async def test_a_search_finds_what_the_plain_condition_finds(
    tenant: IdentityClient, q: str, query: dict[str, str]
) -> None:
    order = "email_key, id" if "sort" in query else "id DESC"
    plain = await tenant.pool.fetch(
        _PLAIN.format(order=order), tenant.tenant, query.get("status"), q
    )
    wanted = [row["id"] for row in plain]
    walked: list[str] = []
    cursor: dict[str, str] = {}
    while len(walked) < 300:
        page = await tenant.list_users(q=q, limit=100, **query, **cursor)
        walked += [user["id"] for user in page["users"]]
        found = page["pagination"]
        assert found["total"] == min(len(wanted), MAX_COUNT)
        assert found["total_exact"] == (len(wanted) <= MAX_COUNT)
        if found["next_cursor"] is None:
            break
        cursor = {"cursor": found["next_cursor"]}
    assert walked == wanted[: len(walked)]
    assert len(walked) >= min(len(wanted), 300)
    far = await tenant.list_users(q=q, limit=50, page=13, **query)
    assert [user["id"] for user in far["users"]] == wanted[600:650]


@pytest.mark.parametrize("bound", [1, 10, 60, 99, 100, 187, 1_999, 2_999, 3_000])
async def test_a_count_is_exact_up_to_its_bound(tenant: IdentityClient, bound: int) -> None:
    found = USERS.c.search.like(fold_search(bindparam("q")))
    rows = select().where(USERS.c.tenant_id == bindparam("tenant_id"))
    assert LIST.sample is not None
    # A part in which there is nothing, or everything, changes the cost and not the count.
    for sample in (LIST.sample, true()):
        count = Statement(count_found(rows, [USERS.c.id.desc()], found, sample, bound))
        Statement.all.pop()
        for q in ("example", "smith", "berger", "quentin", "quixley", "zzyzx"):
            values = {"tenant_id": tenant.tenant, "q": f"%{q}%"}
            plain = await tenant.pool.fetchval(
                "SELECT count(*) FROM users WHERE tenant_id = $1 AND strpos(search, $2) > 0",
                *(tenant.tenant, q),
            )
            assert await count.fetch_value(tenant.pool, **values) == min(plain, bound + 1), q


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("user777@", "er777@"),
        ("USER777@example.com", "ER777@"),
        ("user", "user"),
        ("ada user7", "ada user7"),
        ("777", "777"),
        ("x@example.com", "x@example.com"),
    ],
)
def test_what_nearly_all_users_share_is_not_looked_up(text: str, part: str) -> None:
    texts = [f"\nuser{n}@example.com\n\nada {n}\n" for n in range(100)]
    frequent = find_frequent(texts) - {"ada"}
    assert rare_part(text, frequent) == part


async def test_a_search_of_members_finds_what_the_plain_condition_finds(
    tenant: IdentityClient,
) -> None:
    """Of more members than are looked at first, by texts that many, few and one of them have."""
    organization = await tenant.create_organization()
    await tenant.pool.execute(
        "INSERT INTO members (tenant_id, organization_id, user_id, role, permissions, joined_at)"
        " SELECT tenant_id, $2, id, 'member', '{}', created_at FROM users WHERE tenant_id = $1",
        *(tenant.tenant, organization),
    )
    for q in ("smith", "berger", "quentin", "quixley", "zzyzx", "user1"):
        plain = await tenant.pool.fetch(
            "SELECT id FROM users WHERE tenant_id = $1 AND strpos(search, $2) > 0"
            " ORDER BY created_at DESC, id DESC",
            *(tenant.tenant, q),
        )
        wanted = [row["id"] for row in plain]
        walked: list[str] = []
        cursor: dict[str, str] = {}
        while cursor.get("cursor", "") is not None:
            page = await tenant.list_members(organization, q=q, limit=200, **cursor)
            walked += [member["user"]["id"] for member in page["members"]]
            cursor = {"cursor": page["pagination"]["next_cursor"]}
        assert walked == wanted, q
        far = await tenant.list_members(organization, q=q, limit=50, page=3)
        assert [member["user"]["id"] for member in far["members"]] == wanted[100:150]
        assert far["pagination"]["total"] == min(len(wanted), MAX_COUNT)
