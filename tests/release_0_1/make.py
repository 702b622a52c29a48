"""Makes the fixture of version 0.1: its source, and a dump of what a run of it has stored.

    python tests/release_0_1/make.py COMMIT

in a clone with that commit (02466ec is the last one before CHANGELOG.md says "Unreleased"). It
runs the old `tenantry dev`, fills two tenants by the API, and writes beside itself
`source.tar.xz` (what runs) and `dump.tar.xz`: a plain pg_dump
of each database, `secrets.json`, and `tenants.json` with the credentials that must work later on.
"""

import asyncio
import io
import json
import os
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from release_0_1.dev import dev_of_0_1
from support.api import Api
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.servers.postgres_client import find_client
from tenantry.servers.postgres_url import libpq_environment, role_url

HERE = Path(__file__).parent
SERVICES = ("projects", "identity", "webhooks", "audit")
KEPT = (
    *(f"libs/{each}" for each in ("contracts", "chassis", "outbox", "client/tenantry_client")),
    *(f"services/{each}" for each in ("edge", *SERVICES)),
    "deploy/tenantry",
    "deploy/nats/nats.conf",
    "deploy/postgres/init.sql",
)
LONGEST = 31_536_000
"""Seconds that sessions of a project may last at most."""


class Tenant:
    """Fills one tenant, and remembers its credentials."""

    def __init__(self, api: Api, receiver: Receiver) -> None:
        self.api = api
        self.receiver = receiver
        self.kept: dict[str, Any] = {"id": api.tenant, "root_key": api.key}

    async def post(self, path: str, body: Any) -> Any:
        answer = await self.api("POST", f"/v1/{path}", body)
        assert answer.status in (200, 201), f"{path}: {answer.status} {answer.raw!r}"
        return answer.body

    async def fill(self) -> None:
        await self._webhooks()
        project = await self._project()
        users = await self._users(project)
        await self._organizations(users)

    async def _webhooks(self) -> None:
        every = {"url": self.receiver.url, "events": ["*"], "description": "Everything"}
        self.kept["webhook"] = await self.post("admin/webhooks", every)
        refused = {"url": f"{self.receiver.url}/refuse", "events": ["user.*", "project.*"]}
        self.kept["refused"] = await self.post("admin/webhooks", refused)
        unused = await self.post("admin/webhooks", {**every, "description": "Unused"})
        path = f"/v1/admin/webhooks/{unused['id']}"
        assert (await self.api("PATCH", path, {"status": "disabled"})).status == 200

    async def _project(self) -> str:
        settings = {"refresh_token_ttl": LONGEST, "session_idle_timeout": LONGEST}
        web = await self.post(
            "admin/projects",
            {
                "name": "Web App",
                "slug": "web",
                "environment": "production",
                "allowed_origins": ["https://app.example.com"],
                "allowed_redirects": ["https://app.example.com/callback"],
                "settings": {**settings, "access_token_ttl": 86_400},
                "metadata": {"team": "Plattform", "n": 1.5},
            },
        )
        rsa = {"name": "Légacy", "settings": {"signing_algorithm": "RS256"}}
        legacy = await self.post("admin/projects", rsa)
        keys = f"admin/projects/{web['id']}/api-keys"
        for name, scopes in (("backend", ["*"]), ("reader", ["users:read"])):
            self.kept[name] = await self.post(keys, {"name": name, "scopes": scopes})
        await self.post(keys, {"name": "browser", "type": "publishable"})
        gone = await self.post(keys, {"name": "gone", "scopes": ["users:read"]})
        assert (await self.api("DELETE", f"/v1/{keys}/{gone['id']}")).status == 204
        rotated = await self.post(keys, {"name": "rotated", "scopes": ["users:read"]})
        overlap = {"overlap": 604_800}
        self.kept["rotated"] = await self.post(f"{keys}/{rotated['id']}/rotate", overlap)
        for project in (web, legacy):
            signing = f"admin/projects/{project['id']}/signing-keys/rotate"
            await self.post(signing, {"force": True})
        self.kept["projects"] = [web["id"], legacy["id"]]
        return str(web["id"])

    async def _users(self, project: str) -> list[str]:
        names = ["Ada Lovelace", "Émile Zola", "Ōe Kenzaburō", "Çelik İnönü", "Zoë"]
        users = []
        for number in range(24):
            body = {
                "email": f"Person.{number}@Example.com",
                "username": f"person{number}",
                "name": f"{names[number % 5]} {number}",
                "email_verified": number % 2 == 0,
                "metadata": {"plan": "pro", "seats": number},
            }
            users.append((await self.post("admin/users", body))["id"])
        suspended = f"/v1/admin/users/{users[-1]}"
        assert (await self.api("PATCH", suspended, {"status": "suspended"})).status == 200
        assert (await self.api("DELETE", f"/v1/admin/users/{users[-2]}")).status == 204
        self.kept["sessions"] = []
        for user in users[:6]:
            body = {"project_id": project, "ip_address": "203.0.113.7", "user_agent": "Firefox"}
            made = await self.post(f"admin/users/{user}/sessions", body)
            refresh = {"refresh_token": made["refresh_token"]}
            made |= await self.post("sessions/refresh", refresh)
            self.kept["sessions"].append({"user": user, **made})
        ended = self.kept["sessions"].pop()
        path = f"/v1/admin/users/{ended['user']}/sessions/{ended['session']['id']}"
        assert (await self.api("DELETE", path)).status == 204
        return users

    async def _organizations(self, users: list[str]) -> None:
        self.kept["invitations"] = []
        for number in range(4):
            body = {
                "name": f"Größe {number}",
                "slug": f"org-{number}",
                "owner_id": users[number],
                "settings": {"theme": "dark"},
                "max_members": 50,
            }
            path = f"admin/organizations/{(await self.post('admin/organizations', body))['id']}"
            for user in users[number + 1 : number + 6]:
                member = {"user_id": user, "role": "admin", "permissions": ["billing:read"]}
                await self.post(f"{path}/members", member)
            for name in ("pending", "accepted", "revoked"):
                body = {"email": f"{name}.{number}@example.com", "expires_in": 2_592_000}
                made = await self.post(f"{path}/invitations", body)
                if name == "pending":
                    self.kept["invitations"].append(made["token"])
                elif name == "accepted":
                    await self.post("invitations/accept", {"token": made["token"]})
                else:
                    ended = f"/v1/{path}/invitations/{made['id']}"
                    assert (await self.api("DELETE", ended)).status == 204
        body = {"name": "Closed", "owner_id": users[0]}
        closed = await self.post("admin/organizations", body)
        path = f"/v1/admin/organizations/{closed['id']}"
        assert (await self.api("DELETE", path)).status == 204


async def make(commit: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = await output("git", "archive", commit, ":/")
        with tarfile.open(fileobj=io.BytesIO(archive)) as source:
            source.extractall(folder / "source", filter="data")
        write(HERE / "source.tar.xz", folder / "source", KEPT)
        async with dev_of_0_1(folder / "source", folder) as ready:
            await dump(folder, ready)


async def output(*argv: str, **environment: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *argv, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    written, _ = await process.communicate()
    assert process.returncode == 0, argv
    return written


async def dump(folder: Path, ready: dict[str, Any]) -> None:
    dumped = folder / "dump"
    dumped.mkdir()
    async with aiohttp.ClientSession() as http, webhook_receiver() as receiver:

        async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
            return aiohttp.web.Response(status=500 if request.path.endswith("refuse") else 204)

        receiver.answer = answer
        operator = Api(http, ready["base_url"], ready["operator_key"])
        tenants = []
        for name in ("Atlas", "Boréal"):
            made = await operator("POST", "/v1/admin/tenants", {"name": name})
            api = operator.as_key(made.body["api_key"]["secret"])
            api.tenant = made.body["tenant"]["id"]
            tenants.append(Tenant(api, receiver))
            await tenants[-1].fill()
            path = f"/v1/admin/tenants/{api.tenant}/root-keys"
            second = await operator("POST", path, {"name": "Second"})
            assert second.status == 201, second.raw
            tenants[-1].kept["second_root_key"] = second.body["secret"]
        await until_quiet(tenants)
    kept = [tenant.kept for tenant in tenants]
    now = datetime.now(UTC).isoformat()
    (dumped / "tenants.json").write_text(json.dumps({"made_at": now, "tenants": kept}, indent=1))
    secrets = json.loads((folder / "data/secrets.json").read_text())
    (dumped / "secrets.json").write_text(json.dumps(secrets))
    program = find_client("pg_dump", 16)
    for service in SERVICES:
        owner = f"{service}_owner"
        url = role_url(ready["databases"][service], owner, secrets["postgres"][owner], service)
        options = ("--no-owner", "--no-comments", "--no-password")
        text = await output(str(program), *options, **libpq_environment(url))
        (dumped / f"{service}.sql").write_bytes(text)
    write(HERE / "dump.tar.xz", dumped, sorted(each.name for each in dumped.iterdir()))


async def until_quiet(tenants: list[Tenant]) -> None:
    """Audit has every event, and each was delivered or refused for the first time."""

    async def quiet() -> bool:
        for tenant in tenants:
            total = (await tenant.api("GET", "/v1/admin/audit?limit=1")).body["pagination"]["total"]
            path = f"/v1/admin/webhooks/{tenant.kept['webhook']['id']}/deliveries"
            sent = (await tenant.api("GET", f"{path}?status=succeeded")).body["pagination"]["total"]
            if total < 100 or sent < total - 3:
                return False
        return True

    await until(quiet, 60)


def write(file: Path, folder: Path, names: tuple[str, ...] | list[str]) -> None:
    """The same bytes from the same content."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in entry.name:
            return None
        entry.mtime = entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(file, "w:xz", preset=9) as archive:
        for name in names:
            archive.add(folder / name, name, filter=plain)


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1]))
