"""The list of users: searched, filtered, sorted."""

from chassis.database import Connection
from chassis.listing import Listing, filters_of, search_pattern
from chassis.request import Reply, Request, reply_to
from contracts.models import Body
from contracts.users import UsersQuery
from sqlalchemy import exists, func

from identity import members, tallies, users
from identity.tables import MEMBERS, USERS

_BEFORE_A_WORD = ("\n", " ", ".", "@", "-", "\\_", "+")
"""A line break begins a field; the others part the words of names and addresses. As LIKE has it."""

LIST = Listing(
    source=USERS,
    columns=users.COLUMNS,
    key=USERS.c.id,
    scope={"tenant_id": USERS.c.tenant_id},
    sorts={"email": USERS.c.email_key, "last_sign_in_at": USERS.c.signed_in_order},
    filters={
        "q": USERS.c.search.like,
        "begins": lambda patterns: USERS.c.search.like(func.any(patterns)),
        "status": lambda status: USERS.c.status == status,
        "email": lambda email: USERS.c.email_key == func.lower(email),
        "external_id": lambda external_id: USERS.c.external_id == external_id,
        "organization_id": lambda organization_id: exists().where(
            MEMBERS.c.tenant_id == USERS.c.tenant_id,
            MEMBERS.c.organization_id == organization_id,
            MEMBERS.c.user_id == USERS.c.id,
        ),
        "created_after": lambda time: USERS.c.created_at >= time,
        "created_before": lambda time: USERS.c.created_at <= time,
    },
    created=USERS.c.created_at,
    capped=frozenset({"q", "begins"}),
    totals={
        (): tallies.total(tallies.USERS),
        ("status",): tallies.total(tallies.USERS_OF_STATUS),
        ("organization_id",): members.COUNTED,
    },
)
"""`q` looks anywhere; `begins` is a `q` of one or two characters."""


async def find_all(conn: Connection, request: Request[Body, UsersQuery]) -> Reply:
    filters = filters_of(request.query)
    text = request.query.q
    if text is not None and len(text) < 3:
        del filters["q"]
        filters["begins"] = beginnings(text)
    rows, pagination = await LIST.page(conn, request, {"tenant_id": request.tenant}, filters)
    return reply_to(
        request, {"users": [users.shown(row) for row in rows], "pagination": pagination}
    )


def beginnings(text: str) -> list[str]:
    """The LIKE patterns of a text at the beginning of a field or word.

    The sign before the word is what makes the index help: '%.ab%' has the trigrams '  a' and ' ab',
    '%ab%' has none. The same as a regular expression reads every row of the tenant. A text that
    begins with such a sign ('@a') has its word behind it.
    """
    anywhere = search_pattern(text)
    if text[0].isalnum():
        return [f"%{sign}{anywhere[1:]}" for sign in _BEFORE_A_WORD]
    if text[-1].isalnum():
        return [anywhere]
    return [f"%\n{anywhere[1:]}"]
