"""A stored answer that shows a secret is shown again to the credential that got it, to no other.

What strangers send is stored only if it changed something.
"""

from typing import Any, get_args

import asyncpg
import pytest
from contracts.calls import Call
from contracts.catalogue import CALLS
from pydantic import BaseModel
from security.sample_tenant import made
from support.api import Api
from support.stack import Stack

SECRETS = {"secret", "token", "access_token", "refresh_token"}


def shown_by(model: Any) -> set[str]:
    """The names of all members of an answer."""
    found: set[str] = set()
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, each in model.model_fields.items():
            found |= {name, *shown_by(each.annotation)}
    for each in get_args(model):
        found |= shown_by(each)
    return found


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_call_says_whether_its_answer_has_a_secret(call: Call) -> None:
    assert call.shows_secret == bool(SECRETS & shown_by(call.result))


async def test_a_secret_is_repeated_to_the_key_that_got_it_alone(api: Api) -> None:
    project = await made(api, "/v1/admin/projects", {"name": "P"})
    organization = await made(api, "/v1/admin/organizations", {"name": "O"})
    user = await made(api, "/v1/admin/users", {"email": "a@b.cd"})
    keys = f"/v1/admin/projects/{project['id']}/api-keys"
    other = api.as_key((await made(api, keys, {"name": "other", "scopes": ["*"]}))["secret"])
    rotated = await made(api, keys, {"name": "k", "scopes": ["users:read"]})
    webhook = {"url": "https://example.com/hook", "events": ["*"]}
    hook = await made(api, "/v1/admin/webhooks", webhook)
    requests: dict[str, Any] = {
        keys: {"name": "k", "scopes": ["users:read"]},
        f"{keys}/{rotated['id']}/rotate": {},
        "/v1/admin/webhooks": webhook,
        f"/v1/admin/webhooks/{hook['id']}/rotate-secret": None,
        f"/v1/admin/organizations/{organization['id']}/invitations": {"email": "c@d.ef"},
        f"/v1/admin/users/{user['id']}/sessions": {"project_id": project["id"]},
    }
    for number, (path, body) in enumerate(requests.items()):
        first = await api("POST", path, body, idempotency_key=f"k{number}")
        assert first.status in (200, 201), first.raw
        refused = await other("POST", path, body, idempotency_key=f"k{number}")
        assert (refused.status, refused.body["code"]) == (422, "idempotency_key_reused"), path
        again = await api("POST", path, body, idempotency_key=f"k{number}")
        assert again.raw == first.raw
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_what_shows_no_secret_is_repeated_to_every_key_of_the_tenant(api: Api) -> None:
    project = await made(api, "/v1/admin/projects", {"name": "P"})
    keys = f"/v1/admin/projects/{project['id']}/api-keys"
    other = api.as_key((await made(api, keys, {"name": "other", "scopes": ["*"]}))["secret"])
    body = {"email": "a@b.cd"}
    first = await api("POST", "/v1/admin/users", body, idempotency_key="k")
    again = await other("POST", "/v1/admin/users", body, idempotency_key="k")
    assert again.raw == first.raw


async def count_stored(stack: Stack) -> dict[str, int]:
    stored = {}
    for service in ("identity", "projects"):
        conn = await asyncpg.connect(stack.ready["databases"][service])
        try:
            stored[service] = await conn.fetchval("SELECT count(*) FROM idempotency")
        finally:
            await conn.close()
    return stored


async def test_nothing_is_stored_of_strangers_who_change_nothing(stack: Stack, anyone: Api) -> None:
    before = await count_stored(stack)
    for number in range(30):
        key = f"k{number}"
        junk = {"refresh_token": f"tnt_rt_{number}"}
        answer = await anyone("POST", "/v1/sessions/refresh", junk, idempotency_key=key)
        assert answer.status == 401
        body = {"token": f"guess{number}"}
        answer = await anyone("POST", "/v1/invitations/accept", body, idempotency_key=key)
        assert answer.status == 410
        form = b"grant_type=client_credentials&client_id=key_1&client_secret=x%d" % number
        answer = await anyone(
            "POST",
            "/v1/auth/token",
            data=form,
            content_type="application/x-www-form-urlencoded",
            idempotency_key=key,
        )
        assert answer.status == 401
    assert await count_stored(stack) == before


async def test_the_success_of_a_stranger_is_repeated(api: Api, anyone: Api) -> None:
    project = await made(api, "/v1/admin/projects", {"name": "P"})
    user = await made(api, "/v1/admin/users", {"email": "a@b.cd"})
    path = f"/v1/admin/users/{user['id']}/sessions"
    session = await made(api, path, {"project_id": project["id"]})
    body = {"refresh_token": session["refresh_token"]}
    first = await anyone("POST", "/v1/sessions/refresh", body, idempotency_key="k")
    again = await anyone("POST", "/v1/sessions/refresh", body, idempotency_key="k")
    assert (first.status, again.raw) == (200, first.raw)
