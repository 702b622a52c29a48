"""Who leaves, leaves everywhere: a deleted project and a deleted user, seen by every service."""

import json
from typing import Any
from uuid import uuid4

from support.api import Api
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver


async def make(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    made = await api("POST", path, body)
    assert made.status in (200, 201), made.raw
    return dict(made.body)


async def code_of(api: Api, token: str) -> str:
    return str((await api("POST", "/v1/sessions/verify", {"token": token})).body["code"])


async def test_a_deleted_project_ends_sessions_keys_and_its_key_set(api: Api, anyone: Api) -> None:
    project, other = [await make(api, "/v1/admin/projects", {"name": n}) for n in ("Gone", "Stays")]
    user = await make(api, "/v1/admin/users", {"email": "ada@example.com"})
    sessions = f"/v1/admin/users/{user['id']}/sessions"
    ending, staying = [await make(api, sessions, {"project_id": p["id"]}) for p in (project, other)]
    wanted = {"name": "k", "scopes": ["users:read"]}
    key = await make(api, f"/v1/admin/projects/{project['id']}/api-keys", wanted)
    assert (await api.as_key(key["secret"])("GET", "/v1/admin/users")).status == 200
    assert await code_of(api, ending["access_token"]) == "valid"

    assert (await api("DELETE", f"/v1/admin/projects/{project['id']}")).status == 204
    assert (await api.as_key(key["secret"])("GET", "/v1/admin/users")).status == 401
    verdict = await api("POST", "/v1/api-keys/verify", {"secret": key["secret"]})
    assert verdict.body["code"] == "revoked"
    key_set = f"/v1/projects/{project['id']}/.well-known/jwks.json"
    assert (await anyone("GET", key_set)).status == 404

    async def ended() -> bool:
        found = await api("GET", f"/v1/admin/users/{user['id']}")
        return [each["id"] for each in found.body["sessions"]] == [staying["session"]["id"]]

    await until(ended)
    assert await code_of(api, ending["access_token"]) != "valid"
    refused = await anyone(
        "POST", "/v1/sessions/refresh", {"refresh_token": ending["refresh_token"]}
    )
    assert refused.status == 401
    assert await code_of(api, staying["access_token"]) == "valid"

    async def told() -> bool:
        page = await api("GET", "/v1/admin/audit?limit=200")
        found = {(each["action"], each["resource_id"]) for each in page.body["events"]}
        return found >= {
            ("project.deleted", project["id"]),
            ("api_key.revoked", key["id"]),
            ("session.revoked", ending["session"]["id"]),
        }

    await until(told)


async def test_a_deleted_user_is_gone_and_the_trail_keeps_the_id(api: Api, anyone: Api) -> None:
    word = uuid4().hex
    async with webhook_receiver() as receiver:
        await make(api, "/v1/admin/webhooks", {"url": receiver.url, "events": ["user.deleted"]})
        project = await make(api, "/v1/admin/projects", {"name": "P"})
        email = f"{word}@example.com"
        user = await make(api, "/v1/admin/users", {"email": email, "name": word})
        path = f"/v1/admin/users/{user['id']}"
        begun = await make(api, f"{path}/sessions", {"project_id": project["id"]})
        group = await make(api, "/v1/admin/organizations", {"name": "Acme"})
        members = f"/v1/admin/organizations/{group['id']}/members"
        await make(api, members, {"user_id": user["id"], "role": "admin"})
        moved = await api("PATCH", path, {"name": f"{word} again"}, user_agent="administrator")
        assert moved.status == 200
        await until(lambda: shows(api, "user.updated", word))

        assert (await api("DELETE", path)).status == 204
        assert (await api("GET", path)).status == 404
        assert (await api("GET", members)).body["members"] == []
        assert (await api("GET", f"/v1/admin/users?q={word}")).body["users"] == []
        assert await code_of(api, begun["access_token"]) != "valid"
        refresh = {"refresh_token": begun["refresh_token"]}
        assert (await anyone("POST", "/v1/sessions/refresh", refresh)).status == 401

        await until(lambda: shows(api, "user.deleted", user["id"]))
        for answer in (
            await api("GET", "/v1/admin/audit?limit=200"),
            await api("GET", "/v1/admin/audit/export?format=ndjson"),
            await api("GET", "/v1/admin/audit/export?format=csv"),
            await api("GET", "/v1/admin/events?limit=200"),
        ):
            assert answer.status == 200
            assert word.encode() not in answer.raw
            assert user["id"].encode() in answer.raw
        of_user = await api("GET", f"/v1/admin/audit?resource_id={user['id']}")
        # Who did it stays: it is not the person who is gone.
        assert {each["ip_address"] for each in of_user.body["events"]} == {"127.0.0.1"}
        assert "administrator" in {each["user_agent"] for each in of_user.body["events"]}
        assert (await api("GET", "/v1/admin/audit/proof")).body["valid"] is True
        await until(lambda: heard(receiver))
        (event,) = [json.loads(each.body) for each in receiver.received]
        assert (event["subject"], event["data"]) == (user["id"], {"user_id": user["id"]})


async def shows(api: Api, action: str, text: str) -> bool:
    """Whether the trail has an event of that action in which the text stands."""
    page = await api("GET", f"/v1/admin/audit?action={action}")
    return text.encode() in page.raw


async def heard(receiver: Receiver) -> bool:
    return bool(receiver.received)
