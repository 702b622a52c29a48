"""Calls identity as one tenant's API key does; checks the form of each reply."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from contracts import invitations as invitation_calls
from contracts import members as member_calls
from contracts import organizations as organization_calls
from contracts import projects as project_calls
from contracts import sessions as session_calls
from contracts import tenants as tenant_calls
from contracts import users as user_calls
from contracts.calls import Call
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent
from outbox.record import OutboxEntry
from support.owner import Answer, Owner

OPERATOR = {"actor_type": "operator", "actor_id": None}
ANONYMOUS = {"actor_type": "system", "actor_id": None, "scopes": ()}


class IdentityClient:
    """A tenant with a project, of one test alone."""

    def __init__(self, identity: Owner, projects: Owner, tenant: str, project: str) -> None:
        self.identity = identity
        self.projects = projects
        self.pool = identity.pool
        self.tenant = tenant
        self.project = project

    @classmethod
    async def create(cls, identity: Owner, projects: Owner) -> "IdentityClient":
        body = {"name": "Acme", "slug": new_slug()}
        created = await projects.call(tenant_calls.CREATE_TENANT, None, body, **OPERATOR)
        assert created.status == 201, created.body
        client = cls(identity, projects, created.body["tenant"]["id"], "")
        client.project = await client.create_project()
        return client

    async def call(
        self, call: Call, body: Any = None, *path: str, tenant: str | None = None, **options: Any
    ) -> Answer:
        """`path` are the identifiers of the URL in order; `tenant` is another one than ours."""
        ids = dict(zip(call.path, path, strict=True))
        reply = await self.identity.call(call, tenant or self.tenant, body, path=ids, **options)
        if reply.status == call.status and call.result is not None:
            call.result.model_validate_json(reply.reply.body)
        return reply

    async def call_anonymously(self, call: Call, body: Any, **options: Any) -> Answer:
        """By somebody who has no credential."""
        return await self.identity.call(call, None, body, **ANONYMOUS, **options)

    async def create_user(self, email: str = "ada@example.com", **fields: Any) -> str:
        created = await self.call(user_calls.CREATE_USER, {"email": email, **fields})
        assert created.status == 201, created.body
        return str(created.body["id"])

    async def get_user(self, user: str) -> dict[str, Any]:
        found = await self.call(user_calls.GET_USER, None, user)
        assert found.status == 200, found.body
        return dict(found.body)

    async def update_user(self, user: str, **fields: Any) -> None:
        updated = await self.call(user_calls.UPDATE_USER, fields, user)
        assert updated.status == 200, updated.body

    async def delete_user(self, user: str, **query: Any) -> Answer:
        return await self.call(user_calls.DELETE_USER, None, user, query=query)

    async def list_users(self, **query: Any) -> dict[str, Any]:
        listed = await self.call(user_calls.LIST_USERS, query=query)
        assert listed.status == 200, listed.body
        return dict(listed.body)

    async def create_organization(self, **fields: Any) -> str:
        body = {"name": "Acme", "slug": new_slug(), **fields}
        created = await self.call(organization_calls.CREATE_ORGANIZATION, body)
        assert created.status == 201, created.body
        return str(created.body["id"])

    async def get_organization(self, organization: str) -> dict[str, Any]:
        found = await self.call(organization_calls.GET_ORGANIZATION, None, organization)
        assert found.status == 200, found.body
        return dict(found.body)

    async def add_member(self, organization: str, user: str, **fields: Any) -> Answer:
        body = {"user_id": user, **fields}
        return await self.call(member_calls.ADD_MEMBER, body, organization)

    async def update_member(self, organization: str, user: str, **fields: Any) -> Answer:
        return await self.call(member_calls.UPDATE_MEMBER, fields, organization, user)

    async def remove_member(self, organization: str, user: str) -> Answer:
        return await self.call(member_calls.REMOVE_MEMBER, None, organization, user)

    async def list_members(self, organization: str, **query: Any) -> dict[str, Any]:
        listed = await self.call(member_calls.LIST_MEMBERS, None, organization, query=query)
        assert listed.status == 200, listed.body
        return dict(listed.body)

    async def create_invitation(self, organization: str, **fields: Any) -> dict[str, Any]:
        body = {"email": "ada@example.com", **fields}
        created = await self.call(invitation_calls.CREATE_INVITATION, body, organization)
        assert created.status == 201, created.body
        return dict(created.body)

    async def list_invitations(self, organization: str, **query: Any) -> list[tuple[str, str]]:
        """Identifier and status of each."""
        listed = await self.call(invitation_calls.LIST_INVITATIONS, None, organization, query=query)
        assert listed.status == 200, listed.body
        return [(each["id"], each["status"]) for each in listed.body["invitations"]]

    async def accept_invitation(self, token: str, **fields: Any) -> Answer:
        body = {"token": token, **fields}
        return await self.call_anonymously(invitation_calls.ACCEPT_INVITATION, body)

    async def expire_invitation(self, invitation: str) -> None:
        await self.pool.execute(
            "UPDATE invitations SET expires_at = now() - interval '1 hour' WHERE id = $1",
            invitation,
        )

    async def sign_in(self, user: str, *, key: str | None = None, **fields: Any) -> Answer:
        body = {"project_id": self.project, **fields}
        return await self.call(session_calls.CREATE_SESSION, body, user, idempotency_key=key)

    async def create_session(self, user: str, **fields: Any) -> dict[str, Any]:
        """A new session with its tokens."""
        created = await self.sign_in(user, **fields)
        assert created.status == 201, created.body
        return dict(created.body)

    async def insert_session(
        self, user: str, *, project: str | None = None, status: str = "active", hours: int = 1
    ) -> str:
        """A session without tokens, which ends so many hours from now."""
        session, now = new_id("ses"), datetime.now(UTC)
        await self.pool.execute(
            "INSERT INTO sessions (tenant_id, id, user_id, project_id, status, created_at,"
            " last_active_at, expires_at, ends_at, idle_timeout)"
            " VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7, 604800)",
            *(self.tenant, session, user, project or new_id("prj"), status),
            *(now, now + timedelta(hours=hours)),
        )
        return session

    async def refresh_session(self, token: str, *, key: str | None = None) -> Answer:
        return await self.call_anonymously(
            session_calls.REFRESH_SESSION, {"refresh_token": token}, idempotency_key=key
        )

    async def verify_session(self, token: str, **options: Any) -> dict[str, Any]:
        verified = await self.call(session_calls.VERIFY_SESSION, {"token": token}, **options)
        assert verified.status == 200, verified.body
        return dict(verified.body)

    async def revoke_session(self, user: str, session: str) -> Answer:
        return await self.call(session_calls.REVOKE_SESSION, None, user, session)

    async def age_session(self, session: str, seconds: int) -> None:
        """As if so much time had passed since the session was last used."""
        await self.pool.execute(
            "UPDATE sessions SET last_active_at = last_active_at - $2 * interval '1 second',"
            " expires_at = expires_at - $2 * interval '1 second',"
            " ends_at = ends_at - $2 * interval '1 second' WHERE id = $1",
            *(session, seconds),
        )

    async def create_project(self, **settings: Any) -> str:
        body = {"name": "Shop", "slug": new_slug(), "settings": settings}
        created = await self.projects.call(project_calls.CREATE_PROJECT, self.tenant, body)
        assert created.status == 201, created.body
        return str(created.body["id"])

    async def suspend_tenant(self) -> None:
        body, path = {"status": "suspended"}, {"id": self.tenant}
        updated = await self.projects.call(
            tenant_calls.UPDATE_TENANT, None, body, path=path, **OPERATOR
        )
        assert updated.status == 200, updated.body

    async def events(self) -> list[dict[str, Any]]:
        """What identity recorded of the tenant, in order."""
        return await self.identity.events(self.tenant)

    async def event_types(self) -> list[str]:
        return [each["type"] for each in await self.events()]

    async def revoked_sessions(self) -> list[tuple[str, str]]:
        """The sessions that were revoked, and the reasons."""
        return [
            (each["subject"], each["data"]["reason"])
            for each in await self.events()
            if each["type"] == "session.revoked"
        ]


def new_slug() -> str:
    return new_id("prj").replace("_", "-")


def received(entry: OutboxEntry) -> ReceivedEvent:
    """An event as a consumer gets it."""
    event = orjson.loads(entry.payload)
    return ReceivedEvent(event, entry.subject, entry.payload, entry.ip_address, entry.user_agent)
