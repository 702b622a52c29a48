"""What became of the attempts of each hour, and which webhooks fail.

Read from rows that count by hour: as many for a million attempts as for one (`worker.results`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.overview import HOURS, MOST_FAILING, FailingWebhook, OutcomesQuery
from contracts.problems import not_found
from sqlalchemy import and_, bindparam, case, cast, func, or_, select
from sqlalchemy.types import BigInteger
from sqlmodel import SQLModel

from webhooks.tables import OUTCOMES, WEBHOOKS, OutcomeRow, WebhookRow

_HOUR = timedelta(hours=1)
_COUNTS = ("succeeded", "retried", "failed")
_BY_REQUEST = "by_request"

_MINE = WEBHOOKS.c.tenant_id == bindparam("tenant_id")
_SINCE = OUTCOMES.c.hour >= bindparam("since", type_=TIME)


class WebhookTotals(SQLModel):
    total: int
    disabled: int


class Paused(SQLModel):
    paused_until: datetime | None


COUNT_WEBHOOKS = Statement(
    select(
        func.count().label("total"),
        func.count().filter(WEBHOOKS.c.status == "disabled").label("disabled"),
    ).where(_MINE),
    WebhookTotals,
)
LIST_FAILING = Statement(
    select(*(WEBHOOKS.c[name] for name in FailingWebhook.model_fields))
    .where(
        _MINE,
        or_(
            and_(WEBHOOKS.c.status == "active", WEBHOOKS.c.failing_since.is_not(None)),
            WEBHOOKS.c.disabled_reason != _BY_REQUEST,
        ),
    )
    .order_by(WEBHOOKS.c.failing_since, WEBHOOKS.c.id)
    .limit(MOST_FAILING),
    WebhookRow,
)
GET_PAUSED_UNTIL = Statement(
    select(
        case((WEBHOOKS.c.paused_until > func.now(), WEBHOOKS.c.paused_until)).label("paused_until")
    ).where(_MINE, WEBHOOKS.c.id == bindparam("webhook_id")),
    Paused,
)
LIST_HOURS = Statement(
    select(OUTCOMES.c.hour, *(OUTCOMES.c[name] for name in _COUNTS)).where(
        OUTCOMES.c.tenant_id == bindparam("tenant_id"),
        OUTCOMES.c.webhook_id == bindparam("webhook_id"),
        _SINCE,
    ),
    OutcomeRow,
)
_of_one = (
    select(OUTCOMES.c.hour, *(OUTCOMES.c[name] for name in _COUNTS))
    .where(
        OUTCOMES.c.tenant_id == WEBHOOKS.c.tenant_id,
        OUTCOMES.c.webhook_id == WEBHOOKS.c.id,
        _SINCE,
    )
    .lateral("of_one")
)
# By webhook: the key of the rows begins with it, and a tenant has few.
LIST_HOURS_OF_ALL = Statement(
    select(
        _of_one.c.hour,
        *(cast(func.sum(_of_one.c[name]), BigInteger).label(name) for name in _COUNTS),
    )
    .select_from(WEBHOOKS)
    .join(_of_one, _MINE)
    .where(_MINE)
    .group_by(_of_one.c.hour),
    OutcomeRow,
)


@read_only()
async def get_webhooks_overview(conn: Connection, request: Request) -> Reply:
    mine, hours = {"tenant_id": request.tenant}, _last_hours(HOURS)
    totals = await COUNT_WEBHOOKS.fetch_one(conn, **mine)
    failing = await LIST_FAILING.fetch_all(conn, **mine)
    rows = await LIST_HOURS_OF_ALL.fetch_all(conn, **mine, since=hours[0])
    webhooks = {
        **vars(totals),
        "failing": [to_resource(row, FailingWebhook) for row in failing],
    }
    return reply_to(request, {"webhooks": webhooks, "outcomes": _filled(hours, rows)})


@read_only()
async def list_outcomes(conn: Connection, request: Request[Body, OutcomesQuery]) -> Reply:
    """Of one webhook."""
    scope = {"tenant_id": request.tenant, "webhook_id": request.path["id"]}
    webhook = await GET_PAUSED_UNTIL.fetch_one(conn, **scope)
    if webhook is None:
        raise not_found()
    hours = _last_hours(request.query.hours)
    rows = await LIST_HOURS.fetch_all(conn, **scope, since=hours[0])
    return reply_to(request, {**vars(webhook), "hours": _filled(hours, rows)})


def _last_hours(count: int) -> list[datetime]:
    """The starts of so many hours, the current one last."""
    current = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - _HOUR * back for back in reversed(range(count))]


def _filled(hours: Iterable[datetime], rows: Iterable[OutcomeRow]) -> list[dict[str, Any]]:
    """An entry for each hour: zeros for one without attempts."""
    found = {row.hour: {name: getattr(row, name) for name in _COUNTS} for row in rows}
    nothing = dict.fromkeys(_COUNTS, 0)
    return [{"start": hour, **found.get(hour, nothing)} for hour in hours]
