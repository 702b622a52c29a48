"""Story words for the tests of projects: an operator makes tenants, who make projects and keys."""

from typing import Any

from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import signing_keys as signing_calls
from contracts import tenants as calls
from contracts.calls import Call
from contracts.events import EVENT_TYPES
from contracts.ids import new_id
from contracts.secrets import digest
from support.owner import Answer, Owner


class World:
    """What tests do with the service, besides asking it. Every answer is checked for its shape."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    async def ask(
        self, call: Call, tenant: str | None, body: Any = None, *path: str, **options: Any
    ) -> Answer:
        """`path` are the identifiers of the URL in order."""
        ids = dict(zip(call.path, path, strict=True))
        answer = await self.owner.call(call, tenant, body, path=ids, **options)
        if answer.status == call.status and call.result is not None:
            call.result.model_validate(answer.body)
        return answer

    async def operator(self, call: Call, body: Any = None, *path: str, **options: Any) -> Answer:
        who = {"actor_type": "operator", "actor_id": None}
        return await self.ask(call, None, body, *path, **who, **options)

    async def new_tenant(self, **fields: Any) -> dict[str, Any]:
        """`{"tenant", "api_key"}`."""
        slug = new_id("ten").replace("_", "-")
        made = await self.operator(calls.CREATE_TENANT, {"name": "Acme", "slug": slug, **fields})
        assert made.status == 201, made.body
        return dict(made.body)

    async def new_project(self, tenant: str, **fields: Any) -> str:
        body = {"name": "Shop", "slug": new_id("prj").replace("_", "-"), **fields}
        made = await self.ask(project_calls.CREATE_PROJECT, tenant, body)
        assert made.status == 201, made.body
        return str(made.body["id"])

    async def new_key(self, tenant: str, project: str, **fields: Any) -> dict[str, Any]:
        body = {"name": "Backend", "scopes": ["users:read"], **fields}
        made = await self.ask(key_calls.CREATE_API_KEY, tenant, body, project)
        assert made.status == 201, made.body
        return dict(made.body)

    async def find(self, secret: str) -> Answer:
        """Who calls with this secret, as an edge asks it."""
        return await self.ask(calls.FIND_CREDENTIAL, None, {"secret_sha256": digest(secret)})

    async def keys(self, tenant: str, project: str, **query: Any) -> list[dict[str, Any]]:
        listed = await self.ask(key_calls.LIST_API_KEYS, tenant, None, project, query=query)
        return list(listed.body["api_keys"])

    async def signing_keys(self, tenant: str, project: str) -> dict[str, list[str]]:
        """The identifiers by status, oldest first."""
        found: dict[str, list[str]] = {}
        listed = await self.ask(signing_calls.LIST_SIGNING_KEYS, tenant, None, project)
        for key in sorted(listed.body["signing_keys"], key=lambda each: each["id"]):
            found.setdefault(key["status"], []).append(key["id"])
        return found

    async def events(self, tenant: str) -> list[tuple[str, str]]:
        """Type and subject of what was recorded, in order; what a tenant hears has its shape."""
        events = await self.owner.events(tenant)
        for each in events:
            if each["type"] in EVENT_TYPES:
                EVENT_TYPES[each["type"]].model_validate(each["data"])
        return [(each["type"], each["subject"]) for each in events]

    async def happened(self, tenant: str) -> list[str]:
        return [kind for kind, _ in await self.events(tenant)]

    async def execute(self, sql: str, *values: Any) -> None:
        """What only time or another process would do."""
        await self.owner.pool.execute(sql, *values)
