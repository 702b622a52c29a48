"""Webhooks: made, found, changed, deleted with what is pending, and their secrets rotated.

A secret is shown once and stored sealed, bound to its webhook. Locks are taken in the order
webhook, queue, deliveries.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.database import TIME, Connection
from chassis.listing import Listing, filters_of
from chassis.merge_patch import apply_patch, check_version
from chassis.request import Reply, Request, json_bytes, reply_to
from chassis.statements import Statement, parameters
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import invalid, not_found
from contracts.webhooks import (
    CreateWebhook,
    UpdateWebhook,
    WebhookCreated,
    WebhookDeleted,
    WebhookSecretRotated,
    WebhooksQuery,
    WebhookUpdated,
)
from outbox.record import create_entry, with_outbox_entry
from sqlalchemy import Boolean, Text, bindparam, case, delete, insert, null, select, update

from webhooks import waiting
from webhooks.addresses import Refused, check_url
from webhooks.signature import SECRET_BYTES, shown_secret
from webhooks.tables import SECRETS, WEBHOOKS

OVERLAP = timedelta(hours=24)

COLUMNS = [column for column in WEBHOOKS.c if column.name not in ("tenant_id", "failing_since")]
_CHANGEABLE = [column for column in COLUMNS if column.name not in ("id", "created_at")]
_ONE = (WEBHOOKS.c.tenant_id == bindparam("tenant_id"), WEBHOOKS.c.id == bindparam("id"))
_SECRET = [SECRETS.c.tenant_id, SECRETS.c.webhook_id, SECRETS.c.created_at, SECRETS.c.sealed]
_created = (
    insert(WEBHOOKS)
    .values(parameters([WEBHOOKS.c.tenant_id, *COLUMNS]))
    .returning(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id, WEBHOOKS.c.created_at)
    .cte("changed")
)
_rotated = (
    update(WEBHOOKS)
    .where(*_ONE)
    .values(version=WEBHOOKS.c.version + 1, updated_at=bindparam("now", type_=TIME))
    .returning(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id, WEBHOOKS.c.updated_at)
    .cte("changed")
)

INSERT = Statement(
    with_outbox_entry(_created).add_cte(
        insert(SECRETS)
        .from_select(_SECRET, select(*_created.c, bindparam("sealed", type_=Text)))
        .cte("secret")
    )
)
FIND = Statement(select(*COLUMNS).where(*_ONE))
LOCK = Statement(select(*COLUMNS).where(*_ONE).with_for_update(key_share=True))
LOCK_TO_DELETE = Statement(select(*COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    with_outbox_entry(
        update(WEBHOOKS)
        .where(*_ONE)
        .values(
            **parameters(_CHANGEABLE, "new_"),
            # Enabled again it has its five days anew.
            failing_since=case(
                (bindparam("enabled", type_=Boolean), null()), else_=WEBHOOKS.c.failing_since
            ),
        )
        .returning(WEBHOOKS.c.id)
        .cte("changed")
    )
)
EXPIRE_SECRETS = Statement(
    update(SECRETS)
    .where(
        SECRETS.c.tenant_id == bindparam("tenant_id"),
        SECRETS.c.webhook_id == bindparam("id"),
        SECRETS.c.expires_at.is_(None),
    )
    .values(expires_at=bindparam("until", type_=TIME))
)
ROTATE = Statement(
    with_outbox_entry(_rotated).add_cte(
        insert(SECRETS)
        .from_select(_SECRET, select(*_rotated.c, bindparam("sealed", type_=Text)))
        .cte("secret")
    )
)
FORGET_SECRETS = Statement(
    delete(SECRETS).where(
        SECRETS.c.tenant_id == bindparam("tenant_id"),
        SECRETS.c.webhook_id == bindparam("id"),
        SECRETS.c.expires_at <= bindparam("now", type_=TIME),
    )
)
DELETE = Statement(
    with_outbox_entry(delete(WEBHOOKS).where(*_ONE).returning(WEBHOOKS.c.id).cte("changed"))
)

LIST = Listing(
    source=WEBHOOKS,
    columns=COLUMNS,
    key=WEBHOOKS.c.id,
    scope={"tenant_id": WEBHOOKS.c.tenant_id},
    filters={"status": lambda status: WEBHOOKS.c.status == status},
)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The webhook as the contract shows it."""
    return {column.name: row[column.name] for column in COLUMNS}


def sealed_for(webhook_id: str) -> str:
    """What a sealed secret is bound to."""
    return f"webhook:{webhook_id}"


async def create(
    conn: Connection, request: Request[CreateWebhook], *, allow_private: bool
) -> Reply:
    """One statement: the webhook, its secret and the event."""
    new = request.body
    _check(new.url, allow_private=allow_private)
    now = datetime.now(UTC)
    webhook_id, secret = new_id("whk"), os.urandom(SECRET_BYTES)
    value = {
        "id": webhook_id,
        "url": new.url,
        "description": new.description,
        "events": new.events,
        "ignore_actor_ids": new.ignore_actor_ids,
        "status": "active",
        "disabled_reason": None,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    created = create_entry(request.context, WebhookCreated, webhook_id, {"webhook": value})
    await INSERT.fetch_one(
        conn,
        tenant_id=request.tenant,
        **value,
        sealed=request.keys.seal(secret, sealed_for(webhook_id)),
        **created.parameters(),
    )
    return reply_to(request, {**value, "secret": shown_secret(secret)}, created=webhook_id)


def _check(url: str, *, allow_private: bool) -> None:
    try:
        check_url(url, allow_private=allow_private)
    except Refused as refused:
        raise invalid("url", str(refused), "refused_url") from None


async def find(conn: Connection, request: Request) -> Reply:
    row = await FIND.fetch_one(conn, tenant_id=request.tenant, id=request.path["id"])
    if row is None:
        raise not_found()
    return reply_to(request, shown(row))


async def find_all(conn: Connection, request: Request[Body, WebhooksQuery]) -> Reply:
    rows, pagination = await LIST.page(
        conn, request, {"tenant_id": request.tenant}, filters_of(request.query)
    )
    return reply_to(request, {"webhooks": [shown(row) for row in rows], "pagination": pagination})


async def change(
    conn: Connection, request: Request[UpdateWebhook], *, allow_private: bool
) -> Reply:
    """Disabled, its pending deliveries wait; enabled again, they go on."""
    scope = {"tenant_id": request.tenant, "id": request.path["id"]}
    patch = request.body.given()
    if "url" in patch:
        _check(patch["url"], allow_private=allow_private)
    row = await LOCK.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    if "status" in patch:
        stays = row["status"] == patch["status"]
        reason = "by_request" if patch["status"] == "disabled" else None
        patch["disabled_reason"] = row["disabled_reason"] if stays else reason
    after, changes = apply_patch(row, patch)
    if not changes:
        return reply_to(request, shown(row))
    value = shown(after)
    updated = create_entry(
        request.context, WebhookUpdated, row["id"], {"webhook": value, "changes": changes}
    )
    enabled = "status" in changes and after["status"] == "active"
    await UPDATE.fetch_one(
        conn,
        **scope,
        **{f"new_{name}": field for name, field in value.items()},
        enabled=enabled,
        **updated.parameters(),
    )
    if "status" in changes:
        await (waiting.RESUME if enabled else waiting.PARK).run(conn, **scope)
    return reply_to(request, value)


async def remove(conn: Connection, request: Request[Body, DeleteQuery]) -> Reply:
    """What is pending goes with it; what was sent is out of reach and ends with its 30 days."""
    scope = {"tenant_id": request.tenant, "id": request.path["id"]}
    row = await LOCK_TO_DELETE.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    check_version(request.context, row["version"])
    if request.query.dry_run:
        pending = await waiting.COUNT.fetch_value(conn, **scope)
        return Reply(json_bytes({"would_delete": {"deliveries": pending}}))
    await waiting.DROP.execute(conn, **scope)
    deleted = create_entry(request.context, WebhookDeleted, row["id"], {"webhook": shown(row)})
    await DELETE.fetch_one(conn, **scope, **deleted.parameters())
    return reply_to(request)


async def rotate_secret(conn: Connection, request: Request) -> Reply:
    """The new secret signs from now on, those before it until their 24 hours are over."""
    scope = {"tenant_id": request.tenant, "id": request.path["id"]}
    row = await LOCK.fetch_one(conn, **scope)
    if row is None:
        raise not_found()
    now, secret = datetime.now(UTC), os.urandom(SECRET_BYTES)
    value = shown(row) | {"version": row["version"] + 1, "updated_at": now}
    rotated = create_entry(request.context, WebhookSecretRotated, row["id"], {"webhook": value})
    await FORGET_SECRETS.execute(conn, **scope, now=now)
    await EXPIRE_SECRETS.execute(conn, **scope, until=now + OVERLAP)
    await ROTATE.fetch_one(
        conn,
        **scope,
        now=now,
        sealed=request.keys.seal(secret, sealed_for(row["id"])),
        **rotated.parameters(),
    )
    return reply_to(request, {**value, "secret": shown_secret(secret)})
