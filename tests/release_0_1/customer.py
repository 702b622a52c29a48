"""The tenants of the dump: what they see, and one that works on by the credentials it has."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from chaos.workload import PACE_SECONDS
from support.api import Api

_PAGES = {
    "projects": ("api-keys", "signing-keys"),
    "users": (),
    "organizations": ("members", "invitations"),
    "webhooks": (),
}


async def view(api: Api) -> dict[str, Any]:
    """What a tenant sees, by path: every resource, key sets, the trail and its proof."""
    seen: dict[str, Any] = {}

    async def get(path: str) -> Any:
        answer = await api("GET", path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.raw!r}"
        seen[path] = answer.body
        return answer.body

    for kind, parts in _PAGES.items():
        for each in (await get(f"/v1/admin/{kind}?limit=200"))[kind]:
            await get(f"/v1/admin/{kind}/{each['id']}")
            for part in parts:
                await get(f"/v1/admin/{kind}/{each['id']}/{part}")
            if kind == "projects":
                await get(f"/v1/projects/{each['id']}/.well-known/jwks.json")
            if kind == "webhooks":
                path = f"/v1/admin/webhooks/{each['id']}/deliveries?status=succeeded&limit=200"
                seen[path] = {each["id"]: each for each in (await get(path))["deliveries"]}
    await get("/v1/admin/users?q=kenzabur%C5%8D")
    await get("/v1/admin/events?limit=200")
    await get("/v1/admin/audit?limit=200")
    proof = await get("/v1/admin/audit/proof")
    assert proof["valid"] is True, proof
    return seen


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """What `after` does not say as `before` did; it may say more."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            each
            for name, value in before.items()
            for each in lost(value, after.get(name, "absent"), f"{path}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [each for old, new in pairs for each in lost(old, new, f"{path}/-")]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


@dataclass
class Customer:
    """Works until it is told to stop; `refused` has every answer that it did not expect."""

    api: Api
    has: dict[str, Any]
    refused: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    done: int = 0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work(stop))
            try:
                yield
            finally:
                stop.set()

    async def _work(self, stop: asyncio.Event) -> None:
        steps = (self._use_keys, self._use_tokens, self._refresh, self._sign_in, self._make_key)
        for number in count(self.done):
            if stop.is_set():
                break
            await steps[number % len(steps)](number)
            self.done += 1
            await asyncio.sleep(PACE_SECONDS)

    async def _send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """The body, and {} for what was refused."""
        api = self.api.as_key(key) if key else self.api
        answer = await api(method, path, body)
        if answer.status not in (200, 201, 204):
            self.refused.append(f"{method} {path}: {answer.status} {answer.raw[:300]!r}")
        return answer.body if answer.status in (200, 201) else {}

    async def _use_keys(self, _: int) -> None:
        """Those of before."""
        for name in ("backend", "reader", "rotated"):
            await self._send("GET", "/v1/admin/users?limit=1", key=self.has[name]["secret"])
        for name in ("root_key", "second_root_key"):
            await self._send("GET", "/v1/admin/tenant", key=self.has[name])

    async def _use_tokens(self, _: int) -> None:
        """All that it ever got: they live longer than the test."""
        backend = self.has["backend"]
        basic = base64.b64encode(f"{backend['id']}:{backend['secret']}".encode()).decode()
        url, form = f"{self.api.url}/v1/auth/token", {"grant_type": "client_credentials"}
        headers = {"Authorization": f"Basic {basic}"}
        async with self.api.http.post(url, data=form, headers=headers) as answer:
            if answer.status == 200:
                self.tokens.append((await answer.json())["access_token"])
            else:
                self.refused.append(f"token: {answer.status} {await answer.text()}")
        for token in {*self.tokens[:2], *self.tokens[-2:]}:
            await self._send("GET", "/v1/admin/users?limit=1", key=token)

    async def _refresh(self, number: int) -> None:
        """A session of before, whose access token of before is valid for a day."""
        session = self.has["sessions"][number % len(self.has["sessions"])]
        for token in await self._refreshed(session), session["access_token"]:
            verdict = await self._send("POST", "/v1/sessions/verify", {"token": token})
            if verdict.get("code") not in ("valid", "expired"):
                self.refused.append(f"session of before: {verdict}")

    async def _refreshed(self, session: dict[str, Any]) -> str:
        refresh = {"refresh_token": session["refresh_token"]}
        made = await self._send("POST", "/v1/sessions/refresh", refresh)
        session["refresh_token"] = made.get("refresh_token", session["refresh_token"])
        return str(made.get("access_token"))

    async def _sign_in(self, number: int) -> None:
        """At a project whose signing key is new."""
        project = await self._send("POST", "/v1/admin/projects", {"name": f"p{number}"})
        path = f"/v1/admin/users/{self.has['sessions'][0]['user']}/sessions"
        made = await self._send("POST", path, {"project_id": project.get("id")})
        verdict = await self._send("POST", "/v1/sessions/verify", {"token": made["access_token"]})
        if verdict.get("code") != "valid":
            self.refused.append(f"session of {project}: {verdict}")
        await self._send("DELETE", f"/v1/admin/projects/{project.get('id')}")

    async def _make_key(self, number: int) -> None:
        """It works at once, and rotated; asked for twice, it is made once."""
        path = f"/v1/admin/projects/{self.has['projects'][0]}/api-keys"
        body, key = {"name": f"k{number}", "scopes": ["users:read"]}, f"key-{number}"
        made = [await self.api("POST", path, body, idempotency_key=key) for _ in range(3)]
        if len({(each.status, each.raw) for each in made}) > 1 or made[0].status != 201:
            self.refused.append(f"{path}: {[(each.status, each.raw[:200]) for each in made]}")
            return
        await self._send("GET", "/v1/admin/users?limit=1", key=made[0].body["secret"])
        path = f"{path}/{made[0].body['id']}"
        rotated = await self._send("POST", f"{path}/rotate", {})
        await self._send("GET", "/v1/admin/users?limit=1", key=rotated.get("secret"))
        await self._send("DELETE", path)
