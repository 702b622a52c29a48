"""How a webhook fares: since when it fails, and when it is given up, with its event.

A receiver that says 410 is gone; one that has failed for five days and never succeeded is failing.
Neither is decided by an attempt that began before the webhook was changed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import orjson
import structlog
from chassis.database import ID, TIME, Connection, Pool
from chassis.statements import Statement
from contracts.context import Context
from contracts.webhooks import WebhookDisabled
from outbox.record import create_entry, record
from sqlalchemy import ARRAY, Text, bindparam, column, func, null, or_, tuple_, update

from webhooks import waiting
from webhooks.outcomes import Outcome
from webhooks.schedule import GIVE_UP_AFTER, is_given_up
from webhooks.tables import WEBHOOKS
from webhooks.webhooks import COLUMNS, shown

log = structlog.get_logger()

GONE = 410

_webhooks = (
    func.unnest(
        bindparam("tenants", type_=ARRAY(ID)),
        bindparam("webhooks", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
    )
    .table_valued(column("tenant_id", ID), column("id", ID), column("since", TIME))
    .render_derived(name="of_webhook")
)
_THEIRS = tuple_(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id) == tuple_(
    _webhooks.c.tenant_id, _webhooks.c.id
)
NOTE_FAILURE = Statement(
    update(WEBHOOKS)
    .where(_THEIRS, WEBHOOKS.c.failing_since.is_(None))
    .values(failing_since=_webhooks.c.since)
)
NOTE_SUCCESS = Statement(
    update(WEBHOOKS)
    .where(_THEIRS, WEBHOOKS.c.failing_since <= _webhooks.c.since)
    .values(failing_since=null())
)
DISABLE = Statement(
    update(WEBHOOKS)
    .where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("id"),
        WEBHOOKS.c.status == "active",
        # Nobody has changed where it goes, nor enabled it again, since the attempt began.
        WEBHOOKS.c.url == bindparam("url"),
        or_(
            bindparam("reason", type_=Text) == "gone",
            WEBHOOKS.c.failing_since <= bindparam("failing_before", type_=TIME),
        ),
    )
    .values(
        status="disabled",
        disabled_reason=bindparam("reason", type_=Text),
        version=WEBHOOKS.c.version + 1,
        updated_at=bindparam("now", type_=TIME),
    )
    .returning(*COLUMNS)
)


def last(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Outcome]:
    """The newest outcome of each webhook, in the order of their keys."""
    keyed = {(e.claimed["tenant_id"], e.claimed["webhook_id"]): e for e in outcomes}
    return dict(sorted(keyed.items()))


async def note(
    pool: Pool, outcomes: Sequence[Outcome], now: datetime, recorded: Callable[[], None]
) -> None:
    """What the outcomes say of their webhooks. `recorded` is told when an event is written."""
    async with pool.acquire() as conn:
        await _note_since(conn, outcomes)
        for each in outcomes:
            reason = _reason_to_disable(each, now)
            if reason is not None and await _disable(conn, each, reason, now):
                recorded()


def _reason_to_disable(outcome: Outcome, now: datetime) -> str | None:
    if outcome.result.response_status == GONE:
        return "gone"
    failing = not outcome.result.succeeded and is_given_up(outcome.claimed["failing_since"], now)
    return "failing" if failing else None


async def _note_since(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Since when a webhook fails; written only when that changes."""
    successes = [each for each in outcomes if each.result.succeeded]
    ended = [each for each in successes if each.claimed["failing_since"] is not None]
    well = set(last(successes))
    begun = [
        each
        for each in outcomes
        if each.claimed["failing_since"] is None
        and (each.claimed["tenant_id"], each.claimed["webhook_id"]) not in well
    ]
    for statement, of in ((NOTE_SUCCESS, ended), (NOTE_FAILURE, begun)):
        if of:
            newest = last(of)
            await statement.run(
                conn,
                tenants=[tenant_id for tenant_id, _ in newest],
                webhooks=[webhook_id for _, webhook_id in newest],
                times=[each.result.at for each in newest.values()],
            )


async def _disable(conn: Connection, outcome: Outcome, reason: str, now: datetime) -> bool:
    """With its event, and what is pending held back, in one transaction."""
    claimed = outcome.claimed
    scope = {"tenant_id": claimed["tenant_id"], "id": claimed["webhook_id"]}
    async with conn.transaction():
        row = await DISABLE.fetch_one(
            conn,
            **scope,
            url=claimed["url"],
            reason=reason,
            failing_before=now - GIVE_UP_AFTER,
            now=now,
        )
        if row is None:
            return False
        cause = orjson.loads(claimed["payload"])
        context = Context(
            tenant_id=claimed["tenant_id"],
            request_id=cause["requestid"],
            traceparent=cause["traceparent"],
        )
        await record(
            conn, create_entry(context, WebhookDisabled, row["id"], {"webhook": shown(row)})
        )
        await waiting.PARK.execute(conn, **scope)
    log.warning("webhook_disabled", **scope, reason=reason)
    return True
