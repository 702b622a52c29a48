"""Calls the projects service as tenants and the operator do; checks each reply's form."""

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


class ProjectsClient:
    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.pool = owner.pool

    async def call(
        self, call: Call, tenant: str | None, body: Any = None, *path: str, **options: Any
    ) -> Answer:
        """`path` are the identifiers of the URL in order."""
        ids = dict(zip(call.path, path, strict=True))
        reply = await self.owner.call(call, tenant, body, path=ids, **options)
        if reply.status == call.status and call.result is not None:
            call.result.model_validate(reply.body)
        return reply

    async def call_as_operator(
        self, call: Call, body: Any = None, *path: str, **options: Any
    ) -> Answer:
        operator = {"actor_type": "operator", "actor_id": None}
        return await self.call(call, None, body, *path, **operator, **options)

    async def create_tenant(self, **fields: Any) -> dict[str, Any]:
        """`{"tenant", "api_key"}`."""
        slug = new_id("ten").replace("_", "-")
        body = {"name": "Acme", "slug": slug, **fields}
        created = await self.call_as_operator(calls.CREATE_TENANT, body)
        assert created.status == 201, created.body
        return dict(created.body)

    async def create_project(self, tenant: str, **fields: Any) -> str:
        body = {"name": "Shop", "slug": new_id("prj").replace("_", "-"), **fields}
        created = await self.call(project_calls.CREATE_PROJECT, tenant, body)
        assert created.status == 201, created.body
        return str(created.body["id"])

    async def create_api_key(self, tenant: str, project: str, **fields: Any) -> dict[str, Any]:
        body = {"name": "Backend", "scopes": ["users:read"], **fields}
        created = await self.call(key_calls.CREATE_API_KEY, tenant, body, project)
        assert created.status == 201, created.body
        return dict(created.body)

    async def list_api_keys(self, tenant: str, project: str, **query: Any) -> list[dict[str, Any]]:
        listed = await self.call(key_calls.LIST_API_KEYS, tenant, None, project, query=query)
        return list(listed.body["api_keys"])

    async def find_credential(self, secret: str) -> Answer:
        """The caller with this secret, as an edge looks it up."""
        return await self.call(calls.FIND_CREDENTIAL, None, {"secret_sha256": digest(secret)})

    async def rotate_signing_key(self, tenant: str, project: str, **body: Any) -> Answer:
        return await self.call(signing_calls.ROTATE_SIGNING_KEY, tenant, body, project)

    async def signing_keys_by_status(self, tenant: str, project: str) -> dict[str, list[str]]:
        """The identifiers by status, oldest first."""
        found: dict[str, list[str]] = {}
        listed = await self.call(signing_calls.LIST_SIGNING_KEYS, tenant, None, project)
        for key in sorted(listed.body["signing_keys"], key=lambda each: each["id"]):
            found.setdefault(key["status"], []).append(key["id"])
        return found

    async def published_keys(self, project: str) -> dict[str, dict[str, Any]]:
        """The public key set, by identifier."""
        reply = await self.call(signing_calls.GET_JWKS, None, None, project)
        return {each["kid"]: each for each in reply.body["keys"]}

    async def sign_token(self, tenant: str, project: str, **claims: Any) -> Answer:
        body = {"project_id": project, "claims": {"sub": "usr_1", **claims}}
        return await self.call(signing_calls.SIGN_TOKEN, tenant, body)

    async def events(self, tenant: str) -> list[dict[str, Any]]:
        """What was recorded, in order; the events of the catalogue have the form it says."""
        events = await self.owner.events(tenant)
        for each in events:
            if each["type"] in EVENT_TYPES:
                EVENT_TYPES[each["type"]].model_validate(each["data"])
        return events

    async def event_types(self, tenant: str) -> list[str]:
        return [each["type"] for each in await self.events(tenant)]

    async def event_subjects(self, tenant: str) -> list[tuple[str, str]]:
        """Type and subject of each event."""
        return [(each["type"], each["subject"]) for each in await self.events(tenant)]

    async def execute(self, sql: str, *values: Any) -> None:
        """What only time or another process would do."""
        await self.pool.execute(sql, *values)
