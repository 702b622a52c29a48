"""The list of users: searched, filtered, sorted."""

import re
import unicodedata
from dataclasses import replace

from chassis.case_folding import fold_case, fold_search
from chassis.database import Connection
from chassis.listing import Listing, filters_of, search_pattern
from chassis.request import Reply, Request, reply_to
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.users import User, UsersQuery
from sqlalchemy import and_, func, literal_column

from identity.cascades import ORGANIZATION_OF_MEMBER, USER_OF_MEMBER
from identity.counters import (
    COUNT_MEMBERS,
    COUNT_MEMBERS_BY_STATUS,
    COUNT_USERS,
    COUNT_USERS_BY_STATUS,
    USER_BLOCKS,
)
from identity.tables import MEMBERS, ORGANIZATIONS, USERS, UserRow
from identity.users.frequent_trigrams import get_rare_part

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
        # Computed, so that the index is not asked for all of it.
        "q_whole": lambda pattern: USERS.c.search.concat("").like(fold_search(pattern)),
        "q_short": lambda pattern: USERS.c.search.regexp_match(fold_search(pattern)),
        "status": lambda status: USERS.c.status == status,
        "suspended": lambda _: USERS.c.status == literal_column("'suspended'"),
        "email": lambda email: USERS.c.email_key == fold_case(email),
        "external_id": lambda external_id: USERS.c.external_id == external_id,
        "created_after": lambda time: USERS.c.created_at >= time,
        "created_before": lambda time: USERS.c.created_at <= time,
    },
    created=USERS.c.created_at,
    capped=frozenset({"q", "q_whole", "q_short"}),
    totals={
        (): COUNT_USERS,
        ("status",): COUNT_USERS_BY_STATUS,
    },
    blocks=USER_BLOCKS,
    few=frozenset({"suspended"}),
    # As in the index `users_search_sample`.
    sample=func.right(USERS.c.id, literal_column("1")) < literal_column("'2'"),
)
"""`q` searches anywhere; `q_short` is a `q` of one or two characters. With `q_whole`, `q` is the
part of it that the index looks up. `suspended` is that `status` in a search, which has an index.
"""
LIST_OF_ORGANIZATION = replace(
    LIST,
    source=MEMBERS.join(USERS, USER_OF_MEMBER).join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER),
    key=MEMBERS.c.user_id,
    scope={"tenant_id": MEMBERS.c.tenant_id, "organization_id": MEMBERS.c.organization_id},
    filters={
        **LIST.filters,
        # Computed, so that no index finds all users of the status first.
        "status": lambda status: USERS.c.status.concat("") == status,
        "suspended": lambda _: USERS.c.status.concat("") == literal_column("'suspended'"),
    },
    totals={(): COUNT_MEMBERS, ("status",): COUNT_MEMBERS_BY_STATUS},
    blocks=None,
    sample=None,
    near=2_000,
)
"""The same of the members of an organization."""
_user = and_(USERS.c.tenant_id == MEMBERS.c.tenant_id, USERS.c.id == MEMBERS.c.user_id.concat(""))
LIST_FROM_MEMBERS = replace(
    LIST_OF_ORGANIZATION,
    source=MEMBERS.join(USERS, _user).join(ORGANIZATIONS, ORGANIZATION_OF_MEMBER),
)
"""From their side: a member's user is found, and never the other way round, as the planner might
walk all users of the tenant. A text is better looked up among the users.
"""


@read_only()
async def list_users(conn: Connection, request: Request[Body, UsersQuery]) -> Reply:
    filters = filters_of(request.query)
    if request.query.q is not None:
        del filters["q"]
        filters |= await text_filter(conn, request.tenant, request.query.q)
        if request.query.status == "suspended":
            filters["suspended"] = filters.pop("status")
    scope = {"tenant_id": request.tenant}
    listing = LIST
    if "organization_id" in filters:
        scope["organization_id"] = filters.pop("organization_id")
        listing = LIST_FROM_MEMBERS if request.query.q is None else LIST_OF_ORGANIZATION
    users, pagination = await listing.json_page(conn, request, scope, filters)
    return reply_to(request, {"users": users, "pagination": pagination})


async def text_filter(conn: Connection, tenant_id: str, text: str) -> dict[str, str]:
    """The filter for users of whom a field contains the text."""
    if len(text) < 3:
        return {"q_short": word_start_pattern(text)}
    part = await get_rare_part(conn, tenant_id, text)
    if part == text:
        return {"q": search_pattern(text)}
    return {"q": search_pattern(part), "q_whole": search_pattern(text)}


def word_start_pattern(text: str) -> str:
    """The regular expression of a text at the beginning of a field or word: what precedes a word is
    a line break at the start of a field, other signs within names and addresses.

    The sign before the word lets the index help: ' ab' is a trigram, 'ab' is none. A text that
    begins with such a sign ('@a') has its word behind it.
    """
    anywhere = re.escape(unicodedata.normalize("NFKC", text))
    if text[0].isalnum():
        return f"[\n .@_+-]{anywhere}"
    return anywhere if text[-1].isalnum() else f"\n{anywhere}"
