"""Which webhooks have deliveries that are ready, and how many of each kind.

Across tenants: the dispatcher serves all of them. Tenants and webhooks are found by skipping
through the index of ready rows, so the length of a queue does not matter.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from chassis.database import ID, Connection
from chassis.statements import Statement
from contracts.topology import Lock
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlmodel import SQLModel

from webhooks.queue.parking import park
from webhooks.rules.fairness import FIRST, MANUAL, RETRY
from webhooks.tables import IS_LEASED, IS_READY, QUEUE, WEBHOOKS

TENANTS_AT_ONCE = 64
WEBHOOKS_AT_ONCE = 16
"""Of each tenant."""
LOCK_TIMEOUT = "2s"

_ONE: ColumnElement[int] = literal_column("1")


class ReadyTenant(SQLModel):
    """A tenant with ready deliveries."""

    tenant_id: str


class ReadyWebhook(SQLModel):
    """A webhook with ready deliveries: how many of each kind, and how many of it are leased.

    They are counted no further than `at_most`. A webhook that was deleted has no `version`.
    """

    tenant_id: str
    webhook_id: str
    version: int | None
    status: str | None
    manual: int
    first: int
    retry: int
    leased: int


LOCK_CLAIMING = Statement(
    select(
        # A replica that hangs while it holds the lock loses it.
        func.set_config("idle_in_transaction_session_timeout", LOCK_TIMEOUT, true()),
        # A claim that a crash of the server takes back is made again.
        func.set_config("synchronous_commit", "off", true()),
        func.pg_advisory_xact_lock(literal_column(str(int(Lock.CLAIM_DELIVERIES)))),
    )
)
"""Replicas claim one after another: nobody else changes what one counts as in flight."""

_tenants = (
    select(QUEUE.c.tenant_id)
    .where(IS_READY, QUEUE.c.tenant_id > bindparam("after"))
    .order_by(QUEUE.c.tenant_id)
    .limit(_ONE)
    .cte("tenants", recursive=True)
)
_next_tenant = (
    select(QUEUE.c.tenant_id)
    .where(IS_READY, QUEUE.c.tenant_id > _tenants.c.tenant_id)
    .order_by(QUEUE.c.tenant_id)
    .limit(_ONE)
    .lateral()
)
_tenants = _tenants.union_all(
    select(_next_tenant.c.tenant_id).join_from(_tenants, _next_tenant, true())
)
LIST_TENANTS = Statement(select(_tenants.c.tenant_id).limit(bindparam("limit")), ReadyTenant)
"""Tenants with ready deliveries, the next ones after `after`."""

_tenant = (
    func.unnest(bindparam("tenants", type_=ARRAY(ID)), bindparam("afters", type_=ARRAY(ID)))
    .table_valued(column("tenant_id", ID), column("after", ID))
    .render_derived(name="tenant")
)
_found = (
    select(QUEUE.c.webhook_id)
    .where(IS_READY, QUEUE.c.tenant_id == _tenant.c.tenant_id, QUEUE.c.webhook_id > _tenant.c.after)
    .correlate(_tenant)
    .order_by(QUEUE.c.webhook_id)
    .limit(_ONE)
    .cte("found", recursive=True, nesting=True)
)
_next_webhook = (
    select(QUEUE.c.webhook_id)
    .where(
        IS_READY,
        QUEUE.c.tenant_id == _tenant.c.tenant_id,
        QUEUE.c.webhook_id > _found.c.webhook_id,
    )
    .correlate(_tenant, _found)
    .order_by(QUEUE.c.webhook_id)
    .limit(_ONE)
    .lateral()
)
_found = _found.union_all(
    select(_next_webhook.c.webhook_id).join_from(_found, _next_webhook, true())
)
_webhook = select(_found.c.webhook_id).limit(bindparam("limit")).lateral("webhook")


def _count(where: Any) -> Any:
    """How many rows of the queue the webhook has, counted no further than `at_most`."""
    some = (
        select(literal_column("1"))
        .select_from(QUEUE)
        .where(
            where,
            QUEUE.c.tenant_id == _tenant.c.tenant_id,
            QUEUE.c.webhook_id == _webhook.c.webhook_id,
        )
        .correlate(_tenant, _webhook)
        .limit(bindparam("at_most", type_=Integer))
        .subquery()
    )
    return select(func.count()).select_from(some).scalar_subquery()


def _count_ready(kind: int) -> Any:
    return _count(IS_READY & (QUEUE.c.kind == literal_column(str(kind))))


LIST_WEBHOOKS = Statement(
    select(
        _tenant.c.tenant_id,
        _webhook.c.webhook_id,
        WEBHOOKS.c.version,
        WEBHOOKS.c.status,
        _count_ready(MANUAL).label("manual"),
        _count_ready(FIRST).label("first"),
        _count_ready(RETRY).label("retry"),
        _count(IS_LEASED).label("leased"),
    )
    .select_from(_tenant)
    .join(_webhook, true())
    .outerjoin(
        WEBHOOKS,
        (WEBHOOKS.c.tenant_id == _tenant.c.tenant_id) & (WEBHOOKS.c.id == _webhook.c.webhook_id),
    ),
    ReadyWebhook,
)
"""Webhooks of these tenants with ready deliveries, the next ones after each tenant's `after`."""


class ReadyWebhooks:
    """Goes through all webhooks with ready deliveries, some at a time, and then begins again."""

    def __init__(self) -> None:
        self._tenant_after = ""
        self._webhook_after: dict[str, str] = {}

    async def next_tenants(self, conn: Connection) -> tuple[list[str], bool]:
        """The next tenants with something that is ready, and whether there may be others."""
        after = self._tenant_after
        found = await LIST_TENANTS.fetch_all(conn, after=after, limit=TENANTS_AT_ONCE)
        tenants = [row.tenant_id for row in found]
        to_the_last = len(tenants) < TENANTS_AT_ONCE
        self._tenant_after = "" if to_the_last else tenants[-1]
        return tenants, bool(after) or not to_the_last

    async def lock(
        self, conn: Connection, tenants: Sequence[str], at_most: int
    ) -> tuple[list[ReadyWebhook], bool]:
        """Their next active webhooks, and whether they may have others beside these. What is ready
        of disabled ones is parked. `at_most`: so many of each are counted.

        Holds the lock of claiming until the transaction ends.
        """
        await LOCK_CLAIMING.fetch_one(conn)
        afters = [self._webhook_after.pop(tenant, "") for tenant in tenants]
        webhooks = await LIST_WEBHOOKS.fetch_all(
            conn, tenants=tenants, afters=afters, limit=WEBHOOKS_AT_ONCE, at_most=at_most
        )
        more = self._remember(webhooks) or any(afters)
        disabled = [
            (each.tenant_id, each.webhook_id) for each in webhooks if each.status == "disabled"
        ]
        if disabled:
            more = await park(conn, disabled) or more
        return [each for each in webhooks if each.status == "active"], more

    def _remember(self, webhooks: Sequence[ReadyWebhook]) -> bool:
        """Where to continue in tenants that have more webhooks; returns whether there are any."""
        counts = Counter(each.tenant_id for each in webhooks)
        unfinished = {
            each.tenant_id: each.webhook_id
            for each in webhooks
            if counts[each.tenant_id] == WEBHOOKS_AT_ONCE
        }
        self._webhook_after |= unfinished
        return bool(unfinished)
