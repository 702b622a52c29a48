"""The contract's table, endpoint by endpoint: the status, the headers and the shape of each answer.

Every event that the walk causes is received by a webhook and held against its published schema.
"""

import json
from typing import Any
from urllib.parse import urlencode

from contracts.catalogue import EVENT_TYPES
from contracts.events import Event
from contracts.evolution import event_schema
from contracts.examples import example_event
from contracts.models import DeletionPreview, Pagination, Problem
from contracts.users import ImportResult
from edge.call_route import CallRoute
from edge.routers import ROUTES
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook
from support.api import Answer, Api
from support.waiting import until
from support.webhook_receiver import webhook_receiver

NDJSON = "application/x-ndjson"


class Walk:
    """Calls routes by the name of their call, and checks each answer against the contract."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.left = {route.call.name: route for route in ROUTES}
        self.routes = dict(self.left)

    async def __call__(
        self,
        name: str,
        body: Any = None,
        *,
        query: str = "",
        status: int | None = None,
        api: Api | None = None,
        **path: str,
    ) -> Any:
        route = self.routes[name]
        self.left.pop(name, None)
        target = route.path.format(**path) + (f"?{query}" if query else "")
        answer = await (api or self.api)(route.method, target, body)
        self.check(route, answer, status)
        return answer.body

    def check(self, route: CallRoute, answer: Answer, status: int | None = None) -> None:
        expected = route.call.status if status is None else status
        assert answer.status == expected, f"{route.call.name}: {answer.raw!r}"
        assert answer.headers["X-Request-Id"]
        assert answer.headers["RateLimit"]
        if answer.status >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            Problem.model_validate(answer.body)
            return
        if answer.status == 201:
            assert answer.headers["Location"].startswith("/v1/admin/")
        if answer.status == 204:
            assert answer.raw == b""
            return
        if "would_delete" in (answer.body or {}):
            DeletionPreview.model_validate(answer.body)
        elif route.call.result is not None:
            route.call.result.model_validate_json(answer.raw)
            if "version" in route.call.result.model_fields:
                assert answer.headers["ETag"].startswith(f'"{answer.body["version"]}')
        if "pagination" in (answer.body or {}):
            Pagination.model_validate(answer.body["pagination"])


async def test_every_endpoint_answers_as_the_contract_says(api: Api, operator: Api) -> None:
    async with webhook_receiver() as receiver:
        walk = Walk(api)
        hook = await walk("create_webhook", {"url": receiver.url, "events": ["*"]})
        await _projects(walk)
        await _people(walk)
        await _webhooks(walk, hook["id"])
        await _audit(walk)
        await _overview(walk, operator)
        await _tenants(walk, operator)
        assert walk.left == {}, f"not walked: {sorted(walk.left)}"
        assert receiver.received
        for sent in receiver.received:
            event = Event.model_validate(Webhook(hook["secret"]).verify(sent.body, sent.headers))
            if event.type != "webhook.test":
                kind = EVENT_TYPES[event.type]
                kind.model_validate(event.data)
                Draft202012Validator(event_schema(kind)).validate(json.loads(sent.body))
                assert event.subject[:4] == example_event(kind)["subject"][:4]


async def _projects(walk: Walk) -> None:
    made = await walk("create_project", {"name": "Web", "allowed_origins": ["https://A.example"]})
    assert made["allowed_origins"] == ["https://a.example"]
    project = {"id": made["id"]}
    await walk("list_projects", query="q=web&environment=development&sort=name")
    await walk("get_project", **project)
    patched = await walk("update_project", {"settings": {"mfa": "required"}}, **project)
    assert patched["settings"]["mfa"] == "required"
    assert patched["settings"]["access_token_ttl"] == 900
    await walk("get_settings_schema")
    await walk("list_event_types")
    key = await walk("create_api_key", {"name": "k", "scopes": ["users:read"]}, **project)
    named = {**project, "key_id": key["id"]}
    verdict = await walk("verify_api_key", {"secret": key["secret"], "scopes": ["users:read"]})
    assert verdict["code"] == "valid"
    rotated = await walk("rotate_api_key", {"overlap": 60}, **named)
    assert rotated["secret"] != key["secret"]
    listed = await walk("list_api_keys", query="status=active&type=secret", **project)
    assert "secret" not in listed["api_keys"][0]
    await walk("revoke_api_key", **named)
    await walk("revoke_api_key", status=404, **named)
    await walk("list_signing_keys", **project)
    await walk("rotate_signing_key", {}, status=409, **project)
    active = await walk("rotate_signing_key", {"force": True}, **project)
    await walk("revoke_signing_key", **project, kid=active["id"])
    keys = (await walk("get_jwks", **project))["keys"]
    assert active["id"] not in [each["kid"] for each in keys]
    await _sessions(walk, made["id"])
    await walk("delete_project", query="dry_run=true", status=200, **project)
    await walk("delete_project", **project)
    await walk("get_jwks", status=404, **project)


async def _sessions(walk: Walk, project_id: str) -> None:
    line = json.dumps({"email": "eva@example.com"}).encode()
    done = await walk.api("POST", "/v1/admin/users/bulk", data=line, content_type=NDJSON)
    assert (done.status, done.headers["Content-Type"]) == (200, NDJSON), done.raw
    walk.left.pop("import_users")
    user = {"id": ImportResult.model_validate_json(done.raw).id or ""}
    begun = await walk("create_session", {"project_id": project_id}, **user)
    verdict = await walk("verify_session", {"token": begun["access_token"]})
    assert (verdict["valid"], verdict["claims"]["sub"]) == (True, user["id"])
    anyone = walk.api.as_key(None)
    token = {"refresh_token": begun["refresh_token"]}
    fresh = await walk("refresh_session", token, api=anyone)
    await walk("refresh_session", token, api=anyone, status=401)
    verdict = await walk("verify_session", {"token": fresh["access_token"]})
    assert verdict["code"] == "revoked"
    other = await walk("create_session", {"project_id": project_id}, **user)
    await walk("revoke_session", **user, sid=other["session"]["id"])
    await walk("revoke_session", status=404, **user, sid=other["session"]["id"])
    await walk("update_user", {"status": "suspended"}, **user)
    await walk("create_session", {"project_id": project_id}, status=409, **user)


async def _people(walk: Walk) -> None:
    ada = await walk("create_user", {"email": "ada@example.com", "username": "ada"})
    bob = await walk("create_user", {"email": "bob@example.com"})
    user = {"id": ada["id"]}
    listed = await walk("list_users", query="q=ada@&status=active&sort=email")
    assert [each["id"] for each in listed["users"]] == [ada["id"]]
    await walk("update_user", {"metadata": {"plan": "pro"}}, **user)
    made = await walk("create_organization", {"name": "Acme", "owner_id": ada["id"]})
    organization = {"id": made["id"]}
    assert made["member_count"] == 1
    await walk("list_organizations", query=f"q=acme&user_id={ada['id']}&sort=-name")
    await walk("get_organization", **organization)
    await walk("update_organization", {"max_members": 3}, **organization)
    await walk("add_member", {"user_id": bob["id"]}, **organization)
    await walk("add_member", {"user_id": bob["id"]}, status=409, **organization)
    await walk("list_members", query="role=owner&q=ada", **organization)
    await walk("update_member", {"role": "admin"}, **organization, user_id=bob["id"])
    await walk("remove_member", **organization, user_id=bob["id"])
    await walk("remove_member", status=409, **organization, user_id=ada["id"])
    detail = await walk("get_user", **user)
    assert [each["role"] for each in detail["organizations"]] == ["owner"]
    await _invitations(walk, organization)
    await walk("revoke_sessions", **user)
    await walk("delete_user", status=409, **user)
    await walk("delete_user", query="dry_run=true", status=409, **user)
    await walk("delete_user", query="dry_run=true&force=true", status=200, **user)
    await walk("delete_organization", query="dry_run=true", status=200, **organization)
    await walk("delete_organization", **organization)
    await walk("delete_user", **user)
    await walk("get_user", status=404, **user)


async def _invitations(walk: Walk, organization: dict[str, str]) -> None:
    made = await walk("create_invitation", {"email": "eve@example.com"}, **organization)
    named = {**organization, "inv_id": made["id"]}
    await walk("create_invitation", {"email": "EVE@example.com"}, status=409, **organization)
    resent = await walk("resend_invitation", **named)
    await walk("accept_invitation", {"token": made["token"]}, status=410)
    await walk("accept_invitation", {"token": resent["token"], "name": "Eve"})
    await walk("accept_invitation", {"token": resent["token"]}, status=410)
    await walk("revoke_invitation", status=409, **named)
    other = await walk("create_invitation", {"email": "joe@example.com"}, **organization)
    await walk("revoke_invitation", **organization, inv_id=other["id"])
    await walk("list_invitations", query="status=revoked", **organization)


async def _webhooks(walk: Walk, webhook_id: str) -> None:
    webhook = {"id": webhook_id}
    await walk("list_webhooks")
    await walk("get_webhook", **webhook)
    await walk("update_webhook", {"description": "All of it"}, **webhook)
    sent = await walk("send_test", {"event_type": "user.created"}, **webhook)
    delivery = {**webhook, "delivery_id": sent["id"]}

    async def delivered() -> bool:
        return (await walk("get_delivery", **delivery))["status"] == "succeeded"

    await until(delivered)
    await walk("retry_delivery", **delivery)
    await walk("list_deliveries", query="status=succeeded&event_type=user.created", **webhook)
    outcomes = await walk("list_outcomes", query="hours=2", **webhook)
    assert sum(hour["succeeded"] for hour in outcomes["hours"]) >= 1
    await walk("replay", {"since": "2026-01-15T10:00:00Z"}, **webhook)
    other = await walk("create_webhook", {"url": "https://hooks.example.com", "events": ["user.*"]})
    await walk("rotate_secret", id=other["id"])
    await walk("delete_webhook", query="dry_run=true", status=200, id=other["id"])
    await walk("delete_webhook", id=other["id"])


async def _audit(walk: Walk) -> None:
    async def shown() -> Any:
        return (await walk("list_events", query="action=organization.deleted"))["events"]

    (event,) = await until(shown)
    await walk("get_event", event_id=event["id"])
    proof = await walk("get_proof")
    assert proof["valid"] is True
    inclusion = {"event_id": event["id"]}
    await walk("get_inclusion", query=f"size={event['sequence']}", **inclusion)
    await walk("get_inclusion", status=409, **inclusion)
    await walk("get_consistency", query=f"from=1&to={event['sequence']}")
    await walk("get_checkpoint", status=404)  # what is signed: test_checkpoints.py
    await walk("get_checkpoint_keys")
    feed = await walk("get_feed", query="after=0&limit=1000")
    sequences = [each["sequence"] for each in feed["events"]]
    assert sequences == list(range(1, len(sequences) + 1))
    exported = await walk.api("GET", "/v1/admin/audit/export?format=ndjson")
    walk.left.pop("export_events")
    lines = [json.loads(line) for line in exported.raw.splitlines()]
    assert len(lines) >= len(sequences)


async def _overview(walk: Walk, operator: Api) -> None:
    overview = await walk("get_overview")
    assert overview["unavailable"] == []
    assert sum(hour["total"] for hour in overview["events"]) >= 1
    assert (await walk("search", query="q=ada"))["results"] == [], "ada was deleted"
    await walk("search", status=422)
    assert set(await walk("get_overview", api=operator)) == {"tenants", "unavailable"}


async def _tenants(walk: Walk, operator: Api) -> None:
    who = await walk("who_am_i")
    form = {
        "grant_type": "client_credentials",
        "client_id": who["credential"]["id"],
        "client_secret": walk.api.key,
    }
    token = await walk.api.as_key(None)(
        "POST",
        "/v1/auth/token",
        data=urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
    )
    walk.check(walk.left.pop("issue_token"), token)
    made = await walk("create_tenant", {"name": "Another"}, api=operator)
    tenant = {"id": made["tenant"]["id"]}
    await walk("list_tenants", query="q=another&status=active", api=operator)
    first = {**tenant, "key_id": made["api_key"]["id"]}
    await walk("revoke_root_key", status=409, api=operator, **first)
    await walk("create_root_key", {"name": "Second"}, api=operator, **tenant)
    await walk("revoke_root_key", api=operator, **first)
    await walk("list_root_keys", query="status=active", api=operator, **tenant)
    await walk("get_tenant", api=operator, **tenant)
    await walk("issue_operator_token", {"scope": "*"}, api=operator, **tenant)
    await walk("get_tenant_deletion", status=404, api=operator, **tenant)
    await walk("update_tenant", {"status": "suspended"}, api=operator, **tenant)
    await walk("delete_tenant", query="dry_run=true", status=200, api=operator, **tenant)
    gone = await operator("DELETE", f"/v1/admin/tenants/{tenant['id']}")
    assert gone.status in (202, 204), gone.raw

    async def erased() -> bool:
        found = await operator("GET", f"/v1/admin/tenants/{tenant['id']}")
        return found.status == 404

    await until(erased, 20)
