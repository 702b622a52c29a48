"""Which parts of a searched text the index should look up: not those that nearly all users share.

The index reads all entries of each trigram of a text: `user777@` has two that a million users have.
Its rare part finds the same users, and the whole text is then compared with these few. What is
frequent is only guessed from some users, and decides about nothing but the cost.
"""

import re
from collections import Counter
from collections.abc import Iterable

from cachetools import TTLCache
from chassis.database import Connection
from chassis.statements import Statement
from sqlalchemy import ColumnElement, bindparam, literal_column, select, union_all

from identity.tables import USERS

LOOKED_AT = 50
"""So many of the newest users, and of the oldest."""
FREQUENT = LOOKED_AT // 4
"""A trigram that so many of both have is frequent."""
_KEPT_SECONDS = 600
_MAX_TENANTS = 1_000

_RUNS = re.compile(r"[a-z0-9]{3,}")
_some = select(USERS.c.search).where(USERS.c.tenant_id == bindparam("tenant_id"))
_number: ColumnElement[int] = literal_column(str(LOOKED_AT))
LIST_SOME = Statement(
    union_all(
        select(_some.order_by(USERS.c.id.desc()).limit(_number).subquery()),
        select(_some.order_by(USERS.c.id).limit(_number).subquery()),
    )
)
_frequent: TTLCache[str, frozenset[str]] = TTLCache(_MAX_TENANTS, _KEPT_SECONDS)


async def get_rare_part(conn: Connection, tenant_id: str, text: str) -> str:
    """The part of the text with the trigrams that are not frequent in the tenant; the whole text
    where there is no such part, or where its case is not that of ASCII alone.
    """
    if not text.isascii() or len(text) <= 3:
        return text
    frequent = _frequent.get(tenant_id)
    if frequent is None:
        rows = await LIST_SOME.fetch_all(conn, tenant_id=tenant_id)
        frequent = find_frequent([row[0] for row in rows])
        _frequent[tenant_id] = frequent
    return rare_part(text, frequent)


def find_frequent(texts: list[str]) -> frozenset[str]:
    """The trigrams that many of the first and many of the last of the texts have."""
    newest, oldest = _count(texts[:LOOKED_AT]), _count(texts[-LOOKED_AT:])
    return frozenset(
        trigram for trigram, number in newest.items() if min(number, oldest[trigram]) >= FREQUENT
    )


def _count(texts: Iterable[str]) -> Counter[str]:
    return Counter(
        trigram for text in texts for trigram in {trigram for _, trigram in _trigrams(text)}
    )


def _trigrams(text: str) -> list[tuple[int, str]]:
    """The trigrams within words, and where they begin."""
    return [
        (start, text[start : start + 3])
        for run in _RUNS.finditer(text)
        for start in range(run.start(), run.end() - 2)
    ]


def rare_part(text: str, frequent: frozenset[str]) -> str:
    """From the first to the last rare trigram, and the sign next to them that ends a word."""
    rare = [start for start, trigram in _trigrams(text.lower()) if trigram not in frequent]
    if not rare:
        return text
    begin, end = rare[0], rare[-1] + 3
    begin -= begin > 0 and not text[begin - 1].isalnum()
    end += end < len(text) and not text[end].isalnum()
    return text[begin:end]
