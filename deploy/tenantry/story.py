"""A whole story told to a running product over HTTP: every step shows what came back.

Makes a tenant of its own and deletes it at the end. Ends with exit code 1 at the first surprise.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web
from rich.console import Console
from standardwebhooks import Webhook

console = Console(highlight=False, soft_wrap=True)


class Surprise(Exception):  # noqa: N818 - it is what the story calls it
    """Something came back that the story does not tell."""


@dataclass
class Teller:
    """Sends requests with one credential and prints each step."""

    http: ClientSession
    url: str
    key: str

    async def __call__(
        self, method: str, path: str, body: Any = None, *, expect: int, key: str | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            shown = _brief(text)
            console.print(f"  [cyan]{method:6}[/] {path}  [bold]{answer.status}[/]  {shown}")
            if answer.status != expect:
                raise Surprise(f"{method} {path} answered {answer.status}, not {expect}: {text}")
            return json.loads(text) if text else None


@dataclass
class Receiver:
    """A webhook receiver on loopback that verifies every signature."""

    secret: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.heard.append(Webhook(self.secret).verify(body, dict(request.headers)))
        return web.Response(text="thank you")

    async def wait_for(self, event_type: str) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for event in self.heard:
                if event["type"] == event_type:
                    return event
            await asyncio.sleep(0.02)
        raise Surprise(f"no webhook told of {event_type}")


def _brief(text: str) -> str:
    """The answer on one line, its secrets shortened."""
    line = " ".join(text.split())
    return f"[dim]{line[:110]}{'…' if len(line) > 110 else ''}[/]".replace("[{", "\\[{")


def tell(url: str, operator_key: str) -> int:
    """Runs the story; answers the exit code."""
    try:
        asyncio.run(_tell(url.rstrip("/"), operator_key))
    except (Surprise, OSError) as error:
        console.print(f"[red bold]The story broke:[/] {error}")
        return 1
    console.print("[green bold]Every step came back as it should.[/]")
    return 0


async def _tell(url: str, operator_key: str) -> None:
    receiver = Receiver()
    runner = await receiver.start()
    try:
        async with ClientSession(timeout=ClientTimeout(total=10)) as http:
            await _steps(Teller(http, url, operator_key), receiver)
    finally:
        await runner.cleanup()


def _chapter(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


async def _steps(say: Teller, receiver: Receiver) -> None:
    operator = say.key
    _chapter("The operator makes a tenant; its first key is shown once")
    name = f"story-{int(time.time() * 1000)}"
    made = await say("POST", "/v1/admin/tenants", {"name": "Story", "slug": name}, expect=201)
    tenant = made["tenant"]["id"]
    say.key = made["api_key"]["secret"]
    await say("GET", "/v1/admin/tenant", expect=200)

    project = await _project(say)
    await _webhook(say, receiver)
    user, organization = await _people(say)
    event = await receiver.wait_for("organization.created")
    console.print(f"  [cyan]hook  [/] {event['type']} {event['id']}, its signature verified")
    await _suspension(say, user, organization)
    await _trail(say, user)

    _chapter("The end: the project goes, then the operator erases the tenant everywhere")
    await say("DELETE", f"/v1/admin/projects/{project}?dry_run=true", expect=200)
    await say("DELETE", f"/v1/admin/projects/{project}", expect=204)
    await _erase(say, operator, tenant)


async def _project(say: Teller) -> str:
    _chapter("A project with an API key and signing keys")
    body = {
        "name": "Web App",
        "environment": "production",
        "allowed_origins": ["https://app.example.com"],
        "settings": {"access_token_ttl": 600},
    }
    project = await say("POST", "/v1/admin/projects", body, expect=201)
    path = f"/v1/admin/projects/{project['id']}"
    await say("PATCH", path, {"settings": {"mfa": "required"}}, expect=200)
    key = await say(
        "POST", f"{path}/api-keys", {"name": "backend", "scopes": ["users:read"]}, expect=201
    )
    await say("GET", "/v1/admin/users", expect=200, key=key["secret"])
    await say("POST", "/v1/admin/users", {"email": "x@example.com"}, expect=403, key=key["secret"])
    await say("DELETE", f"{path}/api-keys/{key['id']}", expect=204)
    await say("GET", "/v1/admin/users", expect=401, key=key["secret"])
    await say("GET", f"{path}/signing-keys", expect=200)
    await say("POST", f"{path}/signing-keys/rotate", {}, expect=409)
    await say("POST", f"{path}/signing-keys/rotate", {"force": True}, expect=201)
    await say("GET", f"/v1/projects/{project['id']}/.well-known/jwks.json", expect=200)
    return str(project["id"])


async def _webhook(say: Teller, receiver: Receiver) -> None:
    _chapter("A webhook, received here and verified with the public library")
    body = {"url": f"http://127.0.0.1:{receiver.port}/hook", "events": ["*"]}
    webhook = await say("POST", "/v1/admin/webhooks", body, expect=201)
    receiver.secret = webhook["secret"]
    await say("POST", f"/v1/admin/webhooks/{webhook['id']}/test", {}, expect=202)
    event = await receiver.wait_for("webhook.test")
    console.print(f"  [cyan]hook  [/] {event['type']} {event['id']}, its signature verified")
    await say("GET", f"/v1/admin/webhooks/{webhook['id']}/deliveries", expect=200)


async def _people(say: Teller) -> tuple[str, str]:
    _chapter("Users, an organization, members and an invitation")
    ada = await say(
        "POST", "/v1/admin/users", {"email": "ada@example.com", "name": "Ada"}, expect=201
    )
    bob = await say("POST", "/v1/admin/users", {"email": "bob@example.com"}, expect=201)
    await say("POST", "/v1/admin/users", {"email": "ADA@example.com"}, expect=409)
    organization = await say(
        "POST", "/v1/admin/organizations", {"name": "Acme", "owner_id": ada["id"]}, expect=201
    )
    path = f"/v1/admin/organizations/{organization['id']}"
    await say("POST", f"{path}/members", {"user_id": bob["id"]}, expect=201)
    await say("PATCH", f"{path}/members/{bob['id']}", {"role": "admin"}, expect=200)
    await say("DELETE", f"{path}/members/{ada['id']}", expect=409)
    invitation = await say("POST", f"{path}/invitations", {"email": "eve@example.com"}, expect=201)
    await say("POST", "/v1/invitations/accept", {"token": invitation["token"]}, expect=200)
    await say("GET", f"{path}/members", expect=200)
    return str(bob["id"]), str(organization["id"])


async def _suspension(say: Teller, user: str, organization: str) -> None:
    _chapter("Suspension, and a user who leaves")
    await say("PATCH", f"/v1/admin/users/{user}", {"status": "suspended"}, expect=200)
    await say("GET", f"/v1/admin/users/{user}", expect=200)
    await say("DELETE", f"/v1/admin/organizations/{organization}/members/{user}", expect=204)
    await say("DELETE", f"/v1/admin/users/{user}", expect=204)
    await say("GET", f"/v1/admin/users/{user}", expect=404)


async def _trail(say: Teller, user: str) -> None:
    _chapter("The audit trail: who did what, from where, and the proof")
    deadline = time.monotonic() + 20
    path = f"/v1/admin/audit?resource_id={user}&action=user.deleted"
    while True:
        page = await say("GET", path, expect=200)
        if page["pagination"]["total"] == 1:
            break
        if time.monotonic() > deadline:
            raise Surprise("the audit trail does not show user.deleted")
        await asyncio.sleep(0.1)
    proof = await say("GET", "/v1/admin/audit/proof", expect=200)
    if not proof["valid"]:
        raise Surprise("the audit trail is not proven")


async def _erase(say: Teller, operator: str, tenant: str) -> None:
    path = f"{say.url}/v1/admin/tenants/{tenant}"
    headers = {"Authorization": f"Bearer {operator}"}
    deadline = time.monotonic() + 20
    while True:
        async with say.http.delete(path, headers=headers) as answer:
            status = answer.status
        console.print(f"  [cyan]DELETE[/] /v1/admin/tenants/{tenant}  [bold]{status}[/]")
        if status in (204, 404):
            return
        if status != 202 or time.monotonic() > deadline:
            raise Surprise(f"deleting the tenant answered {status}")
