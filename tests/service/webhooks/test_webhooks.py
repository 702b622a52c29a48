"""Webhooks as a resource: create, get, list, update, delete, rotate the secret."""

import asyncio
import base64
from datetime import timedelta

import pytest
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.client import WebhooksClient

URL = "https://hooks.example.com/in"
REPLAY = {"since": "2026-01-01T00:00:00Z"}


async def test_a_new_webhook_shows_its_secret_once(client: WebhooksClient, tenant: str) -> None:
    created = await client.call(
        calls.CREATE_WEBHOOK, tenant, {"url": URL, "events": ["user.*"], "description": "Billing"}
    )
    assert (created.status, created.reply.created) == (201, created.body["id"])
    secret = created.body.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    calls.Webhook.model_validate(created.body)
    found = await client.call(calls.GET_WEBHOOK, tenant, None, created.body["id"])
    assert found.body == created.body
    assert found.body["status"] == "active"
    (event,) = await client.events(tenant)
    assert event["type"] == "webhook.created"
    assert secret not in str(event)
    rows = await client.pool.fetch("SELECT * FROM secrets WHERE tenant_id = $1", tenant)
    assert secret.removeprefix("whsec_") not in str(rows)


async def test_webhooks_are_bounded_exactly(client: WebhooksClient, tenant: str) -> None:
    replies = await asyncio.gather(
        *(
            client.call(
                calls.CREATE_WEBHOOK, tenant, {"url": URL, "events": ["*"]}, quotas={"webhooks": 3}
            )
            for _ in range(8)
        )
    )
    assert sorted(each.status for each in replies) == [201] * 3 + [409] * 5
    codes = {each.body["code"] for each in replies if each.status == 409}
    assert codes == {"quota_exceeded"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"events": ["*"]}, "url"),
        ({"url": URL}, "events"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["user.exploded"]}, "events"),
        ({"url": URL, "events": ["nobody.*"]}, "events"),
        ({"url": URL, "events": ["*", "*"]}, "events"),
        ({"url": "ftp://example.com/", "events": ["*"]}, "url"),
        ({"url": "http://169.254.169.254/latest", "events": ["*"]}, "url"),
        ({"url": "http://0x7f.1/", "events": ["*"]}, "url"),
    ],
)
async def test_an_invalid_webhook_is_refused_by_field(
    client: WebhooksClient, tenant: str, body: dict[str, object], field: str
) -> None:
    refused = await client.call(calls.CREATE_WEBHOOK, tenant, body)
    assert refused.status == 422
    assert refused.body["errors"][0]["field"].split(".")[0] == field
    assert await client.events(tenant) == []


async def test_another_tenants_webhook_does_not_exist(client: WebhooksClient, tenant: str) -> None:
    webhook = await client.create_webhook(tenant, URL)
    for call, body in (
        (calls.GET_WEBHOOK, None),
        (calls.UPDATE_WEBHOOK, {"url": URL}),
        (calls.DELETE_WEBHOOK, None),
        (calls.ROTATE_SECRET, None),
        (calls.LIST_DELIVERIES, None),
        (calls.SEND_TEST, {}),
        (calls.REPLAY, REPLAY),
    ):
        reply = await client.call(call, new_id("ten"), body, webhook["id"])
        assert (reply.status, reply.body["code"]) == (404, "not_found"), call.name


async def test_a_patch_updates_and_records_what_changed(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    patched = await client.update_webhook(
        tenant, webhook["id"], events=["user.*"], description="New"
    )
    assert (patched.status, patched.body["version"]) == (200, 2)
    assert patched.body["events"] == ["user.*"]
    event = (await client.events(tenant))[-1]
    assert event["type"] == "webhook.updated"
    assert event["data"]["changes"] == {
        "events": {"from": ["*"], "to": ["user.*"]},
        "description": {"from": None, "to": "New"},
    }
    unchanged = await client.update_webhook(tenant, webhook["id"])
    assert unchanged.body == patched.body
    assert len(await client.events(tenant)) == 2
    refused = await client.update_webhook(tenant, webhook["id"], url="https://10.0.0.1.:443/")
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "url")
    stale = await client.call(
        calls.UPDATE_WEBHOOK, tenant, {"url": URL}, webhook["id"], if_match='"1"'
    )
    assert stale.status == 412


async def test_a_webhook_is_disabled_by_request_and_enabled_again(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    await client.publish(tenant)
    disabled = await client.update_webhook(tenant, webhook["id"], status="disabled")
    assert (disabled.body["status"], disabled.body["disabled_reason"]) == ("disabled", "by_request")
    assert await client.publish(tenant)
    assert len(await client.list_deliveries(tenant, webhook["id"])) == 1
    for call, body in ((calls.SEND_TEST, {}), (calls.REPLAY, REPLAY)):
        reply = await client.call(call, tenant, body, webhook["id"])
        assert (reply.status, reply.body["code"]) == (409, "webhook_disabled")
    enabled = await client.update_webhook(tenant, webhook["id"], status="active")
    assert (enabled.body["status"], enabled.body["disabled_reason"]) == ("active", None)
    types = [each["type"] for each in await client.events(tenant)]
    assert types == ["webhook.created", "webhook.updated", "webhook.updated"]
    unchanged = await client.update_webhook(tenant, webhook["id"], status="active")
    assert unchanged.body["version"] == enabled.body["version"]


async def test_deleting_a_webhook_deletes_its_pending_deliveries(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = await client.create_webhook(tenant, URL)
    await client.publish(tenant, count=3)
    preview = await client.call(
        calls.DELETE_WEBHOOK, tenant, None, webhook["id"], query={"dry_run": "true"}
    )
    assert (preview.status, preview.body) == (200, {"would_delete": {"deliveries": 3}})
    deleted = await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook["id"])
    assert deleted.status == 204
    assert (await client.call(calls.DELETE_WEBHOOK, tenant, None, webhook["id"])).status == 404
    for table in ("queue", "deliveries", "secrets", "webhooks"):
        left = await client.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert left == 0, table
    assert (await client.events(tenant))[-1]["type"] == "webhook.deleted"


async def test_the_list_filters_by_status(client: WebhooksClient, tenant: str) -> None:
    first = await client.create_webhook(tenant, URL)
    second = await client.create_webhook(tenant, URL)
    await client.update_webhook(tenant, first["id"], status="disabled")
    every = await client.call(calls.LIST_WEBHOOKS, tenant)
    assert [each["id"] for each in every.body["webhooks"]] == [second["id"], first["id"]]
    disabled = await client.call(calls.LIST_WEBHOOKS, tenant, query={"status": "disabled"})
    assert [each["id"] for each in disabled.body["webhooks"]] == [first["id"]]
    assert "secret" not in disabled.body["webhooks"][0]


async def test_a_rotated_secret_is_new_and_in_no_event(client: WebhooksClient, tenant: str) -> None:
    webhook = await client.create_webhook(tenant, URL)
    rotated = await client.call(calls.ROTATE_SECRET, tenant, None, webhook["id"])
    assert rotated.status == 200
    assert rotated.body["secret"] != webhook["secret"]
    assert rotated.body["version"] == 2
    event = (await client.events(tenant))[-1]
    assert event["type"] == "webhook.secret_rotated"
    assert "whsec_" not in str(event)
    rows = await client.pool.fetch(
        "SELECT expires_at - now() AS lasts FROM secrets WHERE tenant_id = $1 ORDER BY created_at",
        tenant,
    )
    assert timedelta(hours=23, minutes=59) < rows[0]["lasts"] <= timedelta(hours=24)
    assert rows[1]["lasts"] is None


async def test_a_repeated_creation_shows_the_secret_again(
    client: WebhooksClient, tenant: str
) -> None:
    body = {"url": URL, "events": ["*"]}
    first = await client.call(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    second = await client.call(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    assert second.body == first.body
    assert second.body["secret"]


async def test_an_older_description_that_nobody_can_read_is_kept(
    client: WebhooksClient, tenant: str
) -> None:
    webhook = (await client.create_webhook(tenant, URL))["id"]
    await client.pool.execute(
        "UPDATE webhooks SET description = $2 WHERE id = $1", webhook, "Feeds\u200b"
    )
    for text, status in (("Feeds\u200b", 200), ("Feeds\u202e", 422)):
        updated = await client.call(calls.UPDATE_WEBHOOK, tenant, {"description": text}, webhook)
        assert updated.status == status, updated.body
