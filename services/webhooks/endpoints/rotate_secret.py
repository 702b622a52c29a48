"""Rotating a secret: the new one signs at once, earlier ones for 24 hours more."""

from datetime import UTC, datetime, timedelta

from chassis.database import TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.rows import changed_row
from chassis.statements import Statement
from chassis.unit_of_work import transactional
from contracts.problems import not_found
from contracts.webhooks import WebhookSecretRotated
from outbox.record import create_entry
from sqlalchemy import bindparam, delete, null, update

from webhooks.endpoints.secrets import (
    create_secret,
    secret_id,
    with_outbox_entry_and_secret,
)
from webhooks.endpoints.webhooks import WEBHOOK
from webhooks.rules.signature import format_secret
from webhooks.tables import SECRETS, WEBHOOKS

OVERLAP = timedelta(hours=24)

_OF_WEBHOOK = (
    SECRETS.c.tenant_id == bindparam("tenant_id"),
    SECRETS.c.webhook_id == bindparam("id"),
)
DELETE_EXPIRED = Statement(
    delete(SECRETS).where(*_OF_WEBHOOK, SECRETS.c.expires_at <= bindparam("now", type_=TIME))
)
EXPIRE = Statement(
    update(SECRETS)
    .where(*_OF_WEBHOOK, SECRETS.c.expires_at.is_(None))
    .values(expires_at=bindparam("until", type_=TIME))
)
_rotated = (
    update(WEBHOOKS)
    .where(WEBHOOKS.c.tenant_id == bindparam("tenant_id"), WEBHOOKS.c.id == bindparam("id"))
    .values(
        version=WEBHOOKS.c.version + 1, updated_at=bindparam("now", type_=TIME), paused_until=null()
    )
    .returning(WEBHOOKS.c.tenant_id, WEBHOOKS.c.id, WEBHOOKS.c.updated_at)
    .cte("changed")
)
ROTATE = Statement(with_outbox_entry_and_secret(_rotated, _rotated.c.updated_at))


@transactional()
async def rotate_secret(conn: Connection, request: Request) -> Reply:
    """If-Match is not checked: a new secret is right for any version."""
    key = {"tenant_id": request.tenant, "id": request.path["id"]}
    row = await WEBHOOK.LOCK.fetch_one(conn, **key)
    if row is None:
        raise not_found()
    now, secret = datetime.now(UTC), create_secret()
    webhook = WEBHOOK.shown(changed_row(row, version=row.version + 1, updated_at=now))
    entry = create_entry(request.context, WebhookSecretRotated, row.id, {"webhook": webhook})
    await DELETE_EXPIRED.execute(conn, **key, now=now)
    await EXPIRE.execute(conn, **key, until=now + OVERLAP)
    await ROTATE.execute(
        conn,
        **key,
        now=now,
        encrypted=request.keyring.encrypt(secret, secret_id(request.tenant, row.id)),
        **entry.parameters(),
    )
    return reply_to(request, {**webhook, "secret": format_secret(secret)})
