"""Outcomes by hour: each attempt is counted once, with what became of its delivery."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.ids import new_id
from contracts.overview import GET_WEBHOOKS_OVERVIEW, LIST_OUTCOMES
from service.webhooks.client import WebhooksClient
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.retention import apply_retention
from webhooks.rules.circuit_breaker import ATTEMPTS, FIRST_PAUSE
from webhooks.worker import results
from webhooks.worker.attempt import AttemptResult
from webhooks.worker.dispatcher import Dispatcher
from webhooks.worker.results import FinishedAttempt

HOUR = timedelta(hours=1)


async def hours_of(
    client: WebhooksClient, tenant: str, webhook: str, **query: int
) -> list[dict[str, Any]]:
    found = await client.call(LIST_OUTCOMES, tenant, None, webhook, query=query)
    assert found.status == 200, found.body
    assert LIST_OUTCOMES.result is not None
    LIST_OUTCOMES.result.model_validate_json(found.reply.body)
    return list(found.body["hours"])


def counts(hours: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Of all hours: succeeded, retried, failed."""
    succeeded, retried, failed = (
        sum(hour[name] for hour in hours) for name in ("succeeded", "retried", "failed")
    )
    return succeeded, retried, failed


async def overview_of(client: WebhooksClient, tenant: str) -> dict[str, Any]:
    found = await client.call(GET_WEBHOOKS_OVERVIEW, tenant)
    assert found.status == 200, found.body
    assert GET_WEBHOOKS_OVERVIEW.result is not None
    GET_WEBHOOKS_OVERVIEW.result.model_validate_json(found.reply.body)
    return dict(found.body)


async def test_attempts_are_counted_by_what_became_of_their_deliveries(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"], 1)
    assert counts(await hours_of(client, tenant, webhook["id"])) == (0, 1, 0)
    failing = (await overview_of(client, tenant))["webhooks"]["failing"]
    assert [(each["id"], each["status"]) for each in failing] == [(webhook["id"], "active")]
    await client.pool.execute("UPDATE queue SET tries = 9 WHERE tenant_id = $1", tenant)
    await client.make_retries_due(tenant)
    dispatcher.wake()
    await client.wait_for_attempts(tenant, webhook["id"], 2)
    assert counts(await hours_of(client, tenant, webhook["id"])) == (0, 1, 1)

    receiver.status = 200
    other = await client.create_webhook(tenant, receiver.url)
    await client.publish(tenant, count=3)
    dispatcher.wake()

    async def all_are_sent() -> bool:
        sent = [await hours_of(client, tenant, each["id"]) for each in (webhook, other)]
        return [counts(hours)[0] for hours in sent] == [3, 3]

    await until(all_are_sent)
    whole = await overview_of(client, tenant)
    assert counts(whole["outcomes"]) == (6, 1, 1)
    assert (whole["webhooks"]["total"], whole["webhooks"]["disabled"]) == (2, 0)


async def test_a_result_that_is_written_again_is_counted_once(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    await client.publish(tenant, count=2)
    at = datetime.now(UTC)
    attempts = await _claimed(client, tenant, [at, at - HOUR])
    for _ in range(2):  # the answer of the first was lost
        await results.write_results(client.pool, attempts, at)
    hours = await hours_of(client, tenant, webhook["id"])
    assert [hour["succeeded"] for hour in hours[-2:]] == [1, 1]
    assert counts(hours) == (2, 0, 0)


async def _claimed(
    client: WebhooksClient, tenant: str, times: list[datetime]
) -> list[FinishedAttempt]:
    """Successful attempts at those times, one for each pending delivery, leased to us."""
    rows = await client.pool.fetch(
        "UPDATE queue SET state = 'leased', lease = 'lease', wake_at = now() + interval '1 hour'"
        " WHERE tenant_id = $1 RETURNING tenant_id, webhook_id, delivery_id, created_at, lease",
        tenant,
    )
    return [
        FinishedAttempt(
            _Claimed(**dict(row)),  # type: ignore[arg-type]
            AttemptResult(at=at, outcome="succeeded", response_status=200),
        )
        for row, at in zip(rows, times, strict=True)
    ]


class _Claimed:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values, tries=0)


async def test_hours_are_without_gaps_and_end_with_the_current_one(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    for count in (1, 24, 720):
        hours = await hours_of(client, tenant, webhook["id"], hours=count)
        starts = [datetime.fromisoformat(hour["start"]) for hour in hours]
        assert starts == [starts[-1] - HOUR * back for back in reversed(range(count))]
        assert timedelta(0) <= datetime.now(UTC) - starts[-1] < HOUR + timedelta(seconds=5)
    for wrong in (0, 721):
        refused = await client.call(
            LIST_OUTCOMES, tenant, None, webhook["id"], query={"hours": wrong}
        )
        assert refused.status == 422
    stranger = await client.call(LIST_OUTCOMES, new_id("ten"), None, webhook["id"])
    assert stranger.status == 404


async def test_what_is_older_than_the_deliveries_is_forgotten(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, "https://hooks.example.com/in")
    current = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for age in (HOUR * 719, HOUR * 722):
        await client.pool.execute(
            "INSERT INTO outcomes VALUES ($1, $2, $3, 1, 0, 0)",
            tenant,
            webhook["id"],
            current - age,
        )
    await apply_retention(client.pool)
    assert await client.pool.fetchval(
        "SELECT array_agg(hour) FROM outcomes WHERE tenant_id = $1", tenant
    ) == [current - HOUR * 719]
    assert counts(await hours_of(client, tenant, webhook["id"], hours=720)) == (1, 0, 0)


async def test_a_webhook_that_was_disabled_for_failing_is_shown_and_one_by_hand_is_not(
    client: WebhooksClient, tenant: str
) -> None:
    gone, quiet = [
        await client.create_webhook(tenant, "https://hooks.example.com/in") for _ in range(2)
    ]
    await client.pool.execute(
        "UPDATE webhooks SET status = 'disabled', disabled_reason = 'gone' WHERE id = $1",
        gone["id"],
    )
    await client.update_webhook(tenant, quiet["id"], status="disabled")
    webhooks = (await overview_of(client, tenant))["webhooks"]
    assert (webhooks["total"], webhooks["disabled"]) == (2, 2)
    assert [each["id"] for each in webhooks["failing"]] == [gone["id"]]


async def test_a_pause_of_a_failing_webhook_is_shown_until_it_is_changed(
    client: WebhooksClient, tenant: str, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.status = 500
    webhook = await client.create_webhook(tenant, receiver.url)

    async def paused_until() -> str | None:
        found = await client.call(LIST_OUTCOMES, tenant, None, webhook["id"])
        until: str | None = found.body["paused_until"]
        return until

    assert await paused_until() is None
    await client.publish(tenant, count=ATTEMPTS)
    dispatcher.wake()
    end = await until(paused_until)
    assert end
    assert 0 < (datetime.fromisoformat(end) - datetime.now(UTC)).total_seconds() <= FIRST_PAUSE
    await client.update_webhook(tenant, webhook["id"], description="mended")
    assert await paused_until() is None
