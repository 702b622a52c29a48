"""Lists that PostgreSQL writes are byte for byte what the models make of the same rows."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest
from chassis.list_statements import MAX_LIMIT, Start
from chassis.listing import Listing
from chassis.request import json_bytes
from chassis.rows import to_resource
from chassis.statements import Statement
from contracts.calls import Call
from contracts.members import LIST_MEMBERS
from contracts.models import ListQuery
from contracts.organizations import LIST_ORGANIZATIONS
from contracts.sessions import Session
from contracts.users import GET_USER, LIST_USERS, UserOrganization
from identity.organizations import members, organizations
from identity.tables import MEMBERS, ORGANIZATIONS, SESSIONS, SessionRow
from identity.users import user_search, users
from service.identity.client import IdentityClient
from service.statement_log import logged
from sqlalchemy import ColumnElement, Table, bindparam, select

TEXTS = [
    "".join(map(chr, range(1, 0x20))),
    "\"quoted\" \\back\\ /slash/ 'single' <tag> & \x7f",
    "\u2028\u2029 é \u0301 漢字 😀 \U0010ffff \ufeff",
    "2026-01-15T10:00:00.000000Z +00:00 null",
    None,
]
OBJECTS = [
    "{}",
    '{"a":{"b":[1,-0.5,1e300,true,null,"\\u0000\\ud83d\\ude00\\/"]}}',
    '{ "spaced" : [ 1 , 2 ] }',
    '{"":"","é":"\\u00e9"}',
    '{"same":1,"same":2}',
]
_BASE = datetime(2026, 1, 15, 10, tzinfo=UTC)
TIMES = [
    _BASE,
    _BASE + timedelta(microseconds=1),
    _BASE + timedelta(microseconds=120_000),
    _BASE.replace(year=999, hour=23, minute=59, second=59, microsecond=999_999),
    _BASE.replace(year=9999),
]


async def _create(client: IdentityClient) -> str:
    """An organization with five members, and more organizations, all with awkward values."""
    organization = await client.create_organization()
    for number, (text, metadata, time) in enumerate(zip(TEXTS, OBJECTS, TIMES, strict=True)):
        user = await client.create_user(f"user{number}@example.com")
        await client.add_member(organization, user)
        await client.pool.execute(
            "UPDATE users SET name = $3, username = $4, metadata = $5, created_at = $6,"
            " updated_at = $6, last_sign_in_at = $7 WHERE tenant_id = $1 AND id = $2",
            *(client.tenant, user, text, f"{text}{number}", metadata, time),
            None if number % 2 else time,
        )
        await client.pool.execute(
            "UPDATE members SET joined_at = $3, permissions = $4"
            " WHERE tenant_id = $1 AND user_id = $2",
            *(client.tenant, user, time, [text, "NULL", ""] if text else []),
        )
        await client.pool.execute(
            "UPDATE organizations SET name = $3, logo_url = $4, settings = $5, metadata = $5,"
            " created_at = $6, max_members = $7 WHERE tenant_id = $1 AND id = $2",
            *(client.tenant, await client.create_organization(), text or "", text, metadata, time),
            2**31 - 1 if number % 2 else None,
        )
    return organization


async def _user(client: IdentityClient, shown: Any, _: str) -> dict[str, Any]:
    row = await users.CRUD.get(client.pool, tenant_id=client.tenant, id=shown["id"])
    return users.CRUD.shown(row)


async def _organization(client: IdentityClient, shown: Any, _: str) -> dict[str, Any]:
    row = await organizations.CRUD.get(client.pool, tenant_id=client.tenant, id=shown["id"])
    return organizations.CRUD.shown(row)


async def _member(client: IdentityClient, shown: Any, organization: str) -> dict[str, Any]:
    key = {"organization_id": organization, "user_id": shown["user_id"]}
    row = await members.GET.fetch_one(client.pool, tenant_id=client.tenant, **key)
    assert row is not None
    return members.to_member(row)


Make = Callable[[IdentityClient, Any, str], Awaitable[dict[str, Any]]]


@pytest.mark.parametrize(
    ("call", "make", "sorts", "count"),
    [
        (LIST_USERS, _user, ["created_at", "email", "last_sign_in_at"], 5),
        (LIST_ORGANIZATIONS, _organization, ["created_at", "name"], 6),
        (LIST_MEMBERS, _member, [None], 5),
    ],
)
async def test_a_list_is_byte_for_byte_what_the_models_make(
    client: IdentityClient, call: Call, make: Make, sorts: list[str | None], count: int
) -> None:
    organization = await _create(client)
    path = dict.fromkeys(call.path, organization)
    (key,) = set(call.result.model_fields) - {"pagination"} if call.result else ()
    for sort in [each and f"{sign}{each}" for each in sorts for sign in ("", "-")]:
        for limit in (50, 2):
            found, cursor = 0, None
            while cursor is not None or not found:
                asked = {"limit": limit, "sort": sort, "cursor": cursor}
                query = {name: value for name, value in asked.items() if value is not None}
                # Not as `client.call`, which refuses the control characters.
                page = await client.identity.call(call, client.tenant, path=path, query=query)
                made = [await make(client, each, organization) for each in page.body[key]]
                body = {key: made, "pagination": page.body["pagination"]}
                assert page.reply.body == json_bytes(body)
                found += len(made)
                cursor = page.body["pagination"]["next_cursor"]
            assert found == count, (sort, limit)


async def test_a_page_by_number_is_that_part_of_the_list(client: IdentityClient) -> None:
    for number in range(5):
        await client.create_user(f"user{number}@example.com")
    whole = (await client.list_users())["users"]
    pages = [(await client.list_users(limit=2, page=page))["users"] for page in (1, 2, 3, 4)]
    assert [user for page in pages for user in page] == whole
    assert (await client.list_users(limit=2, page=1_000))["users"] == []


@pytest.mark.parametrize("listing", [user_search.LIST, organizations.LIST, members.LIST])
def test_one_plan_serves_pages_of_every_length(listing: Listing[Any]) -> None:
    """The planner knows how long a page is at most: else it plans each one anew, which takes longer
    than to read fifty rows.
    """
    assert ListQuery.model_json_schema()["properties"]["limit"]["maximum"] == MAX_LIMIT
    starts: tuple[Start, ...] = ("top", "after")
    for start in starts:
        assert f" LIMIT {MAX_LIMIT + 1})" in listing.rows((), "-created_at", start, True).sql


async def test_a_user_is_one_statement_and_byte_for_byte_what_the_models_make(
    client: IdentityClient,
) -> None:
    user = await client.create_user()
    for text, time in zip(TEXTS, TIMES, strict=True):
        session = await client.insert_session(user)
        await client.pool.execute(
            "UPDATE sessions SET user_agent = $2, created_at = $3, last_active_at = $4"
            " WHERE id = $1",
            *(session, text, time, TIMES[0]),
        )
        organization = await client.create_organization()
        await client.add_member(organization, user)
        await client.pool.execute(
            "UPDATE members SET joined_at = $2, permissions = $3 WHERE organization_id = $1",
            *(organization, time, [text] if text else []),
        )
    async with logged(client.identity, {GET_USER: users.get_user}) as (owner, log):
        found = await owner.call(GET_USER, client.tenant, path={"id": user})
        await log.complete()
        assert log.is_single_statement()
    live = Statement(select(SESSIONS).where(_mine(SESSIONS, "user_id")), SessionRow)
    joined = Statement(
        select(ORGANIZATIONS.c["id", "name", "slug"], MEMBERS.c["role", "permissions", "joined_at"])
        .join(MEMBERS, MEMBERS.c.organization_id == ORGANIZATIONS.c.id)
        .where(_mine(MEMBERS, "user_id"))
        .order_by(MEMBERS.c.joined_at.desc()),
        UserOrganization,
    )
    key = {"tenant_id": client.tenant, "user_id": user}
    shown = [to_resource(row, Session) for row in await live.fetch_all(client.pool, **key)]
    value = {
        **(await _user(client, {"id": user}, "")),
        "sessions": sorted(shown, key=itemgetter("id"), reverse=True),
        "organizations": [
            to_resource(row, UserOrganization) for row in await joined.fetch_all(client.pool, **key)
        ],
        "more": {},
    }
    assert found.reply.body == json_bytes(value)


def _mine(table: Table, column: str) -> ColumnElement[bool]:
    return (table.c.tenant_id == bindparam("tenant_id")) & (table.c[column] == bindparam(column))
