"""Webhooks are disabled when the receiver is gone or fails for five days, and enabled again."""

from datetime import UTC, datetime, timedelta

import pytest
from service.webhooks.client import WebhooksClient
from service.webhooks.receivers import hold_responses, wait_for_requests
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.worker.dispatcher import Dispatcher


async def is_disabled(client: WebhooksClient, tenant: str, webhook: str) -> bool:
    return (await client.get_webhook(tenant, webhook))["status"] == "disabled"


async def is_failing(client: WebhooksClient, tenant: str) -> bool:
    return bool(
        await client.pool.fetchval(
            "SELECT failing_since FROM webhooks WHERE tenant_id = $1", tenant
        )
    )


async def move_failure_five_days_back(client: WebhooksClient, tenant: str) -> None:
    """Moves the first failure after the last success five days back."""
    await until(lambda: is_failing(client, tenant))
    await client.pool.execute(
        "UPDATE webhooks SET failing_since = $2 WHERE tenant_id = $1",
        tenant,
        datetime.now(UTC) - timedelta(days=5, seconds=1),
    )


async def test_a_410_disables_the_webhook_with_one_event(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 410
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=5)
    dispatcher.wake()
    await until(lambda: is_disabled(client, tenant, webhook["id"]))
    disabled = await client.get_webhook(tenant, webhook["id"])
    assert disabled["disabled_reason"] == "gone"
    (event,) = [e for e in await client.events(tenant) if e["type"] == "webhook.disabled"]
    assert (event["actortype"], event["data"]["webhook"]) == ("system", disabled)
    receiver.status = 204
    await client.update_webhook(tenant, webhook["id"], status="active")
    await client.make_retries_due(tenant)
    dispatcher.wake()

    async def all_arrived() -> bool:
        found = await client.list_deliveries(tenant, webhook["id"], status="succeeded")
        return len(found) == 5

    await until(all_arrived)


async def test_five_days_of_failures_disable_and_enabling_resets_them(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    assert not await is_disabled(client, tenant, webhook["id"])
    await move_failure_five_days_back(client, tenant)
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await until(lambda: is_disabled(client, tenant, webhook["id"]))
    assert (await client.get_webhook(tenant, webhook["id"]))["disabled_reason"] == "failing"
    await client.update_webhook(tenant, webhook["id"], status="active")
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"], 3)
    assert not await is_disabled(client, tenant, webhook["id"])


async def test_one_success_resets_the_five_days(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    await move_failure_five_days_back(client, tenant)
    receiver.status = 204
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"], 2)

    async def has_recovered() -> bool:
        return not await is_failing(client, tenant)

    await until(has_recovered)
    receiver.status = 500
    await client.publish(tenant)
    dispatcher.wake()
    await until(lambda: is_failing(client, tenant))
    assert not await is_disabled(client, tenant, webhook["id"])


@pytest.mark.parametrize("status", [500, 410])
async def test_an_older_attempt_does_not_disable_a_webhook_that_was_enabled_again(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher, status: int
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"])
    await move_failure_five_days_back(client, tenant)
    release = hold_responses(receiver, status)
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await wait_for_requests(receiver, 2)
    await client.update_webhook(tenant, webhook["id"], status="disabled")
    await client.update_webhook(tenant, webhook["id"], status="active")
    release.set()
    await client.wait_for_attempts(tenant, webhook["id"], 2)
    # Once a second attempt is written, whatever the first one caused has happened.
    hold_responses(receiver, 500).set()
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"], 3)
    assert not await is_disabled(client, tenant, webhook["id"])
