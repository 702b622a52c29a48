"""Signing secrets: shown once, and stored encrypted for their webhook alone."""

import os
from typing import Any

from chassis.encryption import SecretId
from outbox.record import with_outbox_entry
from sqlalchemy import CTE, ColumnElement, Select, Text, bindparam, insert, select

from webhooks.rules.signature import SECRET_BYTES
from webhooks.tables import SECRETS


def create_secret() -> bytes:
    """A random secret."""
    return os.urandom(SECRET_BYTES)


def secret_id(tenant_id: str, webhook_id: str) -> SecretId:
    """What an encrypted secret is bound to."""
    return SecretId("webhook", tenant_id, webhook_id)


def with_outbox_entry_and_secret(changed: CTE, created_at: ColumnElement[Any]) -> Select[Any]:
    """One statement for a change of a webhook, its event and a new secret.

    `changed` returns `tenant_id` and `id`. The statement takes the parameter `encrypted` too.
    """
    secret = (
        insert(SECRETS)
        .from_select(
            [SECRETS.c.tenant_id, SECRETS.c.webhook_id, SECRETS.c.created_at, SECRETS.c.sealed],
            select(
                changed.c.tenant_id, changed.c.id, created_at, bindparam("encrypted", type_=Text)
            ),
        )
        .cte("secret")
    )
    return with_outbox_entry(changed).add_cte(secret)
