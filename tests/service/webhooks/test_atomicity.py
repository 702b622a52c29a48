"""Each write runs as its handler declares: as one statement, or as one transaction."""

from typing import Any

import pytest
from contracts import webhooks as calls
from contracts.calls import Call
from service.statement_log import logged
from service.webhooks.client import WebhooksClient
from webhooks.rpc import handlers

URL = "https://hooks.example.com/in"
HANDLERS = handlers(allow_private=True)
WRITES = [call for call, handler in HANDLERS.items() if handler.kind in ("write", "single")]


async def requests(client: WebhooksClient, tenant: str) -> dict[Call, tuple[Any, ...]]:
    """A valid request for each call that writes: the body, and the identifiers of the path."""
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.publish(tenant)
    delivery = (await client.only_delivery(tenant, webhook))["id"]
    return {
        calls.CREATE_WEBHOOK: ({"url": URL, "events": ["*"]},),
        calls.UPDATE_WEBHOOK: ({"status": "disabled"}, webhook),
        calls.DELETE_WEBHOOK: (None, webhook),
        calls.ROTATE_SECRET: (None, webhook),
        calls.SEND_TEST: ({}, webhook),
        calls.RETRY_DELIVERY: (None, webhook, delivery),
        calls.REPLAY: ({"since": "2026-01-01T00:00:00Z"}, webhook),
    }


@pytest.mark.parametrize("key", [None, "once"], ids=["", "with_idempotency_key"])
@pytest.mark.parametrize("call", WRITES, ids=lambda call: call.name)
async def test_a_write_is_one_statement_or_one_transaction(
    client: WebhooksClient, tenant: str, call: Call, key: str | None
) -> None:
    request = (await requests(client, tenant))[call]
    async with logged(client.owner, HANDLERS) as (owner, log):
        reply = await WebhooksClient(owner).call(call, tenant, *request, idempotency_key=key)
        await log.complete()
    assert reply.status == call.status, reply.body
    is_single = HANDLERS[call].kind == "single" and key is None
    assert log.is_single_statement() if is_single else log.is_transaction(), log
