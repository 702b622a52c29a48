"""From a change to the audit trail and to a receiver: over real HTTP in both directions."""

import json
from typing import Any

from standardwebhooks import Webhook
from support.api import Api
from support.waiting import until
from support.webhook_receiver import webhook_receiver


async def test_a_change_reaches_the_trail_with_who_and_where(api: Api) -> None:
    made = await api(
        "POST", "/v1/admin/users", {"email": "ada@example.com"}, x_request_id="from-here"
    )
    who = await api("GET", "/v1/admin/tenant")

    async def shown() -> Any:
        page = await api("GET", f"/v1/admin/audit?resource_id={made.body['id']}")
        return page.body["events"]

    event = (await until(shown))[0]
    assert event["action"] == "user.created"
    assert (event["actor_type"], event["actor_id"]) == ("api_key", who.body["credential"]["id"])
    assert (event["resource_type"], event["resource_id"]) == ("user", made.body["id"])
    assert (event["ip_address"], event["request_id"]) == ("127.0.0.1", "from-here")
    assert event["user_agent"].startswith("Python")
    proof = await api("GET", "/v1/admin/audit/proof")
    assert proof.body["valid"] is True
    one = await api("GET", f"/v1/admin/audit/{event['id']}")
    assert one.body == event


async def test_a_webhook_receives_what_the_public_library_verifies(api: Api) -> None:
    async with webhook_receiver(status=200) as receiver:
        hook = await api(
            "POST", "/v1/admin/webhooks", {"url": receiver.url, "events": ["organization.*"]}
        )
        assert (hook.status, hook.body["secret"][:6]) == (201, "whsec_")
        await api("POST", "/v1/admin/users", {"email": "not@subscribed.example"})
        made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})

        async def arrived() -> Any:
            return receiver.received

        (sent,) = await until(arrived)
        event = Webhook(hook.body["secret"]).verify(sent.body, sent.headers)
        assert event["type"] == "organization.created"
        assert event["data"]["organization"]["id"] == made.body["id"]
        assert sent.headers["webhook-id"] == event["id"]

        async def succeeded() -> Any:
            path = f"/v1/admin/webhooks/{hook.body['id']}/deliveries?status=succeeded"
            return (await api("GET", path)).body["deliveries"]

        (delivery,) = await until(succeeded)
        assert delivery["event_id"] == event["id"]
        assert delivery["attempts"][0]["response_status"] == 200
        tested = await api("POST", f"/v1/admin/webhooks/{hook.body['id']}/test", {})
        assert tested.status == 202

        async def tested_too() -> bool:
            return len(receiver.received) == 2

        await until(tested_too)
        assert json.loads(receiver.received[1].body)["type"] == "webhook.test"


async def test_a_revoked_key_is_refused_at_once_and_that_is_recorded(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", keys, {"name": "k", "scopes": ["users:read"]})
    limited = api.as_key(key.body["secret"])
    assert (await limited("GET", "/v1/admin/users")).status == 200
    assert (await api("DELETE", f"{keys}/{key.body['id']}")).status == 204
    assert (await limited("GET", "/v1/admin/users")).status == 401

    async def recorded() -> Any:
        page = await api("GET", "/v1/admin/audit?action=api_key.refused")
        return page.body["events"]

    (event,) = await until(recorded)
    assert event["resource_id"] == key.body["id"]


async def test_no_secret_leaves_but_once(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"
    key = await api("POST", keys, {"name": "k", "scopes": ["users:read"]})
    secret = key.body["secret"].encode()
    for path in (keys, "/v1/admin/tenant", "/v1/admin/audit"):
        assert secret not in (await api("GET", path)).raw


async def test_a_deleted_tenant_is_gone_everywhere(api: Api, operator: Api) -> None:
    await api("POST", "/v1/admin/users", {"email": "ada@example.com"})
    path = f"/v1/admin/tenants/{api.tenant}"
    preview = await operator("DELETE", f"{path}?dry_run=true")
    assert preview.body["would_delete"]["api_keys"] == 1
    first = await operator("DELETE", path)
    assert first.status in (202, 204), first.raw

    async def gone() -> bool:
        return (await operator("GET", path)).status == 404

    await until(gone)
    assert (await api("GET", "/v1/admin/users")).status == 401
    assert (await operator("DELETE", path)).status == 404
