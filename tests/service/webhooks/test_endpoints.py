"""Webhooks as a resource: made, found, changed, deleted."""

import base64
from datetime import timedelta

import pytest
from contracts import webhooks as calls
from contracts.ids import new_id
from service.webhooks.world import World

URL = "https://hooks.example.com/in"


async def test_a_new_webhook_shows_its_secret_once(world: World, tenant: str) -> None:
    made = await world.call(
        calls.CREATE_WEBHOOK, tenant, {"url": URL, "events": ["user.*"], "description": "Billing"}
    )
    assert (made.status, made.reply.created) == (201, made.body["id"])
    secret = made.body.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    calls.Webhook.model_validate(made.body)
    found = await world.call(calls.GET_WEBHOOK, tenant, path={"id": made.body["id"]})
    assert found.body == made.body
    assert found.body["status"] == "active"
    (created,) = await world.owner.events(tenant)
    assert created["type"] == "webhook.created"
    assert secret not in str(created)
    rows = await world.owner.pool.fetch("SELECT * FROM secrets WHERE tenant_id = $1", tenant)
    assert secret.removeprefix("whsec_") not in str(rows)


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
async def test_what_cannot_be_is_refused_by_field(
    world: World, tenant: str, body: dict[str, object], field: str
) -> None:
    refused = await world.call(calls.CREATE_WEBHOOK, tenant, body)
    assert refused.status == 422
    assert refused.body["errors"][0]["field"].split(".")[0] == field
    assert await world.owner.events(tenant) == []


async def test_another_tenants_webhook_does_not_exist(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    for call, body in (
        (calls.GET_WEBHOOK, None),
        (calls.UPDATE_WEBHOOK, {"url": URL}),
        (calls.DELETE_WEBHOOK, None),
        (calls.ROTATE_SECRET, None),
        (calls.LIST_DELIVERIES, None),
        (calls.SEND_TEST, {}),
        (calls.REPLAY, {"since": "2026-01-01T00:00:00Z"}),
    ):
        answer = await world.call(call, new_id("ten"), body, path={"id": made["id"]})
        assert (answer.status, answer.body["code"]) == (404, "not_found"), call.name


async def test_a_patch_changes_and_says_what_changed(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    patched = await world.change(tenant, made["id"], events=["user.*"], description="New")
    assert (patched.status, patched.body["version"]) == (200, 2)
    assert patched.body["events"] == ["user.*"]
    updated = (await world.owner.events(tenant))[-1]
    assert updated["type"] == "webhook.updated"
    assert updated["data"]["changes"] == {
        "events": {"from": ["*"], "to": ["user.*"]},
        "description": {"from": None, "to": "New"},
    }
    same = await world.change(tenant, made["id"])
    assert same.body == patched.body
    assert len(await world.owner.events(tenant)) == 2
    refused = await world.change(tenant, made["id"], url="https://10.0.0.1.:443/")
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "url")
    stale = await world.call(
        calls.UPDATE_WEBHOOK, tenant, {"url": URL}, path={"id": made["id"]}, if_match='"1"'
    )
    assert stale.status == 412


async def test_disabled_by_hand_and_enabled_again(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    await world.happen(tenant)
    off = await world.change(tenant, made["id"], status="disabled")
    assert (off.body["status"], off.body["disabled_reason"]) == ("disabled", "by_request")
    assert await world.happen(tenant)
    assert len(await world.deliveries(tenant, made["id"])) == 1
    for call, body in ((calls.SEND_TEST, {}), (calls.REPLAY, {"since": "2026-01-01T00:00:00Z"})):
        answer = await world.call(call, tenant, body, path={"id": made["id"]})
        assert (answer.status, answer.body["code"]) == (409, "webhook_disabled")
    on = await world.change(tenant, made["id"], status="active")
    assert (on.body["status"], on.body["disabled_reason"]) == ("active", None)
    types = [each["type"] for each in await world.owner.events(tenant)]
    assert types == ["webhook.created", "webhook.updated", "webhook.updated"]
    again = await world.change(tenant, made["id"], status="active")
    assert again.body["version"] == on.body["version"]


async def test_deleting_drops_what_is_pending(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    await world.happen(tenant, count=3)
    path = {"id": made["id"]}
    preview = await world.call(calls.DELETE_WEBHOOK, tenant, path=path, query={"dry_run": "true"})
    assert (preview.status, preview.body) == (200, {"would_delete": {"deliveries": 3}})
    gone = await world.call(calls.DELETE_WEBHOOK, tenant, path=path)
    assert gone.status == 204
    assert (await world.call(calls.DELETE_WEBHOOK, tenant, path=path)).status == 404
    for table in ("queue", "deliveries", "secrets", "webhooks"):
        left = await world.owner.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant
        )
        assert left == 0, table
    assert (await world.owner.events(tenant))[-1]["type"] == "webhook.deleted"


async def test_the_list_filters_by_status(world: World, tenant: str) -> None:
    first = await world.subscribe(tenant, URL)
    second = await world.subscribe(tenant, URL)
    await world.change(tenant, first["id"], status="disabled")
    listed = await world.call(calls.LIST_WEBHOOKS, tenant)
    assert [each["id"] for each in listed.body["webhooks"]] == [second["id"], first["id"]]
    off = await world.call(calls.LIST_WEBHOOKS, tenant, query={"status": "disabled"})
    assert [each["id"] for each in off.body["webhooks"]] == [first["id"]]
    assert "secret" not in off.body["webhooks"][0]


async def test_a_rotated_secret_is_new_and_told_without_it(world: World, tenant: str) -> None:
    made = await world.subscribe(tenant, URL)
    rotated = await world.call(calls.ROTATE_SECRET, tenant, path={"id": made["id"]})
    assert rotated.status == 200
    assert rotated.body["secret"] != made["secret"]
    assert rotated.body["version"] == 2
    told = (await world.owner.events(tenant))[-1]
    assert told["type"] == "webhook.secret_rotated"
    assert "whsec_" not in str(told)
    rows = await world.owner.pool.fetch(
        "SELECT expires_at - now() AS lasts FROM secrets WHERE tenant_id = $1 ORDER BY created_at",
        tenant,
    )
    assert timedelta(hours=23, minutes=59) < rows[0]["lasts"] <= timedelta(hours=24)
    assert rows[1]["lasts"] is None


async def test_a_repeated_creation_shows_the_secret_again(world: World, tenant: str) -> None:
    body = {"url": URL, "events": ["*"]}
    first = await world.call(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    again = await world.call(calls.CREATE_WEBHOOK, tenant, body, idempotency_key="once")
    assert again.body == first.body
    assert again.body["secret"]
