"""The list of users: searched, filtered, sorted."""

from chassis.case_folding import fold_case, fold_search
from chassis.database import Connection
from chassis.listing import Listing, filters_of, search_pattern
from chassis.request import Reply, Request, reply_to
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.users import User, UsersQuery
from sqlalchemy import exists, func

from identity.cascades import ORGANIZATION_OF_MEMBER
from identity.counters import COUNT_MEMBERS, COUNT_USERS, COUNT_USERS_BY_STATUS
from identity.tables import MEMBERS, USERS, UserRow

_WORD_STARTS = ("\n", " ", ".", "@", "-", "\\_", "+")
"""What precedes a word, escaped for LIKE: a line break at the start of a field, the others within
names and addresses.
"""
_SEPARATOR = "\x1f"
"""Between patterns that are folded together; no text of a search has control characters."""

_SHOWN = {name: USERS.c[name] for name in User.model_fields}
LIST = Listing(
    row=UserRow,
    source=USERS,
    columns=list(_SHOWN.values()),
    shown=_SHOWN,
    key=USERS.c.id,
    scope={"tenant_id": USERS.c.tenant_id},
    sorts={"email": USERS.c.email_key, "last_sign_in_at": USERS.c.signed_in_order},
    filters={
        "q": lambda pattern: USERS.c.search.like(fold_search(pattern)),
        "q_short": lambda patterns: USERS.c.search.like(
            func.any(func.string_to_array(fold_search(patterns), _SEPARATOR))
        ),
        "status": lambda status: USERS.c.status == status,
        "email": lambda email: USERS.c.email_key == fold_case(email),
        "external_id": lambda external_id: USERS.c.external_id == external_id,
        "organization_id": lambda organization_id: exists().where(
            MEMBERS.c.tenant_id == USERS.c.tenant_id,
            MEMBERS.c.organization_id == organization_id,
            MEMBERS.c.user_id == USERS.c.id,
            ORGANIZATION_OF_MEMBER,
        ),
        "created_after": lambda time: USERS.c.created_at >= time,
        "created_before": lambda time: USERS.c.created_at <= time,
    },
    created=USERS.c.created_at,
    capped=frozenset({"q", "q_short"}),
    totals={
        (): COUNT_USERS,
        ("status",): COUNT_USERS_BY_STATUS,
        ("organization_id",): COUNT_MEMBERS,
    },
)
"""`q` searches anywhere; `q_short` is a `q` of one or two characters."""


@read_only()
async def list_users(conn: Connection, request: Request[Body, UsersQuery]) -> Reply:
    filters = filters_of(request.query)
    if request.query.q is not None:
        del filters["q"]
        filters |= text_filter(request.query.q)
    users, pagination = await LIST.json_page(conn, request, {"tenant_id": request.tenant}, filters)
    return reply_to(request, {"users": users, "pagination": pagination})


def text_filter(text: str) -> dict[str, str]:
    """The filter for users of whom a field contains the text."""
    if len(text) < 3:
        return {"q_short": _SEPARATOR.join(word_start_patterns(text))}
    return {"q": search_pattern(text)}


def word_start_patterns(text: str) -> list[str]:
    """The LIKE patterns of a text at the beginning of a field or word.

    The sign before the word lets the index help: '%.ab%' has the trigrams '  a' and ' ab', '%ab%'
    has none. The same as a regular expression reads every row of the tenant. A text that begins
    with such a sign ('@a') has its word behind it.
    """
    anywhere = search_pattern(text)
    if text[0].isalnum():
        return [f"%{sign}{anywhere[1:]}" for sign in _WORD_STARTS]
    if text[-1].isalnum():
        return [anywhere]
    return [f"%\n{anywhere[1:]}"]
