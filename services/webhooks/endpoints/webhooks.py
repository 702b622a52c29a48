"""Webhooks: created with a secret, read, updated, and deleted with their pending deliveries.

Locks are taken in the order webhook, queue, deliveries.
"""

from datetime import UTC, datetime

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version
from chassis.quota import Quota
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.rows import changed_row, new_row
from chassis.statements import Statement, parameters
from chassis.unit_of_work import read_only, transactional
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import invalid, not_found
from contracts.webhooks import (
    CreateWebhook,
    UpdateWebhook,
    Webhook,
    WebhookCreated,
    WebhookDeleted,
    WebhooksQuery,
    WebhookUpdated,
)
from outbox.cascade import BATCH, request_cascade
from outbox.crud import Crud
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import bindparam, delete, insert, select

from webhooks.endpoints.secrets import (
    create_secret,
    secret_id,
    with_outbox_entry_and_secret,
)
from webhooks.queue import pending
from webhooks.rules.address_policy import AddressNotAllowedError, check_url
from webhooks.rules.signature import format_secret
from webhooks.tables import WEBHOOKS, WebhookRow

WEBHOOK = Crud(WebhookRow, Webhook)

_IS_ONE = (WEBHOOKS.c.tenant_id == bindparam("tenant_id"), WEBHOOKS.c.id == bindparam("id"))
_created = (
    insert(WEBHOOKS)
    .values(parameters(WEBHOOKS.c))
    .returning(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id, WEBHOOKS.c.created_at)
    .cte("changed")
)
CREATE = Statement(with_outbox_entry_and_secret(_created, _created.c.created_at))
LOCK_TO_DELETE = Statement(select(WEBHOOKS).where(*_IS_ONE).with_for_update(), WebhookRow)
"""Also waits for those who add deliveries of it at this moment."""
DELETE = Statement(
    with_outbox_entry(delete(WEBHOOKS).where(*_IS_ONE).returning(WEBHOOKS.c.id).cte("changed"))
)

QUOTA = Quota(
    "webhooks", select(WEBHOOKS.c.id).where(WEBHOOKS.c.tenant_id == bindparam("tenant_id"))
)
LIST = Listing(
    row=WebhookRow,
    source=WEBHOOKS,
    columns=WEBHOOK.columns,
    key=WEBHOOKS.c.id,
    scope={"tenant_id": WEBHOOKS.c.tenant_id},
    filters={"status": lambda status: WEBHOOKS.c.status == status},
)


@transactional()
async def create_webhook(
    conn: Connection, request: Request[CreateWebhook], *, allow_private: bool
) -> Reply:
    """The webhook, its secret and the event."""
    new = request.body
    _check(new.url, allow_private=allow_private)
    await QUOTA.check(conn, request.quota(QUOTA.name), request.tenant, tenant_id=request.tenant)
    now, secret = datetime.now(UTC), create_secret()
    row = new_row(
        WebhookRow,
        tenant_id=request.tenant,
        id=new_id("whk"),
        url=new.url,
        description=new.description,
        events=new.events,
        ignore_actor_ids=new.ignore_actor_ids,
        content_type=new.content_type,
        status="active",
        disabled_reason=None,
        failing_since=None,
        paused_until=None,
        version=1,
        created_at=now,
        updated_at=now,
    )
    webhook = WEBHOOK.shown(row)
    entry = create_entry(request.context, WebhookCreated, row.id, {"webhook": webhook})
    await CREATE.execute(
        conn,
        **vars(row),
        encrypted=request.keyring.encrypt(secret, secret_id(request.tenant, row.id)),
        **entry.parameters(),
    )
    return reply_to(request, {**webhook, "secret": format_secret(secret)}, created=row.id)


def _check(url: str, *, allow_private: bool) -> None:
    try:
        check_url(url, allow_private=allow_private)
    except AddressNotAllowedError as error:
        raise invalid("url", str(error), "refused_url") from None


@read_only()
async def get_webhook(conn: Connection, request: Request) -> Reply:
    row = await WEBHOOK.get(conn, tenant_id=request.tenant, id=request.path["id"])
    return reply_to(request, WEBHOOK.shown(row))


@read_only()
async def list_webhooks(conn: Connection, request: Request[Body, WebhooksQuery]) -> Reply:
    scope = {"tenant_id": request.tenant}
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    webhooks = [WEBHOOK.shown(row) for row in rows]
    return reply_to(request, {"webhooks": webhooks, "pagination": pagination})


@transactional()
async def update_webhook(
    conn: Connection, request: Request[UpdateWebhook], *, allow_private: bool
) -> Reply:
    """While it is disabled its pending deliveries wait: the dispatcher claims none of them. They
    continue when it is enabled.
    """
    key = {"tenant_id": request.tenant, "id": request.path["id"]}
    if "url" in request.body.model_fields_set:
        _check(request.body.url, allow_private=allow_private)
    row = await WEBHOOK.lock(conn, request, **key)
    patch = request.body.changed(row)
    if "status" in patch and patch["status"] != row.status:
        patch["disabled_reason"] = "by_request" if patch["status"] == "disabled" else None
    after, changes = apply_patch(row, patch)
    if not changes:
        return reply_to(request, WEBHOOK.shown(row))
    is_enabled = "status" in changes and after.status == "active"
    after = changed_row(after, paused_until=None)  # the circuit breaker begins anew
    if is_enabled:
        after = changed_row(after, failing_since=None)
    webhook = WEBHOOK.shown(after)
    data = {"webhook": webhook, "changes": changes}
    await WEBHOOK.update(conn, after, create_entry(request.context, WebhookUpdated, row.id, data))
    if is_enabled:
        await pending.resume(conn, request.context, row.id)
    return reply_to(request, webhook)


@transactional()
async def delete_webhook(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """Pending deliveries go with it: very many in steps, and nothing of them is sent meanwhile.
    What was sent stays for its 30 days, out of reach.
    """
    key = {"tenant_id": request.tenant, "id": request.path["id"]}
    row = await LOCK_TO_DELETE.fetch_one(conn, **key)
    if row is None:
        raise not_found()
    check_version(request.context, row.version)
    scope = {"tenant_id": row.tenant_id, "webhook_id": row.id}
    if request.query.dry_run:
        count = await pending.COUNT.fetch_value(conn, **scope)
        return Reply(json_bytes({"would_delete": {"deliveries": count}}))
    if await pending.delete_some(conn, **scope, at_most=BATCH):
        await request_cascade(conn, request.context, pending.DELETED_WEBHOOK, row.id)
    webhook = WEBHOOK.shown(row)
    entry = create_entry(request.context, WebhookDeleted, row.id, {"webhook": webhook})
    await DELETE.execute(conn, **key, **entry.parameters())
    return reply_to(request)
