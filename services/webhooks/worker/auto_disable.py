"""Since when a webhook fails, until when it is paused, and when it is disabled, with its event.

A receiver that responds with 410 is gone; one whose attempts all failed for five days is failing.
An attempt that began before the webhook was changed decides neither.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import orjson
import structlog
from chassis.database import ID, TIME, Connection, Pool
from chassis.statements import Statement
from contracts.context import Context
from contracts.webhooks import WebhookDisabled
from outbox.record import create_entry, record
from sqlalchemy import ARRAY, Text, bindparam, column, func, null, or_, tuple_, update

from webhooks.endpoints.webhooks import WEBHOOK
from webhooks.rules.retry_policy import DISABLE_AFTER, has_failed_too_long
from webhooks.tables import WEBHOOKS, WebhookRow
from webhooks.worker.results import FinishedAttempt

log = structlog.get_logger()

GONE = 410

_webhook = (
    func.unnest(
        bindparam("tenants", type_=ARRAY(ID)),
        bindparam("webhooks", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
    )
    .table_valued(column("tenant_id", ID), column("id", ID), column("at", TIME))
    .render_derived(name="webhook")
)
_IS_ONE_OF = tuple_(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id) == tuple_(
    _webhook.c.tenant_id, _webhook.c.id
)
SET_FAILING_SINCE = Statement(
    update(WEBHOOKS)
    .where(_IS_ONE_OF, WEBHOOKS.c.failing_since.is_(None))
    .values(failing_since=_webhook.c.at)
)
CLEAR_FAILING_SINCE = Statement(
    update(WEBHOOKS)
    .where(_IS_ONE_OF, WEBHOOKS.c.failing_since <= _webhook.c.at)
    .values(failing_since=null())
)
SET_PAUSED_UNTIL = Statement(update(WEBHOOKS).where(_IS_ONE_OF).values(paused_until=_webhook.c.at))
DISABLE = Statement(
    update(WEBHOOKS)
    .where(
        WEBHOOKS.c.tenant_id == bindparam("tenant_id"),
        WEBHOOKS.c.id == bindparam("id"),
        WEBHOOKS.c.status == "active",
        # Nobody has changed it, or enabled it again, since the attempt began.
        WEBHOOKS.c.updated_at <= bindparam("began", type_=TIME),
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
    .returning(*WEBHOOKS.c),
    WebhookRow,
)


async def update_webhooks(
    pool: Pool,
    attempts: Sequence[FinishedAttempt],
    now: datetime,
    on_recorded: Callable[[], None],
) -> None:
    """What the attempts change in their webhooks. `on_recorded` is called for each event."""
    async with pool.acquire() as conn:
        await _update_failing_since(conn, attempts)
        await _set_paused_until(conn, attempts, now)
        for attempt in attempts:
            reason = _reason_to_disable(attempt, now)
            if reason is not None and await _disable(conn, attempt, reason, now):
                on_recorded()


def _reason_to_disable(attempt: FinishedAttempt, now: datetime) -> str | None:
    if attempt.result.response_status == GONE:
        return "gone"
    if attempt.result.succeeded or not has_failed_too_long(attempt.delivery.failing_since, now):
        return None
    return "failing"


async def _update_failing_since(conn: Connection, attempts: Sequence[FinishedAttempt]) -> None:
    """Writes only where it changes, as the webhook was when the delivery was claimed."""
    successes = [each for each in attempts if each.result.succeeded]
    succeeded = set(_last_by_webhook(successes))
    recovered = [each for each in successes if each.delivery.failing_since is not None]
    began_to_fail = [
        each
        for each in attempts
        if each.delivery.failing_since is None
        and (each.delivery.tenant_id, each.delivery.webhook_id) not in succeeded
    ]
    for statement, changed in (
        (CLEAR_FAILING_SINCE, recovered),
        (SET_FAILING_SINCE, began_to_fail),
    ):
        if changed:
            last = _last_by_webhook(changed)
            await statement.execute(
                conn,
                tenants=[tenant_id for tenant_id, _ in last],
                webhooks=[webhook_id for _, webhook_id in last],
                times=[each.result.at for each in last.values()],
            )


async def _set_paused_until(
    conn: Connection, attempts: Sequence[FinishedAttempt], now: datetime
) -> None:
    last = _last_by_webhook([each for each in attempts if each.pause])
    if last:
        await SET_PAUSED_UNTIL.execute(
            conn,
            tenants=[tenant_id for tenant_id, _ in last],
            webhooks=[webhook_id for _, webhook_id in last],
            times=[now + timedelta(seconds=each.pause) for each in last.values()],
        )


def _last_by_webhook(
    attempts: Sequence[FinishedAttempt],
) -> dict[tuple[str, str], FinishedAttempt]:
    """The last attempt by (tenant, webhook), in the order of these, in which they are locked."""
    last = {(each.delivery.tenant_id, each.delivery.webhook_id): each for each in attempts}
    return dict(sorted(last.items()))


async def _disable(conn: Connection, attempt: FinishedAttempt, reason: str, now: datetime) -> bool:
    """Disables the webhook and records the event, in one transaction."""
    delivery = attempt.delivery
    async with conn.transaction():
        row = await DISABLE.fetch_one(
            conn,
            tenant_id=delivery.tenant_id,
            id=delivery.webhook_id,
            began=attempt.result.at,
            reason=reason,
            failing_before=now - DISABLE_AFTER,
            now=now,
        )
        if row is None:
            return False
        event = orjson.loads(delivery.payload)
        context = Context(
            tenant_id=row.tenant_id,
            request_id=event["requestid"],
            traceparent=event["traceparent"],
        )
        webhook = WEBHOOK.shown(row)
        await record(conn, [create_entry(context, WebhookDisabled, row.id, {"webhook": webhook})])
    log.warning("webhook_disabled", tenant_id=row.tenant_id, id=row.id, reason=reason)
    return True
