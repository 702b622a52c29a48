"""Webhooks: made, found, changed, deleted with what is pending, and their secrets rotated.

A secret is shown once and stored sealed, bound to its webhook. Locks are taken in the order
webhook, queue, deliveries.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.ask import Ask, Reply, answer, json_bytes
from chassis.database import TIME, Connection
from chassis.listing import Listing, given
from chassis.patches import apply_patch, check_version
from chassis.statements import Statement, parameters
from contracts.ids import new_id
from contracts.models import Body, DeleteQuery
from contracts.problems import invalid, not_found
from contracts.webhooks import (
    NewWebhook,
    WebhookCreated,
    WebhookDeleted,
    WebhookPatch,
    WebhookSecretRotated,
    WebhooksQuery,
    WebhookUpdated,
)
from outbox.record import event, recording
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
    recording(_created).add_cte(
        insert(SECRETS)
        .from_select(_SECRET, select(*_created.c, bindparam("sealed", type_=Text)))
        .cte("secret")
    )
)
FIND = Statement(select(*COLUMNS).where(*_ONE))
LOCK = Statement(select(*COLUMNS).where(*_ONE).with_for_update(key_share=True))
LOCK_TO_DELETE = Statement(select(*COLUMNS).where(*_ONE).with_for_update())
UPDATE = Statement(
    recording(
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
    recording(_rotated).add_cte(
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
DELETE = Statement(recording(delete(WEBHOOKS).where(*_ONE).returning(WEBHOOKS.c.id).cte("changed")))

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


async def create(conn: Connection, ask: Ask[NewWebhook], *, allow_private: bool) -> Reply:
    """One statement: the webhook, its secret and the event."""
    new = ask.body
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
    created = event(ask.context, WebhookCreated, webhook_id, {"webhook": value})
    await INSERT.row(
        conn,
        tenant_id=ask.tenant,
        **value,
        sealed=ask.keys.seal(secret, sealed_for(webhook_id)),
        **created.parameters(),
    )
    return answer(ask, {**value, "secret": shown_secret(secret)}, created=webhook_id)


def _check(url: str, *, allow_private: bool) -> None:
    try:
        check_url(url, allow_private=allow_private)
    except Refused as refused:
        raise invalid("url", str(refused), "refused_url") from None


async def find(conn: Connection, ask: Ask) -> Reply:
    row = await FIND.row(conn, tenant_id=ask.tenant, id=ask.path["id"])
    if row is None:
        raise not_found()
    return answer(ask, shown(row))


async def find_all(conn: Connection, ask: Ask[Body, WebhooksQuery]) -> Reply:
    rows, pagination = await LIST.page(conn, ask, {"tenant_id": ask.tenant}, given(ask.query))
    return answer(ask, {"webhooks": [shown(row) for row in rows], "pagination": pagination})


async def change(conn: Connection, ask: Ask[WebhookPatch], *, allow_private: bool) -> Reply:
    """Disabled, its pending deliveries wait; enabled again, they go on."""
    scope = {"tenant_id": ask.tenant, "id": ask.path["id"]}
    patch = ask.body.given()
    if "url" in patch:
        _check(patch["url"], allow_private=allow_private)
    row = await LOCK.row(conn, **scope)
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    if "status" in patch:
        stays = row["status"] == patch["status"]
        reason = "by_request" if patch["status"] == "disabled" else None
        patch["disabled_reason"] = row["disabled_reason"] if stays else reason
    after, changes = apply_patch(row, patch)
    if not changes:
        return answer(ask, shown(row))
    value = shown(after)
    updated = event(ask.context, WebhookUpdated, row["id"], {"webhook": value, "changes": changes})
    enabled = "status" in changes and after["status"] == "active"
    await UPDATE.row(
        conn,
        **scope,
        **{f"new_{name}": field for name, field in value.items()},
        enabled=enabled,
        **updated.parameters(),
    )
    if "status" in changes:
        await (waiting.RESUME if enabled else waiting.PARK).run(conn, **scope)
    return answer(ask, value)


async def remove(conn: Connection, ask: Ask[Body, DeleteQuery]) -> Reply:
    """What is pending goes with it; what was sent is out of reach and ends with its 30 days."""
    scope = {"tenant_id": ask.tenant, "id": ask.path["id"]}
    row = await LOCK_TO_DELETE.row(conn, **scope)
    if row is None:
        raise not_found()
    check_version(ask.context, row["version"])
    if ask.query.dry_run:
        pending = await waiting.COUNT.value(conn, **scope)
        return Reply(json_bytes({"would_delete": {"deliveries": pending}}))
    await waiting.DROP.run(conn, **scope)
    deleted = event(ask.context, WebhookDeleted, row["id"], {"webhook": shown(row)})
    await DELETE.row(conn, **scope, **deleted.parameters())
    return answer(ask)


async def rotate_secret(conn: Connection, ask: Ask) -> Reply:
    """The new secret signs from now on, those before it until their 24 hours are over."""
    scope = {"tenant_id": ask.tenant, "id": ask.path["id"]}
    row = await LOCK.row(conn, **scope)
    if row is None:
        raise not_found()
    now, secret = datetime.now(UTC), os.urandom(SECRET_BYTES)
    value = shown(row) | {"version": row["version"] + 1, "updated_at": now}
    rotated = event(ask.context, WebhookSecretRotated, row["id"], {"webhook": value})
    await FORGET_SECRETS.run(conn, **scope, now=now)
    await EXPIRE_SECRETS.run(conn, **scope, until=now + OVERLAP)
    await ROTATE.row(
        conn,
        **scope,
        now=now,
        sealed=ask.keys.seal(secret, sealed_for(row["id"])),
        **rotated.parameters(),
    )
    return answer(ask, {**value, "secret": shown_secret(secret)})
