"""A tenant with some of everything, its own word in every text, and each secret it was handed."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from support.api import Api
from support.waiting import until

FORM = "application/x-www-form-urlencoded"
NOBODY = "http://127.0.0.1:61001"
"""Where no webhook is received: refused at once, without a look-up."""
MANY = 5


@dataclass(frozen=True)
class SampleTenant:
    """`ids` by prefix, one of each kind, and `root` for the root key; `spare` is a user who belongs
    nowhere.
    """

    api: Api
    word: str
    ids: dict[str, str]
    spare: str
    secrets: dict[str, str]


async def made(api: Api, path: str, body: Any = None) -> Any:
    answer = await api("POST", path, body)
    assert answer.status in (201, 202), answer.raw
    return answer.body


async def create_sample_tenant(api: Api) -> SampleTenant:
    """Fills a fresh tenant, called as its root key."""
    word = f"w{uuid4().hex[:12]}"
    who = await api("GET", "/v1/admin/tenant")
    ids = {"ten": api.tenant, "root": who.body["credential"]["id"]}
    secrets = {"root key": str(api.key)}
    await _projects(api, word, ids, secrets)
    spare = await _people(api, word, ids, secrets)
    await _webhooks(api, word, ids, secrets)
    await _token(api, ids, secrets)

    async def heard() -> Any:
        return (await api("GET", f"/v1/admin/audit?resource_id={ids['whk']}")).body["events"]

    ids["evt"] = (await until(heard))[0]["id"]
    return SampleTenant(api, word, ids, spare, secrets)


async def _projects(api: Api, word: str, ids: dict[str, str], secrets: dict[str, str]) -> None:
    bodies = [
        {
            "name": f"{word} {number}",
            "slug": f"{word}-{number}",
            "allowed_origins": [f"https://{word}.example.com"],
            "metadata": {"note": word},
        }
        for number in range(MANY)
    ]
    all_made = [await made(api, "/v1/admin/projects", body) for body in bodies]
    ids["prj"] = all_made[0]["id"]
    project = f"/v1/admin/projects/{ids['prj']}"
    for number in range(MANY):
        key = await made(
            api, f"{project}/api-keys", {"name": f"{word} {number}", "scopes": ["users:read"]}
        )
    ids["key"] = key["id"]
    secrets["secret before rotation"] = key["secret"]
    rotated = await made(api, f"{project}/api-keys/{ids['key']}/rotate", {"overlap": 600})
    secrets["rotated secret"] = rotated["secret"]
    public = await made(api, f"{project}/api-keys", {"name": word, "type": "publishable"})
    secrets["publishable key"] = public["secret"]
    listed = await api("GET", f"{project}/signing-keys")
    ids["sgk"] = next(k["id"] for k in listed.body["signing_keys"] if k["status"] == "next")


async def _people(api: Api, word: str, ids: dict[str, str], secrets: dict[str, str]) -> str:
    users = [
        await made(
            api,
            "/v1/admin/users",
            {
                "email": f"{word}.{number}@example.com",
                "username": f"{word}-{number}",
                "external_id": f"{word}/{number}",
                "name": f"{word} {number}",
            },
        )
        for number in range(MANY)
    ]
    ids["usr"] = users[0]["id"]
    for number in reversed(range(MANY)):
        organization = await made(
            api,
            "/v1/admin/organizations",
            {"name": f"{word} {number}", "slug": f"{word}-{number}", "owner_id": ids["usr"]},
        )
    ids["org"] = organization["id"]
    path = f"/v1/admin/organizations/{ids['org']}"
    await made(api, f"{path}/members", {"user_id": users[1]["id"]})
    for number in range(MANY):
        invited = await made(api, f"{path}/invitations", {"email": f"{word}.i{number}@example.com"})
    ids["inv"] = invited["id"]
    secrets["invitation token"] = invited["token"]
    body = {"project_id": ids["prj"], "user_agent": word}
    for _ in range(MANY):
        session = await made(api, f"/v1/admin/users/{ids['usr']}/sessions", body)
    ids["ses"] = session["session"]["id"]
    secrets["session token"] = session["access_token"]
    secrets["refresh token"] = session["refresh_token"]
    return str(users[-1]["id"])


async def _webhooks(api: Api, word: str, ids: dict[str, str], secrets: dict[str, str]) -> None:
    for number in range(MANY):
        body = {"url": f"{NOBODY}/{word}/{number}", "events": ["tenant.*"], "description": word}
        webhook = await made(api, "/v1/admin/webhooks", body)
    ids["whk"] = webhook["id"]
    secrets["webhook secret"] = webhook["secret"]
    sent = await asyncio.gather(
        *(made(api, f"/v1/admin/webhooks/{ids['whk']}/test") for _ in range(MANY))
    )
    ids["dlv"] = sent[0]["id"]


async def _token(api: Api, ids: dict[str, str], secrets: dict[str, str]) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": ids["key"],
        "client_secret": secrets["rotated secret"],
    }
    answer = await api.as_key(None)(
        "POST", "/v1/auth/token", data=urlencode(form).encode(), content_type=FORM
    )
    assert answer.status == 200, answer.raw
    secrets["access token"] = answer.body["access_token"]
